//! The section of one image: its history, the files of the chosen layer, and what was found.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::image::ReportedImage;
use crate::cli::age::day;
use crate::cli::page::bars::{BarSegment, bar};
use crate::cli::page::shown;
use crate::cli::page::size_tree::{PathBytes, SizeTree};
use crate::cli::page::table::{PageColumn, behind, table};
use crate::cli::page::treemap::{Kind, treemap};
use crate::cli::size::size;
use crate::insight::command::display_command;
use crate::insight::history::HistoryRow;

const KINDS: [Kind; 4] = [
    ("added", "added"),
    ("modified", "modified"),
    ("deleted", "deletes bytes of lower layers"),
    ("wasted", "wasted: hidden by a later layer"),
];

/// What the script draws of an image.
pub(super) fn data(image: &ReportedImage) -> Value {
    json!({"layers": image.files.iter().map(SizeTree::rows).collect::<Vec<_>>()})
}

/// History beside the files of the chosen layer.
pub(super) fn layers_and_files(at: usize, image: &ReportedImage) -> Markup {
    let largest = |(_, tree): &(usize, &SizeTree)| tree.total().added + tree.total().modified;
    let first = image.files.iter().enumerate().rev().max_by_key(largest);
    html! {
        div.layers {
            div {
                h3 #{ "history-" (at) } { "History" }
                p.hint { "Oldest first. Choose a layer to see its files." }
                ol.steps aria-labelledby={ "history-" (at) } tabindex="-1" { (steps(at, image)) }
            }
            div {
                h3 { "Files of the layer" }
                (treemap(at, first.map_or(0, |(layer, _)| layer), &KINDS))
            }
        }
        (behind("Layers as a table", &layer_table(image)))
    }
}

/// The steps of the history; those with a layer choose it.
fn steps(at: usize, image: &ReportedImage) -> Markup {
    let mut layer = 0;
    let numbered = image.steps.iter().map(|step| {
        let number = step.digest.as_ref().map(|_| layer);
        layer += usize::from(number.is_some());
        (number, step)
    });
    let whole = image.files.iter().map(|tree| tree.total().area()).max().unwrap_or_default();
    html! {
        @for (layer, step) in numbered {
            li {
                @if let Some(layer) = layer {
                    a href={ "#files-" (at) "-" (layer) } data-step=(at) data-layer=(layer) {
                        (step_text(Some(layer), step))
                        @if let Some(tree) = image.files.get(layer) { (amounts(layer, &tree.total(), whole)) }
                    }
                } @else {
                    div { (step_text(None, step)) }
                }
            }
        }
    }
}

fn step_text(layer: Option<usize>, step: &HistoryRow) -> Markup {
    let command = display_command(&step.created_by);
    let command = if command.is_empty() { "(no command)" } else { command.as_str() };
    let date = step.created.as_deref().and_then(day).unwrap_or_default();
    html! {
        span.top {
            @if let Some(layer) = layer {
                strong { "layer " (layer) } span { (size(step.size)) }
            } @else {
                span { "no layer" } span { (shown(date)) }
            }
        }
        span.command { (shown(command)) }
    }
}

fn amounts(layer: usize, bytes: &PathBytes, whole: u64) -> Markup {
    let kept = bytes.added.saturating_add(bytes.modified).saturating_sub(bytes.wasted);
    let modified = bytes.modified.min(kept);
    let parts = [
        ("added", kept - modified),
        ("modified", modified),
        ("wasted", bytes.wasted),
        ("deleted", bytes.deleted),
    ];
    let label = parts.iter().filter(|(_, bytes)| *bytes > 0);
    let label = label.map(|(name, bytes)| format!("{} {name}", size(*bytes)));
    let label = label.collect::<Vec<_>>().join(", ");
    let label = format!("layer {layer}: {}", if label.is_empty() { "no bytes" } else { &label });
    let segments =
        parts.map(|(name, bytes)| BarSegment::new(bytes, name, format!("{} {name}", size(bytes))));
    bar(&label, &segments, whole)
}

fn layer_table(image: &ReportedImage) -> Markup {
    let layers = image.layers.iter().zip(&image.unpacked).zip(&image.files);
    let rows: Vec<[String; 10]> = layers
        .map(|((row, unpacked), tree)| {
            let bytes = tree.total();
            [
                row.index.to_string(),
                row.digest.short().to_owned(),
                size(row.size),
                size(*unpacked),
                size(bytes.added),
                size(bytes.modified),
                size(bytes.deleted),
                size(bytes.wasted),
                bytes.files.to_string(),
                display_command(&row.created_by),
            ]
        })
        .collect();
    let columns = [
        PageColumn::Text("Layer"),
        PageColumn::Text("Digest"),
        PageColumn::Number("Size"),
        PageColumn::Number("Unpacked"),
        PageColumn::Number("Added"),
        PageColumn::Number("Modified"),
        PageColumn::Number("Deleted"),
        PageColumn::Number("Wasted"),
        PageColumn::Number("Files"),
        PageColumn::Text("Command"),
    ];
    table("Layers, base first", columns, &rows)
}
