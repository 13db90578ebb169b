//! `--plan`: what would travel, before anything does.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::json;

use super::report::{json_of, print_values};
use crate::cli::exit;
use crate::cli::output;
use crate::cli::settings::Settings;
use crate::cli::size::{percent, size};
use crate::cli::table::table;
use crate::error::Result;
use crate::transfer::{PlanReport, State, Wanted};

/// Shows the plans of these references, in their order.
pub(super) fn show(
    wanted: &[Wanted],
    plans: &[Result<PlanReport>],
    several: bool,
    settings: &Settings,
) -> Result<ExitCode> {
    if settings.json {
        let values = wanted.iter().zip(plans).map(|(wanted, plan)| match plan {
            Ok(plan) => json_of(plan, None),
            Err(error) => json_of(&json!({ "reference": wanted.reference }), Some(error)),
        });
        print_values(&values.collect::<Result<Vec<_>>>()?, several)?;
    } else {
        plans.iter().flatten().try_for_each(|plan| output::text(&text(plan)))?;
    }
    let codes: Vec<ExitCode> =
        plans.iter().filter_map(|plan| plan.as_ref().err()).map(exit::report).collect();
    Ok(codes.first().copied().unwrap_or(ExitCode::SUCCESS))
}

fn text(plan: &PlanReport) -> String {
    let rows: Vec<[String; 4]> = plan
        .blobs
        .iter()
        .map(|blob| {
            let state = match blob.state {
                State::Shared => "shared".to_owned(),
                State::Partial(bytes) => format!("partial, {} on disk", size(bytes)),
                State::Mountable => "mountable".to_owned(),
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
