//! What a mirror run prints: names as images are finished, JSON lines, the plan and the summary.

use std::collections::{HashMap, HashSet};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::ends::Ends;
use super::images::{MirrorImage, Status};
use crate::cli::output::{self, Lines, note};
use crate::cli::run::report::{full_name, json_of, receipt, warn_of_skipped};
use crate::cli::settings::Settings;
use crate::cli::size::{plural, size};
use crate::cli::table::{Column, table};
use crate::cli::terminal_width::terminal_width;
use crate::cli::{exit, hint};
use crate::content::RequestCounts;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::{Event, Progress};
use crate::transfer::{BlobState, ImageResult, PlannedImage, Report, RunReport};

/// Prints the name of each image when it is finished.
pub(super) struct FinishedNames {
    inner: Arc<dyn Progress>,
    state: Mutex<NamesState>,
}

#[derive(Default)]
struct NamesState {
    digests: HashMap<String, Digest>,
    printed: HashSet<String>,
    /// Images of targets that appear as a whole, and are not there before.
    late: HashSet<String>,
}

impl FinishedNames {
    pub(super) fn new(images: &[MirrorImage], inner: Arc<dyn Progress>) -> Self {
        let pending = images.iter().filter_map(MirrorImage::pending);
        let late = pending.filter(|image| image.target.properties().atomic);
        let late = late.map(|image| image.request.reference.clone()).collect();
        Self { inner, state: Mutex::new(NamesState { late, ..NamesState::default() }) }
    }

    fn state(&self) -> MutexGuard<'_, NamesState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for FinishedNames {
    fn on_event(&self, event: &Event<'_>) {
        self.inner.on_event(event);
        let mut state = self.state();
        match event {
            Event::Resolved { reference, digest, .. } => {
                state.digests.insert((*reference).to_owned(), (*digest).clone());
            }
            Event::Committed { reference } if !state.late.contains(*reference) => {
                if let Some(digest) = state.digests.get(*reference) {
                    // A reader that is gone is noticed at the end.
                    _ = output::line(&crate::escape(&full_name(reference, Some(digest)))).is_ok();
                }
                state.printed.insert((*reference).to_owned());
            }
            _ => {}
        }
    }
}

/// Prints the images that need no transfer.
pub(super) fn unchanged(images: &[MirrorImage], settings: &Settings) -> Result<()> {
    let mut lines = Lines::default();
    for image in images {
        let Status::Unchanged(_, copied) = &image.status else { continue };
        match unchanged_json(image) {
            Some(value) if settings.json => lines.push_json(&value)?,
            _ => lines.push(&crate::escape(&full_name(&image.reference, Some(&copied.digest))))?,
        }
    }
    lines.flush()
}

fn unchanged_json(image: &MirrorImage) -> Option<Value> {
    let Status::Unchanged(pending, copied) = &image.status else { return None };
    Some(json!({
        "source": pending.request.source.endpoint().location,
        "target": pending.target.endpoint().location,
        "reference": image.reference,
        "digest": copied.digest,
        "outcome": "unchanged",
    }))
}

