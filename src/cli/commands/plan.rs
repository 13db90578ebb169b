//! `--plan`: what would travel, before anything does.

use std::fmt::Write as _;
use std::process::ExitCode;

use crate::cli::exit;
use crate::cli::output;
use crate::cli::settings::Settings;
use crate::cli::size::{percent, size};
use crate::cli::table::table;
use crate::error::Result;
use crate::transfer::{PlanReport, State};

pub(super) fn show(plans: &[Result<PlanReport>], settings: &Settings) -> Result<ExitCode> {
    let there: Vec<&PlanReport> = plans.iter().filter_map(|plan| plan.as_ref().ok()).collect();
    match (settings.json, there.as_slice()) {
        (true, [one]) => output::json(one)?,
        (true, several) => output::json(&several)?,
        (false, several) => {
            several.iter().try_for_each(|plan| output::text(&text(plan)))?;
        }
    }
    for error in plans.iter().filter_map(|plan| plan.as_ref().err()) {
        exit::report(error);
    }
    let first_failure = plans.iter().find_map(|plan| plan.as_ref().err());
    Ok(first_failure.map_or(ExitCode::SUCCESS, |error| ExitCode::from(exit::code(error))))
}

fn text(plan: &PlanReport) -> String {
    let rows: Vec<[String; 4]> = plan
        .blobs
        .iter()
        .map(|blob| {
            let state = match blob.state {
                State::Shared => "shared".to_owned(),
                State::Partial(bytes) => format!("partial, {} on disk", size(bytes)),
                State::Missing => "missing".to_owned(),
                State::Skipped => "foreign, skipped".to_owned(),
            };
            [blob.digest.short().to_owned(), size(blob.size), state, blob.media_type.clone()]
        })
        .collect();
    let bytes = &plan.bytes;
    let shared = percent(bytes.shared, bytes.total);
    let mut text = table(["BLOB", "SIZE", "STATE", "TYPE"], &rows);
    // Writing to a String cannot fail.
    _ = writeln!(
        text,
        "{}: would transfer {} of {}, {} shared ({shared})",
        plan.head.reference,
        size(bytes.missing),
        size(bytes.total),
        size(bytes.shared),
    );
    text
}
