//! What `analyze` found in an image.

use maud::{Markup, html};

use super::image::ReportedImage;
use crate::cli::page::shown;
use crate::cli::page::table::{PageColumn, behind, table};
use crate::cli::size::{plural, size};
use crate::insight::analyze::Finding;

/// Maximum findings on the page.
const MAX_FINDINGS: usize = 200;

pub(super) fn findings(at: usize, image: &ReportedImage) -> Markup {
    let findings = &image.analysis.findings;
    let left_out = findings.len().saturating_sub(MAX_FINDINGS);
    html! {
        @if findings.is_empty() {
            p { "Nothing to improve was found." }
        } @else {
            ul.findings {
                @for finding in findings.iter().take(MAX_FINDINGS) { (card(at, finding)) }
            }
        }
        @if left_out > 0 {
            p.hint { "And " (left_out) " more; " code { "rpull analyze" } " lists them." }
        }
    }
}

fn card(at: usize, finding: &Finding) -> Markup {
    let severity = finding.severity.name();
    html! {
        li class=(severity) {
            p.top {
                span { span.severity { (severity) } (finding.rule.id()) }
                @if finding.bytes > 0 { span { (size(finding.bytes)) } }
            }
            p { (shown(&finding.message)) }
            p.tip { strong { "Tip: " } (shown(&finding.tip)) }
            @if let Some(layer) = finding.layer {
                p.command {
                    a href={ "#files-" (at) "-" (layer) } { "layer " (layer) }
                    " " (shown(&finding.command))
                }
            }
            @if let Some(path) = finding.paths.first() {
                p.path { (shown(&format!("/{}", path.path))) }
            }
            @if finding.paths.len() > 1 { (paths(finding)) }
        }
    }
}

fn paths(finding: &Finding) -> Markup {
    let rows: Vec<[String; 3]> = finding
        .paths
        .iter()
        .map(|path| {
            let note = path.note.clone().unwrap_or_default();
            [format!("/{}", path.path), size(path.bytes), note]
        })
        .collect();
    let columns = [PageColumn::Text("Path"), PageColumn::Number("Bytes"), PageColumn::Text("Note")];
    let caption = match finding.files {
        files if files > finding.paths.len() as u64 => {
            format!("The largest of {}", plural(files, "file"))
        }
        _ => "The paths".to_owned(),
    };
    let summary = format!("all {} paths", finding.paths.len());
    behind(&summary, &table(&caption, columns, &rows))
}
