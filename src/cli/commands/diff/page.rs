//! The differences of two images as a page.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::compared::{ComparedImage, ImageDiff};
use super::files::DiffFiles;
use super::text::value_text;
use crate::cli::page::bars::{BarSegment, bar, legend};
use crate::cli::page::table::{PageColumn, behind, table};
use crate::cli::page::treemap::treemap;
use crate::cli::page::{Page, heading, numbers, shown};
use crate::cli::size::{percent, plural, size};
use crate::insight::command::display_command;
use crate::insight::diff::config::ConfigChange;
use crate::insight::diff::files::{FileDiff, PathShare};
use crate::insight::diff::layers::{LayerDiff, LayerDiffRow, LayerSide};

/// A page whose files may be read later.
pub(super) struct DiffPage {
    title: String,
    head: Markup,
    sections: Markup,
}

impl DiffPage {
    pub(super) fn new(diff: &ImageDiff<'_>) -> Self {
        let (a, b) = (&diff.a.reference, &diff.b.reference);
        let title = format!("{a} and {b}");
        let lines = [about("A", diff.a), about("B", diff.b)];
        let head = heading(&title, &lines, &figures(diff));
        let sections = html! {
            (layers(diff))
            @if let Some(changes) = &diff.config { (config(changes)) }
        };
        Self { title, head, sections }
    }

    /// The page, with files if they were compared.
    pub(super) fn with_files(self, files: Option<&DiffFiles>) -> Page {
        let data =
            files.map(|found| json!({"title": "Files that differ", "layers": [found.tree.rows()]}));
        let body = html! {
            (self.head)
            main {
                (self.sections)
                @if let Some(found) = files { (files_section(found)) }
            }
        };
        let data = json!({"images": data.as_slice()});
        Page { title: format!("{} - rpull diff", self.title), body, data }
    }
}

fn files_section(found: &DiffFiles) -> Markup {
    let FileDiff { added, changed, removed, pull, .. } = &found.totals;
    let share = |name, share: &PathShare| (name, size(share.bytes), plural(share.paths, "path"));
    let pull = ("New to A", size(pull.bytes), format!("{} of B", plural(pull.files, "file")));
    html! {
        section aria-labelledby="files" {
            h2 #files { "Files" }
            p.hint { "Uncompressed bytes of the paths at which A and B differ." }
            (numbers(&[share("Added", added), share("Changed", changed), share("Removed", removed), pull]))
            @if added.paths + changed.paths + removed.paths == 0 {
                p { "No path differs." }
            } @else {
                (treemap(0, 0, &[
                    ("added", "added: only B has it"),
                    ("modified", "modified: bytes of B"),
                    ("deleted", "deleted: only A has it"),
                ]))
            }
        }
    }
}

fn about(side: &str, image: &ComparedImage) -> String {
    let platform = image.config.as_ref().map(|config| format!(", {}", config.platform()));
    let platform = platform.unwrap_or_default();
    format!("{side}: {}{platform}, {}, {}", image.reference, size(image.size), image.named.digest())
}

fn figures(diff: &ImageDiff<'_>) -> Markup {
    let LayerDiff { shared, only_a, only_b, recompressed, pull, .. } = &diff.layers;
    let saved = percent(diff.b.size.saturating_sub(pull.bytes), diff.b.size);
    let same = match recompressed.bytes {
        0 => String::new(),
        bytes => format!(", {} of it recompressed", size(bytes)),
    };
    numbers(&[
        ("Shared", size(shared.bytes), plural(shared.layers, "layer")),
        ("Only A", size(only_a.bytes), plural(only_a.layers, "layer")),
        ("Only B", size(only_b.bytes), format!("{}{same}", plural(only_b.layers, "layer"))),
        ("Pull of B", size(pull.bytes), format!("on a host with A: {saved} shared")),
    ])
}

fn layers(diff: &ImageDiff<'_>) -> Markup {
    let whole = diff.a.size.max(diff.b.size);
    let rows: Vec<[String; 4]> = diff.layers.layers.iter().map(cells).collect();
    let columns = [
        PageColumn::Text("In"),
        PageColumn::Text("Digest"),
        PageColumn::Number("Size"),
        PageColumn::Text("Command"),
    ];
    html! {
        section aria-labelledby="layers" {
            h2 #layers { "Layers" }
            p.hint { "Compressed bytes: what both have, then what only one has." }
            ul.bars {
                (side("A", diff.a, &diff.layers.layers, LayerSide::A, whole))
                (side("B", diff.b, &diff.layers.layers, LayerSide::B, whole))
            }
            (legend(&[("all", "in both"), ("own", "only in this one"), ("some", "same content in another compression")]))
            (behind("Layers as a table", &table("Layers of A, then those of B", columns, &rows)))
        }
    }
}

fn side(
    name: &str,
    image: &ComparedImage,
    rows: &[LayerDiffRow],
    side: LayerSide,
    whole: u64,
) -> Markup {
    let own = rows.iter().filter(|row| row.side == side);
    let shared = rows.iter().filter(|row| row.side == LayerSide::Both);
    let segments: Vec<BarSegment> = shared
        .chain(own)
        .map(|row| {
            let class = match row.side {
                LayerSide::Both => "all",
                _ if row.same_content.is_some() => "some",
                _ => "own",
            };
            let command = display_command(&row.created_by);
            BarSegment::new(row.size, class, format!("{}: {}", size(row.size), shown(&command)))
        })
        .collect();
    let bytes = rows.iter().filter(|row| row.side == side).map(|row| row.size).sum();
    let sizes = format!("{}, own {}", size(image.size), size(bytes));
    let label = format!("{name}, {}: {sizes}", image.reference);
    html! {
        li {
            p { span { strong { (name) } " " (shown(&image.reference)) } span { (sizes) } }
            (bar(&label, &segments, whole))
        }
    }
}

fn cells(row: &LayerDiffRow) -> [String; 4] {
    let side = match row.side {
        LayerSide::Both => "both",
        LayerSide::A => "A",
        LayerSide::B => "B",
    };
    let side =
        if row.same_content.is_some() { format!("{side}, recompressed") } else { side.to_owned() };
    let command = display_command(&row.created_by);
    [side, row.digest.short().to_owned(), size(row.size), command]
}

fn config(changes: &[ConfigChange]) -> Markup {
    let text = |value: &Option<Value>| value.as_ref().map(value_text).unwrap_or_default();
    let rows: Vec<[String; 3]> = changes
        .iter()
        .map(|change| {
            let name = change.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
            [format!("{}{name}", change.field), text(&change.a), text(&change.b)]
        })
        .collect();
    let columns = [PageColumn::Text("Setting"), PageColumn::Text("A"), PageColumn::Text("B")];
    html! {
        section aria-labelledby="config" {
            h2 #config { "Config" }
            @if changes.is_empty() { p { "The configs have the same settings." } }
            @else { (table("Settings that differ", columns, &rows)) }
        }
    }
}
