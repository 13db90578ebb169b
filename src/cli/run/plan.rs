//! `--plan`: prints what would be transferred.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::run::report::{JsonShape, json_of, print_values};
use crate::cli::settings::Settings;
use crate::cli::size::{percent, plural, size};
use crate::cli::table::{Column, table};
use crate::cli::terminal_width::terminal_width;
use crate::cli::wrap::wrap_line;
use crate::cli::{exit, output};
use crate::error::Result;
use crate::free_space::available_space;
use crate::transfer::{BlobState, PlanBytes, PlanReport, PlannedImage};

/// Prints the plans, in the order of the arguments, and how much space is free in the `directory` that is written to.
pub(in crate::cli) fn show(
    plans: &[PlannedImage],
    directory: Option<&Path>,
    shape: JsonShape,
    settings: &Settings,
) -> Result<ExitCode> {
    if settings.json {
        let values = plans.iter().map(|plan| json_of(&plan.report, plan.error.as_ref()));
        print_values(&values.collect::<Result<Vec<_>>>()?, shape)?;
    } else {
        let known = plans.iter().filter(|plan| plan.error.is_none());
        let free = directory.and_then(available_space);
        let known: Vec<&PlanReport> = known.map(|plan| &plan.report).collect();
        let is_last = known.len() == 1;
        let texts = known.iter().map(|plan| text(plan, free.filter(|_| is_last)));
        texts.chain(sum(&known, free)).try_for_each(|text| output::text(&text))?;
    }
    let failures = plans.iter().filter_map(|plan| plan.error.as_ref());
    let codes: Vec<ExitCode> = failures.map(exit::report).collect();
    Ok(codes.first().copied().unwrap_or(ExitCode::SUCCESS))
}

fn text(plan: &PlanReport, free: Option<u64>) -> String {
    let rows: Vec<[String; 4]> = plan
        .blobs
        .iter()
        .map(|blob| {
            let state = match blob.state {
                BlobState::Shared => "shared".to_owned(),
                BlobState::Partial(bytes) => format!("partial, {} on disk", size(bytes)),
                BlobState::Mountable => "mountable".to_owned(),
                BlobState::Rebuildable(delta) => format!("rebuild{}", from_deltas(delta)),
                BlobState::Missing => "missing".to_owned(),
                BlobState::Skipped => "foreign, skipped".to_owned(),
            };
            [blob.digest.short().to_owned(), size(blob.size), state, blob.media_type.clone()]
        })
        .collect();
    let [blob, size, state] = ["BLOB", "SIZE", "STATE"].map(Column::whole);
    let columns = [blob, size, state, Column::cut_start("TYPE", 16).optional(1)];
    let mut text = table(columns, &rows, terminal_width());
    text.push_str(&last_line(&plan.summary.reference, &receipt(&plan.bytes, free)));
    text
}

/// ` from 3.0 MB`; nothing if the bytes of deltas are not known because an archive's list of them cannot be read.
pub(in crate::cli) fn from_deltas(delta_bytes: u64) -> String {
    if delta_bytes == 0 { String::new() } else { format!(" from {}", size(delta_bytes)) }
}

/// The sum of several plans. A blob belongs to the first image that needs it.
fn sum(plans: &[&PlanReport], free: Option<u64>) -> Option<String> {
    let mut bytes = PlanBytes::default();
    for plan in plans {
        bytes += plan.bytes;
    }
    let count = plans.len() as u64;
    (count > 1).then(|| last_line(&plural(count, "image"), &receipt(&bytes, free)))
}

fn last_line(what: &str, receipt: &str) -> String {
    wrap_line(&format!("{what}: {receipt}"), terminal_width()) + "\n"
}

/// `would transfer 3.2 MB of 61.5 MB, 1.0 MB resumed, 57.3 MB shared (93 %), 52.4 GB free`
pub(in crate::cli) fn receipt(bytes: &PlanBytes, free: Option<u64>) -> String {
    if bytes.total == 0 {
        return "nothing to transfer".to_owned();
    }
    let mut parts =
        vec![format!("would transfer {} of {}", size(bytes.missing), size(bytes.total))];
    if bytes.rebuildable > 0 {
        parts.push(format!(
            "rebuild {}{}",
            size(bytes.rebuildable),
            from_deltas(bytes.delta_bytes)
        ));
    }
    if bytes.partial > 0 {
        parts.push(format!("{} resumed", size(bytes.partial)));
    }
    if bytes.mountable > 0 {
        parts.push(format!("{} mounted", size(bytes.mountable)));
    }
    parts.push(format!("{} shared ({})", size(bytes.shared), percent(bytes.shared, bytes.total)));
    if let Some(free) = free.filter(|_| bytes.missing > 0) {
        parts.push(format!("{} free", size(free)));
    }
    parts.join(", ")
}