/// Prints the results of a run: what is not printed yet, the errors, and a summary. Returns the exit code.
pub(super) fn finished(
    images: &[MirrorImage],
    run: &RunReport,
    names: &FinishedNames,
    ends: &Ends<'_>,
    settings: &Settings,
) -> Result<ExitCode> {
    let mut lines = Lines::default();
    let mut failed: Vec<(&str, &Error)> = Vec::new();
    let (mut results, mut sum) = (run.images.iter(), Report::default());
    for image in images {
        let error = match &image.status {
            Status::Unchanged(..) => continue,
            Status::Pending(_) => {
                let Some(result) = results.next() else { continue };
                sum.bytes += result.report.bytes;
                warn_of_skipped(&result.report);
                print(result, names, settings, &mut lines)?;
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
    lines.flush()?;
    for (reference, error) in &failed {
        exit::report_for(reference, error);
    }
    if failed.iter().any(|(_, error)| error.kind() == ErrorKind::Interrupted) {
        output::hint_line(hint::RESUMABLE);
    }
    if !settings.quiet {
        sum.elapsed = run.elapsed;
        sum.requests = requests(images, ends);
        note(&format!("{}; {}", counts(images, failed.len()), receipt(&sum)));
    }
    Ok(exit::code_of_all(failed.iter().map(|(_, error)| *error)))
}

fn print(
    result: &ImageResult,
    names: &FinishedNames,
    settings: &Settings,
    lines: &mut Lines,
) -> Result<()> {
    let summary = &result.report.summary;
    if settings.json {
        let mut value = json_of(&result.report, result.first_error())?;
        let outcome = if result.error.is_none() { "copied" } else { "failed" };
        insert(&mut value, "outcome", outcome);
        lines.push_json(&value)
    } else if let (None, Some(digest)) = (&result.error, &summary.digest)
        && !names.state().printed.contains(&summary.reference)
    {
        lines.push(&crate::escape(&full_name(&summary.reference, Some(digest))))
    } else {
        Ok(())
    }
}

fn insert(value: &mut Value, key: &str, text: &str) {
    if let Some(object) = value.as_object_mut() {
        object.insert(key.to_owned(), text.into());
    }
}

fn failure(reference: &str, error: &Error) -> Result<Value> {
    json_of(&json!({ "reference": reference, "outcome": "failed" }), Some(error))
}

/// `mirrored 46 of 48 images (40 unchanged)`
fn counts(images: &[MirrorImage], failed: usize) -> String {
    let unchanged = images.iter().filter(|image| matches!(image.status, Status::Unchanged(..)));
    let (all, unchanged) = (images.len(), unchanged.count());
    let of = match failed {
        0 => String::new(),
        _ => format!("{} of ", all - failed),
    };
    format!("mirrored {of}{} ({unchanged} unchanged)", plural(all as u64, "image"))
}

/// All requests of the run. Images of several targets share a source handle.
fn requests(images: &[MirrorImage], ends: &Ends<'_>) -> RequestCounts {
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

/// Prints what a run would do.
pub(super) fn plan(
    images: &[MirrorImage],
    planned: Vec<PlannedImage>,
    ends: &Ends<'_>,
    settings: &Settings,
) -> Result<ExitCode> {
    let mut lines = Lines::default();
    let mut failed: Vec<(&str, Error)> = Vec::new();
    let (mut rows, mut blobs) = (Vec::new(), UniqueBlobs::default());
    let mut planned = planned.into_iter();
    for image in images {
        let mut row = [image.reference.clone(), String::new(), String::new(), String::new()];
        match &image.status {
            Status::Unchanged(..) => {
                "unchanged".clone_into(&mut row[3]);
                if let Some(value) = unchanged_json(image).filter(|_| settings.json) {
                    lines.push_json(&value)?;
                }
            }
            Status::Pending(_) => {
                let Some(plan) = planned.next() else { continue };
                if settings.json {
                    let mut value = json_of(&plan.report, plan.error.as_ref())?;
                    let outcome = if plan.error.is_none() { "planned" } else { "failed" };
                    insert(&mut value, "outcome", outcome);
                    lines.push_json(&value)?;
                }
                let bytes = &plan.report.bytes;
                row[1] = size(bytes.total);
                row[2] = size(bytes.missing);
                let state = if plan.error.is_none() { "changed" } else { "failed" };
                state.clone_into(&mut row[3]);
                blobs.add(&plan);
                failed.extend(plan.error.map(|error| (image.reference.as_str(), error)));
            }
            Status::Failed(error) => {
                "failed".clone_into(&mut row[3]);
                if settings.json {
                    lines.push_json(&failure(&image.reference, error)?)?;
                }
                failed.push((&image.reference, error.clone_for()));
            }
        }
        rows.push(row);
    }
    lines.flush()?;
    if !settings.json {
        let [size, missing, state] = ["SIZE", "MISSING", "STATE"].map(Column::whole);
        let columns = [Column::cut_start("IMAGE", 16), size, missing, state];
        output::text(&table(columns, &rows, terminal_width()))?;
        let requests = plural(requests(images, ends).total(), "request");
        let counts = counts(images, failed.len()).replacen("mirrored", "would mirror", 1);
        output::line(&format!("{counts}; {}; {requests} for this plan", blobs.summary()))?;
    }
    let failed: Vec<(&str, &Error)> =
        failed.iter().map(|(reference, error)| (*reference, error)).collect();
    for (reference, error) in &failed {
        exit::report_for(reference, error);
    }
    Ok(exit::code_of_all(failed.iter().map(|(_, error)| *error)))
}

/// The blobs of a plan, each once, whatever number of targets it has.
#[derive(Default)]
struct UniqueBlobs {
    missing: HashMap<Digest, u64>,
    shared: HashMap<Digest, u64>,
    /// Bytes that are mounted, once for each target.
    mountable: u64,
}

impl UniqueBlobs {
    fn add(&mut self, plan: &PlannedImage) {
        self.mountable += plan.report.bytes.mountable;
        for blob in &plan.report.blobs {
            match blob.state {
                BlobState::Missing | BlobState::Partial(_) => {
                    self.missing.insert(blob.digest.clone(), blob.size);
                }
                BlobState::Shared | BlobState::Mountable => {
                    self.shared.insert(blob.digest.clone(), blob.size);
                }
                BlobState::Skipped => {}
            }
        }
    }

    /// `12 unique blobs, 134 MB: 100 MB missing, 20 MB mountable, 14 MB shared`
    fn summary(&self) -> String {
        // A later image says shared of what an earlier one transfers.
        let shared = self.shared.iter().filter(|(digest, _)| !self.missing.contains_key(digest));
        let shared: Vec<u64> = shared.map(|(_, size)| *size).collect();
        let missing: u64 = self.missing.values().sum();
        let existing: u64 = shared.iter().sum();
        format!(
            "{}, {}: {} missing, {} mountable, {} shared",
            plural((self.missing.len() + shared.len()) as u64, "unique blob"),
            size(missing + existing),
            size(missing),
            size(self.mountable),
            size(existing.saturating_sub(self.mountable)),
        )
    }
}
