//! Results of a run: the receipt on stderr, names on stdout, or JSON.

use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::exit;
use crate::cli::output::{self, note};
use crate::cli::settings::Settings;
use crate::cli::size::{percent, plural, size};
use crate::content::RateLimit;
use crate::digest::Digest;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::reference::is_pinned;
use crate::transfer::{BlobOutcome, ImageReport, ImageResult};

/// The form of JSON output. It depends on the command alone, so that scripts need not count its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum JsonShape {
    /// The value of the only image that the command takes.
    Value,
    /// A list with a value per image, also for one.
    List,
}

/// How to print results.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct ReportOptions {
    pub(in crate::cli) shape: JsonShape,
    /// Whether stdout is free for the images' names.
    pub(in crate::cli) names: bool,
    /// The hint for an interrupted run, if another one needs to transfer less.
    pub(in crate::cli) repeat_hint: Option<&'static str>,
}

/// Prints the results and errors.
pub(in crate::cli) fn print_reports(
    finished: &[ImageResult],
    options: ReportOptions,
    settings: &Settings,
) -> Result<ExitCode> {
    for one in finished {
        if let Some(error) = one.first_error() {
            exit::report(error);
        }
        if !settings.quiet && (one.error.is_none() || !one.report.blobs.is_empty()) {
            if let (Some(digest), None) = (&one.report.summary.digest, &one.error) {
                note(&format!("digest: {digest}"));
            }
            note(&receipt(&one.report));
            if let Some(limit) = &one.report.rate_limit {
                note(&format!("rate limit: {}", rate_limit(limit)));
            }
            if let Some(line) = artifact_summary(&one.report) {
                note(&line);
            }
        }
        warn_of_skipped(&one.report);
        if one.error.is_none() && options.names && !settings.json {
            let summary = &one.report.summary;
            output::line(&full_name(&summary.reference, summary.digest.as_ref()))?;
        }
    }
    let errors = finished.iter().filter_map(ImageResult::first_error);
    let failed = exit::deciding(errors.clone());
    let is_interrupted = failed.is_some_and(|error| error.kind() == ErrorKind::Interrupted);
    if let Some(hint) = options.repeat_hint.filter(|_| is_interrupted) {
        output::hint_line(hint);
    }
    if settings.json {
        let values = finished.iter().map(|one| json_of(&one.report, one.first_error()));
        print_values(&values.collect::<Result<Vec<_>>>()?, options.shape)?;
    }
    Ok(exit::code_of_all(errors))
}

/// Warns about foreign layers, because an image without them does not run.
pub(in crate::cli) fn warn_of_skipped(report: &ImageReport) {
    let skipped = report.blobs.iter().filter(|blob| blob.outcome == BlobOutcome::Skipped).count();
    if skipped > 0 {
        let layers = if skipped == 1 { "layer was" } else { "layers were" };
        tracing::warn!("{}: {skipped} foreign {layers} skipped", report.summary.reference);
        output::warning_hint("include foreign layers with `--foreign-layers`");
    }
}

/// Returns `registry/repo:tag@digest`.
pub(in crate::cli) fn full_name(reference: &str, digest: Option<&Digest>) -> String {
    let bare = reference.rsplit_once('@').filter(|_| is_pinned(reference));
    let name = bare.map_or(reference, |(bare, _)| bare);
    match digest {
        // A name that is a digest needs no second one.
        Some(digest) if name.parse::<Digest>().is_ok_and(|name| name.algorithm().is_ok()) => {
            digest.to_string()
        }
        Some(digest) => format!("{name}@{digest}"),
        None => name.to_owned(),
    }
}

