//! Where the bytes of the store are.

use maud::{Markup, html};

use crate::cli::page::bars::{BarSegment, bar, legend};
use crate::cli::page::table::{PageColumn, behind, table};
use crate::cli::page::{numbers, shown};
use crate::cli::size::{percent, plural, size, size_if_known};
use crate::cli::store_usage::not_referenced;
use crate::layout::{ImageUsage, LayoutUsage};

/// Maximum images with a bar of their own; the table has all.
const MAX_BARS: usize = 40;

/// What the bytes are, with their colors.
const LEGEND: [(&str, &str); 5] = [
    ("own", "one image only"),
    ("all", "shared by images"),
    ("free", "unreferenced: prune frees it"),
    ("part", "partial downloads"),
    ("some", "unfinished uploads"),
];

/// Bytes that several images share, each counted once.
fn shared_once(usage: &LayoutUsage) -> u64 {
    let unique: u64 = usage.images.iter().filter_map(|image| image.unique).sum();
    usage.referenced.saturating_sub(unique)
}

fn on_disk(usage: &LayoutUsage) -> u64 {
    usage.bytes.saturating_add(usage.partial).saturating_add(usage.session_bytes)
}

pub(super) fn store_numbers(usage: &LayoutUsage) -> Markup {
    let apart: u64 = usage.images.iter().filter_map(|image| image.size).sum();
    let saved = apart.saturating_sub(usage.referenced);
    let (all, (rest, _)) = (on_disk(usage), not_referenced(usage));
    let title = if usage.unreadable.is_empty() { "Unreferenced" } else { "Unknown" };
    numbers(&[
        ("On disk", size(all), plural(usage.blobs, "blob")),
        ("Images", usage.images.len().to_string(), format!("{} each for itself", size(apart))),
        ("Shared", size(saved), format!("{} less to store", percent(saved, apart))),
        (title, size(rest), format!("{} of all", percent(rest, all))),
        ("Partial", size(usage.partial), plural(usage.partials, "partial download")),
    ])
}

pub(super) fn section(usage: &LayoutUsage, path: &str, with_numbers: bool) -> Markup {
    let (shared, (rest, what)) = (shared_once(usage), not_referenced(usage));
    let mut legend_items = LEGEND;
    if !usage.unreadable.is_empty() {
        legend_items[2].1 = what;
    }
    let parts = [
        ("own", usage.referenced.saturating_sub(shared), "one image only"),
        ("all", shared, "shared by images"),
        ("free", rest, what),
        ("part", usage.partial, "partial downloads"),
        ("some", usage.session_bytes, "unfinished uploads"),
    ];
    let label = parts.map(|(_, bytes, name)| format!("{} {name}", size(bytes))).join(", ");
    let bars = parts.map(|(class, bytes, name)| {
        BarSegment::new(bytes, class, format!("{name}: {}", size(bytes)))
    });
    let mut largest: Vec<&ImageUsage> = usage.images.iter().collect();
    largest.sort_by_key(|image| std::cmp::Reverse(image.size));
    let left_out = largest.len().saturating_sub(MAX_BARS);
    let whole = largest.first().and_then(|image| image.size).unwrap_or_default();
    html! {
        section aria-labelledby="store" {
            h2 #store { "Store" }
            p.hint { (shown(path)) }
            @if with_numbers { (store_numbers(usage)) }
            h3 { "Where the disk goes" }
            (bar(&label, &bars, on_disk(usage)))
            (legend(&legend_items))
            @if !usage.images.is_empty() {
                h3 { "Images" }
                ul.bars { @for image in largest.iter().take(MAX_BARS) { (image_row(image, whole)) } }
                @if left_out > 0 { p.hint { "And " (left_out) " smaller ones in the table." } }
                (behind("Images as a table", &image_table(&usage.images)))
            }
            (behind("The store as a table", &store_table(usage, shared)))
        }
    }
}

fn image_row(image: &ImageUsage, whole: u64) -> Markup {
    let [all, shared, unique, frees] =
        [image.size, image.shared, image.unique, image.frees].map(size_if_known);
    let segment =
        |bytes: Option<u64>, class, title| BarSegment::new(bytes.unwrap_or(0), class, title);
    let segments = [
        segment(image.unique, "own", format!("only here: {unique}")),
        segment(image.shared, "all", format!("shared: {shared}")),
    ];
    let sizes = format!("{all}, {shared} of it shared");
    let label = format!("{}: {sizes}", image.reference);
    html! {
        li {
            p {
                span { (shown(&image.reference)) }
                span { (all) ", rm frees " (frees) }
            }
            (bar(&label, &segments, whole))
        }
    }
}

fn image_table(images: &[ImageUsage]) -> Markup {
    let rows: Vec<[String; 5]> = images
        .iter()
        .map(|image| {
            let ImageUsage { size: all, shared, unique, frees, .. } = image;
            let [all, shared, unique, frees] =
                [all, shared, unique, frees].map(|bytes| size_if_known(*bytes));
            [image.reference.clone(), all, shared, unique, frees]
        })
        .collect();
    let columns = [
        PageColumn::Text("Image"),
        PageColumn::Number("Size"),
        PageColumn::Number("Shared"),
        PageColumn::Number("Unique"),
        PageColumn::Number("rm frees"),
    ];
    table("Images in the store", columns, &rows)
}

fn store_table(usage: &LayoutUsage, shared: u64) -> Markup {
    let row = |name: &str, bytes: u64, count: u64| {
        let count = if count == 0 { String::new() } else { count.to_string() };
        [name.to_owned(), size(bytes), count]
    };
    let (rest, what) = not_referenced(usage);
    let rows = [
        row("one image only", usage.referenced.saturating_sub(shared), 0),
        row("shared by images", shared, 0),
        row(what, rest, 0),
        row("all blobs", usage.bytes, usage.blobs),
        row("partial downloads", usage.partial, usage.partials),
        row("unfinished uploads", usage.session_bytes, usage.sessions),
    ];
    let columns =
        [PageColumn::Text("What"), PageColumn::Number("Bytes"), PageColumn::Number("Count")];
    table("Bytes of the store", columns, &rows)
}
