//! The differences of two images as text that fits the terminal; of at most 80 columns in a pipe.

use std::fmt::Write as _;

use serde_json::Value;

use super::compared::{ComparedImage, ImageDiff};
use crate::cli::size::{percent, plural, size};
use crate::cli::table::{Column, table};
use crate::cli::terminal_width::{is_wide, terminal_width, truncate_in_pipe};
use crate::cli::text_width::{truncate, truncate_start};
use crate::cli::wrap::wrap;
use crate::insight::command::display_command;
use crate::insight::diff::config::ConfigChange;
use crate::insight::diff::layers::{LayerDiff, LayerDiffRow, LayerShare, LayerSide};

/// Width of the column with commands in a pipe.
const COMMAND_WIDTH: usize = 42;

/// Width of a setting's value in a pipe, after its indentation.
const VALUE_WIDTH: usize = 76;

/// Columns before a setting's value.
const VALUE_INDENT: usize = 4;

/// Formats everything. `whole` text is not truncated.
pub(super) fn text_of(diff: &ImageDiff<'_>, whole: bool) -> String {
    let mut text = String::new();
    image_lines(&mut text, "A", diff.a);
    image_lines(&mut text, "B", diff.b);
    text.push('\n');
    totals(&mut text, diff);
    text.push('\n');
    text.push_str(&layer_table(&diff.layers.layers, whole));
    if let Some(changes) = diff.config.as_deref() {
        text.push_str(&config_lines(changes, whole));
    }
    text
}

// Writing to a `String` cannot fail.
fn image_lines(text: &mut String, side: &str, image: &ComparedImage) {
    let name = crate::escape(&image.reference);
    let name = match terminal_width() {
        Some(columns) => truncate_start(&name, columns.saturating_sub(3)),
        None => name.into_owned(),
    };
    _ = writeln!(text, "{side}  {name}");
    let platform = image.config.as_ref().map(|config| config.platform().to_string());
    let platform = platform.map(|platform| format!(", {platform}")).unwrap_or_default();
    let shown = format!("{}{platform}", size(image.size));
    _ = writeln!(text, "   {} {}", image.named.digest().short(), crate::escape(&shown));
}

fn totals(text: &mut String, diff: &ImageDiff<'_>) {
    let LayerDiff { shared, only_a, only_b, recompressed, pull, .. } = &diff.layers;
    let of = |totals: &LayerShare| {
        format!("{} in {}", size(totals.bytes), plural(totals.layers, "layer"))
    };
    _ = writeln!(text, "{:<10}{}", "shared", of(shared));
    _ = writeln!(text, "{:<10}{}", "only A", of(only_a));
    _ = writeln!(text, "{:<10}{}", "only B", of(only_b));
    if recompressed.layers > 0 {
        _ = writeln!(text, "{:<10}of these {}: same content as in A", "", of(recompressed));
    }
    let saved = percent(diff.b.size.saturating_sub(pull.bytes), diff.b.size);
    let cost = format!("{} in {}", size(pull.bytes), plural(pull.blobs, "blob"));
    let cost = format!("{cost} for B on a host with A ({saved} shared)");
    text.push_str(&wrap("pull      ", &cost, terminal_width().unwrap_or(usize::MAX)));
}

fn layer_table(rows: &[LayerDiffRow], whole: bool) -> String {
    let cells: Vec<[String; 4]> = rows.iter().map(|row| layer_cells(row, whole)).collect();
    let columns = [
        Column::whole("IN"),
        Column::whole("DIGEST"),
        Column::whole("SIZE"),
        Column::cut("COMMAND", 16),
    ];
    table(columns, &cells, terminal_width().filter(|_| !whole))
}

fn layer_cells(row: &LayerDiffRow, whole: bool) -> [String; 4] {
    let side = match row.side {
        LayerSide::Both => "both",
        LayerSide::A => "A",
        LayerSide::B => "B",
    };
    let command = display_command(&row.created_by);
    // What matters most comes first: the command may be cut.
    let command = match &row.same_content {
        Some(other) => format!("[content of {}] {command}", other.short()),
        None => command,
    };
    let digest = if whole { row.digest.as_str() } else { row.digest.short() };
    let command = if whole { command } else { truncate_in_pipe(command, COMMAND_WIDTH) };
    [side.to_owned(), digest.to_owned(), size(row.size), command]
}

/// Formats each setting over its values, like a diff of lines.
fn config_lines(changes: &[ConfigChange], whole: bool) -> String {
    if changes.is_empty() {
        return "\nthe configs have the same settings\n".to_owned();
    }
    let mut text = "\nCONFIG\n".to_owned();
    let room = terminal_width().map_or(VALUE_WIDTH, |columns| columns.saturating_sub(VALUE_INDENT));
    let whole = whole || is_wide();
    for change in changes {
        let name = change.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        _ = writeln!(text, "{}", crate::escape(&format!("{}{name}", change.field)));
        for (sign, value) in [("-", &change.a), ("+", &change.b)] {
            let Some(value) = value else { continue };
            let value = value_text(value);
            let value = if whole { value } else { truncate(&crate::escape(&value), room) };
            _ = writeln!(text, "{}", crate::escape(&format!("  {sign} {value}")).trim_end());
        }
    }
    text
}

pub(super) fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // The value of a port or volume.
        Value::Object(members) if members.is_empty() => String::new(),
        other => other.to_string(),
    }
}