/// Returns the JSON value with the error added.
pub(in crate::cli) fn json_of(known: &impl Serialize, error: Option<&Error>) -> Result<Value> {
    let mut value = serde_json::to_value(known)
        .map_err(|error| Error::new(ErrorKind::Unsupported, "print JSON").with_source(error))?;
    if let (Some(error), Some(object)) = (error, value.as_object_mut()) {
        let error_value =
            json!({ "kind": error.kind().name(), "message": output::redacted(&error.chain()) });
        object.insert("error".to_owned(), error_value);
        if error.kind() == ErrorKind::Stopped {
            let limit = match error.detail() {
                Some(ErrorDetail::DeletionLimit) => "max-delete",
                Some(ErrorDetail::RateLimitFloor) => "rate-limit-floor",
                _ => "max-bytes",
            };
            object.insert("stopped".to_owned(), limit.into());
        }
    }
    Ok(value)
}

pub(in crate::cli) fn print_values(values: &[Value], shape: JsonShape) -> Result<()> {
    match values {
        [one] if shape == JsonShape::Value => output::json(one),
        all => output::json(&all),
    }
}

/// `76 of 100 left, per 6 h, counted for 192.0.2.1`
pub(in crate::cli) fn rate_limit(limit: &RateLimit) -> String {
    let mut parts = vec![match (limit.remaining, limit.limit) {
        (Some(left), Some(all)) => format!("{left} of {all} left"),
        (Some(left), None) => format!("{left} left"),
        (None, all) => format!("{} in all", all.unwrap_or_default()),
    }];
    if let Some(seconds) = limit.window_s {
        parts.push(match (seconds % 3600, seconds % 60) {
            (0, _) if seconds > 0 => format!("per {} h", seconds / 3600),
            (_, 0) if seconds > 0 => format!("per {} min", seconds / 60),
            _ => format!("per {seconds} s"),
        });
    }
    if let Some(source) = &limit.source {
        parts.push(format!("counted for {source}"));
    }
    parts.join(", ")
}

/// `included 2 referrers, 1 digest tag`
fn artifact_summary(report: &ImageReport) -> Option<String> {
    let count = |number: Option<usize>, one| number.map(|number| plural(number as u64, one));
    let head = &report.summary;
    let parts = [count(head.referrers, "referrer"), count(head.digest_tags, "digest tag")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| format!("included {}", parts.join(", ")))
}

/// `transferred 3.2 MB of 61.5 MB, 58.3 MB shared (95 %), 4 requests, 0.4 s`
pub(in crate::cli) fn receipt(report: &ImageReport) -> String {
    let bytes = &report.bytes;
    let mut parts = vec![if bytes.total == 0 {
        "nothing to transfer".to_owned()
    } else {
        format!("transferred {} of {}", size(bytes.transferred), size(bytes.total))
    }];
    // The transfer of one host needs no name.
    if report.hosts.len() > 1 {
        let host = |(host, bytes): (&String, &u64)| format!("{} from {host}", size(*bytes));
        parts.extend(report.hosts.iter().map(host));
    }
    if bytes.resumed > 0 {
        parts.push(format!("{} resumed", size(bytes.resumed)));
    }
    if bytes.mounted > 0 {
        parts.push(format!("{} mounted", size(bytes.mounted)));
    }
    if bytes.rebuilt > 0 {
        let used = bytes.delta_bytes - bytes.delta_wasted.min(bytes.delta_bytes);
        parts.push(format!("{} rebuilt from {}", size(bytes.rebuilt), size(used)));
    }
    // A run that mounted all shared nothing else.
    if bytes.total > 0 && (bytes.shared > 0 || bytes.mounted < bytes.total) {
        let share = percent(bytes.shared, bytes.total);
        parts.push(format!("{} shared ({share})", size(bytes.shared)));
    }
    if bytes.delta_wasted > 0 {
        parts.push(format!("{} of deltas wasted", size(bytes.delta_wasted)));
    }
    if bytes.resent > 0 {
        parts.push(format!("{} resent", size(bytes.resent)));
    }
    if bytes.missing > 0 {
        parts.push(format!("{} missing", size(bytes.missing)));
    }
    parts.push(plural(report.requests.total(), "request"));
    parts.push(format!("{:.1} s", report.elapsed.as_secs_f64()));
    parts.join(", ")
}
