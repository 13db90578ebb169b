//! What a mirror run prints: names or JSON lines as images are finished, and the summary.

use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::deltas::{DeltaReport, PushedDeltas};
use super::ends::Ends;
use super::image::{MirrorImage, Status};
use crate::cli::output::{self, Lines, note};
use crate::cli::run::removals::Removed;
use crate::cli::run::report::{full_name, json_of, receipt, warn_of_skipped};
use crate::cli::settings::Settings;
use crate::cli::size::plural;
use crate::cli::{exit, hint};
use crate::content::RequestCounts;
use crate::error::{Error, ErrorKind, Result};
use crate::transfer::{ImageReport, ImageResult, RunReport};

/// The result of a run.
pub(super) struct Round {
    pub(super) code: ExitCode,
    /// `None` for a plan.
    pub(super) outcome: Option<Outcome>,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    pub(super) copied: u64,
    pub(super) unchanged: u64,
    /// Images that failed, and tags that should have been deleted.
    pub(super) failed: u64,
    pub(super) deleted: u64,
    /// Deltas that were pushed.
    pub(super) deltas: u64,
    pub(super) transferred: u64,
    pub(super) requests: u64,
}

/// Prints each image when it has its name at its target.
pub(super) struct ImagePrinter {
    json: bool,
    /// What is printed, by name at the target.
    printed: Mutex<HashSet<String>>,
}

impl ImagePrinter {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { json: settings.json, printed: Mutex::default() }
    }

    /// Prints a line for the image; a failed one has one only in JSON.
    pub(super) fn print(&self, result: &ImageResult) -> Result<()> {
        let summary = &result.report.summary;
        let is_new = self.printed().insert(summary.reference.clone());
        let mut lines = Lines::default();
        match (&result.error, &summary.digest) {
            (None, _) if !is_new => {}
            (error, _) if self.json => {
                let mut value = json_of(&result.report, result.first_error())?;
                insert(&mut value, "outcome", if error.is_none() { "copied" } else { "failed" });
                lines.push_json(&value)?;
            }
            (None, Some(digest)) => {
                lines.push(&full_name(&summary.reference, Some(digest)))?;
            }
            _ => {}
        }
        lines.flush()
    }

    fn printed(&self) -> MutexGuard<'_, HashSet<String>> {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Prints the images that need no transfer.
pub(super) fn unchanged(images: &[MirrorImage], settings: &Settings) -> Result<()> {
    let mut lines = Lines::default();
    for image in images {
        let Status::Unchanged(_, copied) = &image.status else { continue };
        match unchanged_json(image) {
            Some(value) if settings.json => lines.push_json(&value)?,
            _ => lines.push(&full_name(&image.reference, Some(&copied.digest)))?,
        }
    }
    lines.flush()
}

pub(super) fn unchanged_json(image: &MirrorImage) -> Option<Value> {
    let Status::Unchanged(pending, copied) = &image.status else { return None };
    Some(json!({
        "source": pending.request.source.endpoint().location,
        "target": pending.target.endpoint().location,
        "reference": image.reference,
        "digest": copied.digest,
        "outcome": "unchanged",
    }))
}

/// Prints the results of a run: what is not printed yet, the errors, and a summary.
pub(super) fn finished(
    images: &[MirrorImage],
    run: &RunReport,
    (removed, deltas): (&Removed, &DeltaReport),
    printer: &ImagePrinter,
    ends: &Ends<'_>,
    settings: &Settings,
) -> Result<Round> {
    let mut lines = Lines::default();
    let mut failed: Vec<(&str, &Error)> = Vec::new();
    let (mut results, mut sum) = (run.images.iter(), ImageReport::default());
    for image in images {
        let error = match &image.status {
            Status::Unchanged(..) => continue,
            Status::Pending(_) => {
                let Some(result) = results.next() else { continue };
                sum.bytes += result.report.bytes;
                warn_of_skipped(&result.report);
                printer.print(result)?;
                result.first_error()
            }
            Status::Failed(error) => {
                if settings.json {
                    lines.push_json(&failure(&image.reference, error)?)?;
                }
                Some(error)
            }
        };
        failed.extend(error.map(|error| (image.reference.as_str(), error)));
    }
    if settings.json {
        changes_json(removed, deltas).iter().try_for_each(|value| lines.push_json(value))?;
    }
    lines.flush()?;
    let mirrored = images.len() - failed.len();
    failed.extend(removed.errors.iter().map(|(what, error)| (what.as_str(), error)));
    failed.extend(deltas.interrupted.iter().map(|error| ("deltas", error)));
    for (reference, error) in &failed {
        exit::report_for(reference, error);
    }
    if failed.iter().any(|(_, error)| error.kind() == ErrorKind::Interrupted) {
        output::hint_line(hint::RESUMABLE);
    }
    sum.elapsed = run.elapsed + deltas.elapsed;
    sum.requests = requests(images, ends);
    if !settings.quiet {
        for (reference, _) in &removed.tags {
            note(&format!("deleted {reference}"));
        }
        let deleted = match removed.tags.len() as u64 {
            0 => String::new(),
            count => format!(", deleted {}", plural(count, "tag")),
        };
        let counts = format!("{}{deleted}{}", counts(images, mirrored), deltas.summary());
        note(&format!("{counts}; {}", receipt(&sum)));
    }
    let unchanged = unchanged_count(images);
    let outcome = Outcome {
        copied: (mirrored - unchanged) as u64,
        unchanged: unchanged as u64,
        failed: failed.len() as u64,
        deleted: removed.tags.len() as u64,
        deltas: deltas.made.len() as u64,
        transferred: sum.bytes.transferred,
        requests: sum.requests.total(),
    };
    let code = exit::code_of_all(failed.iter().map(|(_, error)| *error));
    Ok(Round { code, outcome: Some(outcome) })
}

/// Deleted tags, and images that got deltas.
fn changes_json(removed: &Removed, deltas: &DeltaReport) -> Vec<Value> {
    let deleted = removed.tags.iter().map(|(reference, digest)| {
        json!({ "reference": reference, "digest": digest, "outcome": "deleted" })
    });
    deleted.chain(deltas.made.iter().map(PushedDeltas::json)).collect()
}

pub(super) fn insert(value: &mut Value, key: &str, text: &str) {
    if let Some(object) = value.as_object_mut() {
        object.insert(key.to_owned(), text.into());
    }
}

pub(super) fn failure(reference: &str, error: &Error) -> Result<Value> {
    json_of(&json!({ "reference": reference, "outcome": "failed" }), Some(error))
}

/// `mirrored 46 of 48 images (40 unchanged)`
pub(super) fn counts(images: &[MirrorImage], done: usize) -> String {
    let (all, unchanged) = (images.len(), unchanged_count(images));
    let of = if done == all { String::new() } else { format!("{done} of ") };
    format!("mirrored {of}{} ({unchanged} unchanged)", plural(all as u64, "image"))
}

fn unchanged_count(images: &[MirrorImage]) -> usize {
    images.iter().filter(|image| matches!(image.status, Status::Unchanged(..))).count()
}

/// All requests of the run. Images of several targets share a source handle.
pub(super) fn requests(images: &[MirrorImage], ends: &Ends<'_>) -> RequestCounts {
    let (mut sum, mut counted) = (ends.requests(), HashSet::new());
    for image in images {
        let (Status::Pending(image) | Status::Unchanged(image, _)) = &image.status else {
            continue;
        };
        let source = &image.request.source;
        if counted.insert(Arc::as_ptr(source).cast::<()>()) {
            sum += source.requests();
        }
    }
    sum
}
