//! An analysis as text that fits the terminal.

use std::fmt::Write as _;

use super::result::{AnalyzedImage, NamedBase};
use crate::cli::size::{efficiency, percent, plural, size};
use crate::cli::text_width::{truncate, truncate_start};
use crate::cli::wrap::wrap;
use crate::insight::analyze::{Finding, FindingPath};

/// Paths of a finding that are shown unless all are asked for.
const SHOWN_PATHS: usize = 5;

/// Formats everything for this many columns. `whole` shows whole commands and all paths.
pub(super) fn text_of(image: &AnalyzedImage, columns: usize, whole: bool) -> String {
    let analysis = &image.analysis;
    let mut text = wrap("", &image.reference, columns);
    let layers = plural(image.layers.len() as u64, "layer");
    let unpacked = size(analysis.bytes);
    let about =
        format!("{}, {layers}, {}, {unpacked} of files", image.platform, size(image.size()));
    text.push_str(&wrap("", &about, columns));
    let efficiency = efficiency(analysis.efficiency);
    // Writing to a `String` cannot fail.
    _ = writeln!(text, "\nefficiency  {efficiency}");
    let wasted = analysis.wasted;
    let share = percent(wasted.bytes, analysis.bytes);
    let files = plural(wasted.files, "file");
    let wasted = match wasted.bytes {
        0 => "nothing".to_owned(),
        bytes => format!("{} ({share}) in {files} that later layers hide", size(bytes)),
    };
    text.push_str(&wrap("wasted      ", &wasted, columns));
    let dive = analysis.dive;
    if dive.wasted_bytes > 0 {
        let share = format!("{:.2} %", dive.user_wasted_percent * 100.0);
        let bytes = size(dive.wasted_bytes);
        let shown = format!(
            "{bytes} in all versions of paths in several layers, {share} of the layers above the first"
        );
        text.push_str(&wrap("dive waste  ", &shown, columns));
    }
    if let NamedBase::Checked(check) = &image.base {
        text.push('\n');
        text.push_str(&check.text());
    }
    for finding in &analysis.findings {
        text.push('\n');
        text.push_str(&finding_text(finding, columns, whole));
    }
    if analysis.findings.is_empty() {
        text.push_str("\nnothing to improve was found\n");
    }
    text
}

fn finding_text(finding: &Finding, columns: usize, whole: bool) -> String {
    let severity = finding.severity.name().to_uppercase();
    let bytes =
        if finding.bytes > 0 { format!(": {}", size(finding.bytes)) } else { String::new() };
    let mut text = format!("{severity} {}{bytes}\n", finding.rule.id());
    if let Some(layer) = finding.layer {
        let start = format!("  layer {layer}: ");
        let command = if finding.command.is_empty() { "(no command)" } else { &finding.command };
        if whole {
            text.push_str(&wrap(&start, command, columns));
        } else {
            let width = columns.saturating_sub(start.chars().count());
            _ = writeln!(text, "{start}{}", truncate(&crate::escape(command), width));
        }
    }
    text.push_str(&wrap("  ", &finding.message, columns));
    let shown = if whole { finding.paths.len() } else { SHOWN_PATHS };
    for path in finding.paths.iter().take(shown) {
        text.push_str(&path_line(path, columns, whole));
    }
    let hidden = finding.paths.len().saturating_sub(shown);
    if hidden > 0 {
        let more = if whole { String::new() } else { " (--no-trunc shows them)".to_owned() };
        text.push_str(&wrap(&" ".repeat(14), &format!("and {hidden} more{more}"), columns));
    }
    text.push_str(&wrap("  tip: ", &finding.tip, columns));
    text
}

fn path_line(path: &FindingPath, columns: usize, whole: bool) -> String {
    let note = path.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
    let start = format!("{:>12}  ", size(path.bytes));
    let shown = crate::escape(&format!("/{}{note}", path.path)).into_owned();
    let width = columns.saturating_sub(start.len());
    let shown = if whole { shown } else { truncate_start(&shown, width) };
    format!("{start}{shown}\n")
}
