//! The deltas of an image as a table and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::size::{percent, size};
use crate::cli::table::{Column, table};
use crate::cli::terminal_width::terminal_width;
use crate::delta::Delta;
use crate::image_delta::LayerDelta;

/// One line per layer, and their sum.
pub(super) fn layer_table(layers: &[LayerDelta]) -> String {
    let row = |one: &LayerDelta| {
        let digest = one.layer.digest.short().to_owned();
        let whole = size(one.layer.size);
        match &one.delta {
            Ok(delta) => {
                let share = percent(delta.size(), one.layer.size);
                let encoder = delta.header().encoder.to_string();
                [digest, whole, size(delta.size()), share, encoder]
            }
            Err(reason) => {
                [digest, whole, "-".to_owned(), "-".to_owned(), format!("whole: {reason}")]
            }
        }
    };
    let rows: Vec<[String; 5]> = layers.iter().map(row).collect();
    if rows.is_empty() {
        return "no new layers\n".to_owned();
    }
    let [layer, bytes, delta, share] = ["LAYER", "SIZE", "DELTA", "SHARE"].map(Column::whole);
    let columns = [layer, bytes, delta, share, Column::cut("ENCODER", 34).optional(1)];
    let mut text = table(columns, &rows, terminal_width());
    let whole: u64 = layers.iter().map(|one| one.layer.size).sum();
    let sent = layers.iter().map(|one| match &one.delta {
        Ok(delta) => delta.size(),
        Err(_) => one.layer.size,
    });
    let sent = sent.sum();
    let share = percent(sent, whole);
    // Writing to a `String` cannot fail.
    _ = writeln!(text, "{} instead of {} ({share})", size(sent), size(whole));
    text
}

pub(super) fn json_of_layers(layers: &[LayerDelta]) -> Vec<Value> {
    let value = |one: &LayerDelta| {
        let delta = one.delta.as_ref().ok();
        json!({
            "digest": one.layer.digest,
            "size": one.layer.size,
            "delta_bytes": delta.map(Delta::size),
            "delta_digest": delta.map(Delta::digest),
            "encoder": delta.map(|delta| &delta.header().encoder),
            "whole": one.delta.as_ref().err(),
        })
    };
    layers.iter().map(value).collect()
}
