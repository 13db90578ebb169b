//! The head of the page, and which layers the images share.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use maud::{Markup, html};

use super::image::ReportedImage;
use crate::cli::page::bars::{BarSegment, bar, legend};
use crate::cli::page::table::{PageColumn, behind, table};
use crate::cli::page::{numbers, shown};
use crate::cli::size::{efficiency, percent, plural, size};
use crate::digest::Digest;
use crate::insight::command::display_command;

/// The numbers of one image.
pub(super) fn image_numbers(image: &ReportedImage) -> Markup {
    let analysis = &image.analysis;
    let wasted = analysis.wasted;
    let waste = match wasted.bytes {
        0 => "no file is hidden by a later layer".to_owned(),
        bytes => format!("{} in {}", percent(bytes, analysis.bytes), plural(wasted.files, "file")),
    };
    let count = analysis.findings.len() as u64;
    let gravest = analysis.findings.first().map(|finding| finding.severity);
    let gravest = match gravest {
        Some(crate::insight::analyze::Severity::Error) => "with errors",
        _ => "",
    };
    numbers(&[
        ("Size", size(image.size()), plural(image.layers.len() as u64, "layer")),
        ("Files", size(analysis.bytes), "of all layers, unpacked".to_owned()),
        ("Wasted", size(wasted.bytes), waste),
        ("Efficiency", efficiency(analysis.efficiency), "dive's score".to_owned()),
        ("Findings", count.to_string(), gravest.to_owned()),
    ])
}

/// The numbers of several images.
pub(super) fn total_numbers(images: &[ReportedImage]) -> Markup {
    let total: u64 = images.iter().map(ReportedImage::size).sum();
    let distinct: HashMap<&Digest, u64> = images
        .iter()
        .flat_map(|image| &image.blobs)
        .map(|(digest, size)| (digest, *size))
        .collect();
    let once: u64 = distinct.values().sum();
    let wasted: u64 = images.iter().map(|image| image.analysis.wasted.bytes).sum();
    let files: u64 = images.iter().map(|image| image.analysis.bytes).sum();
    let worst = images.iter().map(|image| image.analysis.efficiency).fold(1.0, f64::min);
    let shared = total.saturating_sub(once);
    numbers(&[
        ("Images", images.len().to_string(), format!("{} each for itself", size(total))),
        ("Stored once", size(once), plural(distinct.len() as u64, "blob")),
        ("Shared", size(shared), format!("{} less to store and pull", percent(shared, total))),
        ("Wasted", size(wasted), format!("{} of all files", percent(wasted, files))),
        ("Lowest efficiency", efficiency(worst), "dive's score".to_owned()),
    ])
}

/// A distinct layer, and the images that have it.
struct SharedLayer {
    size: u64,
    command: String,
    images: BTreeSet<usize>,
}

/// Layers as bars, one for each image, to one scale.
pub(super) fn shared_layers(images: &[ReportedImage]) -> Markup {
    let mut layers: HashMap<&Digest, SharedLayer> = HashMap::new();
    let mut order = Vec::new();
    for (at, image) in images.iter().enumerate() {
        for row in &image.layers {
            let layer = layers.entry(&row.digest).or_insert_with(|| {
                order.push(&row.digest);
                let command = display_command(&row.created_by);
                SharedLayer { size: row.size, command, images: BTreeSet::new() }
            });
            layer.images.insert(at);
        }
    }
    let whole = images.iter().map(ReportedImage::size).max().unwrap_or_default();
    let several = images.len() > 1;
    html! {
        section aria-labelledby="layers" {
            h2 #layers { @if several { "Shared layers" } @else { "Layers" } }
            p.hint {
                "Compressed bytes, base first. "
                @if several { "The same layer has the same color in every image that has it." }
                @else { "Choose a layer to see its files." }
            }
            ul.bars {
                @for (at, image) in images.iter().enumerate() { (row(at, image, images.len(), whole, &layers)) }
            }
            @if several {
                (legend(&[("all", "in all images"), ("some", "in several"), ("own", "only in this one")]))
            }
            (behind("Layers as a table", &layer_table(images, &order, &layers)))
        }
    }
}

fn row(
    at: usize,
    image: &ReportedImage,
    count: usize,
    whole: u64,
    layers: &HashMap<&Digest, SharedLayer>,
) -> Markup {
    let mut by_class = BTreeMap::new();
    let segments: Vec<BarSegment> = image
        .layers
        .iter()
        .map(|row| {
            let holders = layers.get(&row.digest).map_or(1, |layer| layer.images.len());
            let class = match holders {
                _ if count == 1 => "all",
                1 => "own",
                holders if holders == count => "all",
                _ => "some",
            };
            *by_class.entry(class).or_insert(0) += row.size;
            let command = display_command(&row.created_by);
            let holders = match count {
                1 => String::new(),
                _ => format!(", in {}", plural(holders as u64, "image")),
            };
            let title = format!("layer {}: {}{holders}\n{command}", row.index, size(row.size));
            let target = Some(format!("#files-{at}-{}", row.index));
            BarSegment { target, ..BarSegment::new(row.size, class, shown(&title).into_owned()) }
        })
        .collect();
    let own = by_class.get("own").copied().unwrap_or_default();
    let label = format!(
        "{}: {} in {}, {} of it in no other image",
        image.reference,
        size(image.size()),
        plural(image.layers.len() as u64, "layer"),
        size(if count == 1 { image.size() } else { own })
    );
    html! {
        li {
            p {
                span { (shown(&image.reference)) }
                span { (size(image.size())) @if count > 1 { ", own " (size(own)) } }
            }
            (bar(&label, &segments, whole))
        }
    }
}

fn layer_table(
    images: &[ReportedImage],
    order: &[&Digest],
    layers: &HashMap<&Digest, SharedLayer>,
) -> Markup {
    let rows: Vec<[String; 4]> = order
        .iter()
        .filter_map(|digest| {
            let layer = layers.get(digest)?;
            let names = layer.images.iter().filter_map(|at| images.get(*at));
            let names: Vec<&str> = names.map(|image| image.reference.as_str()).collect();
            let holders = if names.len() == images.len() && names.len() > 1 {
                format!("all {}", names.len())
            } else {
                names.join(", ")
            };
            Some([digest.short().to_owned(), size(layer.size), holders, layer.command.clone()])
        })
        .collect();
    let columns = [
        PageColumn::Text("Digest"),
        PageColumn::Number("Size"),
        PageColumn::Text("In"),
        PageColumn::Text("Command"),
    ];
    table("Distinct layers of all images", columns, &rows)
}
