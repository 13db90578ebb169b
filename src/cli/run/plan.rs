//! `--plan`: prints what would be transferred.

use std::fmt::Write as _;
use std::process::ExitCode;

use crate::cli::run::report::{JsonShape, json_of, print_values};
use crate::cli::settings::Settings;
use crate::cli::size::{percent, size};
use crate::cli::table::{Column, table};
use crate::cli::terminal_width::terminal_width;
use crate::cli::{exit, output};
use crate::error::Result;
use crate::transfer::{BlobState, PlanBytes, PlanReport, PlannedImage};

/// Prints the plans, in the order of the arguments.
pub(in crate::cli) fn show(
    plans: &[PlannedImage],
    shape: JsonShape,
    settings: &Settings,
) -> Result<ExitCode> {
    if settings.json {
        let values = plans.iter().map(|plan| json_of(&plan.report, plan.error.as_ref()));
        print_values(&values.collect::<Result<Vec<_>>>()?, shape)?;
    } else {
        let known = plans.iter().filter(|plan| plan.error.is_none());
        known.map(|plan| &plan.report).try_for_each(|plan| output::text(&text(plan)))?;
    }
    let failures = plans.iter().filter_map(|plan| plan.error.as_ref());
    let codes: Vec<ExitCode> = failures.map(exit::report).collect();
    Ok(codes.first().copied().unwrap_or(ExitCode::SUCCESS))
}

fn text(plan: &PlanReport) -> String {
    let rows: Vec<[String; 4]> = plan
        .blobs
        .iter()
        .map(|blob| {
            let state = match blob.state {
                BlobState::Shared => "shared".to_owned(),
                BlobState::Partial(bytes) => format!("partial, {} on disk", size(bytes)),
                BlobState::Mountable => "mountable".to_owned(),
                BlobState::Missing => "missing".to_owned(),
                BlobState::Skipped => "foreign, skipped".to_owned(),
            };
            [blob.digest.short().to_owned(), size(blob.size), state, blob.media_type.clone()]
        })
        .collect();
    let [blob, size, state] = ["BLOB", "SIZE", "STATE"].map(Column::whole);
    let columns = [blob, size, state, Column::cut_start("TYPE", 16).optional(1)];
    let mut text = table(columns, &rows, terminal_width());
    // Writing to a `String` cannot fail.
    _ = writeln!(text, "{}: {}", plan.summary.reference, receipt(&plan.bytes));
    text
}

/// `would transfer 3.2 MB of 61.5 MB, 1.0 MB resumed, 57.3 MB shared (93 %)`
fn receipt(bytes: &PlanBytes) -> String {
    let mut parts =
        vec![format!("would transfer {} of {}", size(bytes.missing), size(bytes.total))];
    if bytes.partial > 0 {
        parts.push(format!("{} resumed", size(bytes.partial)));
    }
    if bytes.mountable > 0 {
        parts.push(format!("{} mounted", size(bytes.mountable)));
    }
    parts.push(format!("{} shared ({})", size(bytes.shared), percent(bytes.shared, bytes.total)));
    parts.join(", ")
}
