//! What `--plan` prints.

use std::collections::HashMap;
use std::process::ExitCode;

use serde_json::json;

use super::ends::Ends;
use super::image::{MirrorImage, Pending, Status};
use super::report::{counts, failure, insert, requests, unchanged_json};
use crate::cli::exit;
use crate::cli::output::{self, Lines};
use crate::cli::run::removals::Removals;
use crate::cli::run::report::json_of;
use crate::cli::settings::Settings;
use crate::cli::size::{plural, size};
use crate::cli::table::{Column, table};
use crate::cli::terminal_width::terminal_width;
use crate::cli::wrap::wrap_line;
use crate::content::Presence;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::transfer::{BlobState, PlannedImage};

/// Prints what a run would do.
pub(super) fn print(
    images: &[MirrorImage],
    planned: Vec<PlannedImage>,
    (removals, deltas): (&Removals, &[&str]),
    ends: &Ends<'_>,
    settings: &Settings,
) -> Result<ExitCode> {
    let mut table = PlanTable::new(settings.json);
    let mut planned = planned.into_iter();
    for image in images {
        match &image.status {
            Status::Unchanged(..) => table.unchanged(image)?,
            Status::Pending(pending) => {
                let Some(plan) = planned.next() else { continue };
                table.planned(image, pending, plan)?;
            }
            Status::Failed(error) => table.failed(image, error)?,
        }
    }
    let failed = table.failed.len();
    table.removals(removals)?;
    table.deltas(deltas)?;
    if !settings.json {
        let counts = counts(images, images.len() - failed).replacen("mirrored", "would mirror", 1);
        let deleted = match removals.names().len() as u64 {
            0 => String::new(),
            count => format!(", delete {}", plural(count, "tag")),
        };
        let deltas = match deltas.len() as u64 {
            0 => String::new(),
            count => format!(", look at deltas of {}", plural(count, "image")),
        };
        let requests = plural(requests(images, ends).total(), "request");
        let blobs = table.blobs.summary();
        table.print()?;
        let summary = format!("{counts}{deleted}{deltas}; {blobs}; {requests} for this plan");
        output::line(&wrap_line(&summary, terminal_width()))?;
    }
    for (reference, error) in &table.failed {
        exit::report_for(reference, error);
    }
    if let Some(error) = removals.excess() {
        tracing::warn!("nothing would be deleted: {}", error.chain());
    }
    Ok(exit::code_of_all(table.failed.iter().map(|(_, error)| error)))
}

/// The rows of a plan, or its JSON lines.
struct PlanTable {
    json: bool,
    lines: Lines,
    rows: Vec<[String; 4]>,
    blobs: UniqueBlobs,
    failed: Vec<(String, Error)>,
}

impl PlanTable {
    fn new(json: bool) -> Self {
        let (lines, blobs) = (Lines::default(), UniqueBlobs::default());
        Self { json, lines, rows: Vec::new(), blobs, failed: Vec::new() }
    }

    fn row(&mut self, name: &str, [size, missing]: [String; 2], state: &str) {
        self.rows.push([name.to_owned(), size, missing, state.to_owned()]);
    }

    fn unchanged(&mut self, image: &MirrorImage) -> Result<()> {
        self.row(&image.reference, Default::default(), "unchanged");
        match unchanged_json(image) {
            Some(value) if self.json => self.lines.push_json(&value),
            _ => Ok(()),
        }
    }

    fn planned(
        &mut self,
        image: &MirrorImage,
        pending: &Pending,
        plan: PlannedImage,
    ) -> Result<()> {
        if self.json {
            let mut value = json_of(&plan.report, plan.error.as_ref())?;
            insert(&mut value, "outcome", if plan.error.is_none() { "planned" } else { "failed" });
            self.lines.push_json(&value)?;
        }
        let bytes = &plan.report.bytes;
        let sizes = [size(bytes.total), size(bytes.missing)];
        self.row(&image.reference, sizes, state(pending, &plan));
        self.blobs.add(&plan);
        self.failed.extend(plan.error.map(|error| (image.reference.clone(), error)));
        Ok(())
    }

    fn failed(&mut self, image: &MirrorImage, error: &Error) -> Result<()> {
        self.row(&image.reference, Default::default(), "failed");
        if self.json {
            self.lines.push_json(&failure(&image.reference, error)?)?;
        }
        self.failed.push((image.reference.clone(), error.clone_for()));
        Ok(())
    }

    /// Images of which deltas would be looked at. Only JSON has a line for each; ends the lines.
    fn deltas(&mut self, images: &[&str]) -> Result<()> {
        for name in images.iter().filter(|_| self.json) {
            self.lines.push_json(&json!({ "reference": name, "outcome": "delta" }))?;
        }
        self.lines.flush()
    }

    /// Tags that would be deleted.
    fn removals(&mut self, removals: &Removals) -> Result<()> {
        for name in removals.names() {
            if self.json {
                self.lines.push_json(&json!({ "reference": name, "outcome": "delete" }))?;
            }
            self.row(&name, Default::default(), "delete");
        }
        let unlisted = removals.errors();
        self.failed.extend(unlisted.map(|(name, error)| (name.to_owned(), error.clone_for())));
        Ok(())
    }

    fn print(&self) -> Result<()> {
        let [size, missing, state] = ["SIZE", "MISSING", "STATE"].map(Column::whole);
        let columns = [Column::cut_start("IMAGE", 16), size, missing, state];
        output::text(&table(columns, &self.rows, terminal_width()))
    }
}

/// What a plan says of an image.
fn state(image: &Pending, plan: &PlannedImage) -> &'static str {
    match (&plan.error, &image.request.found_at_target) {
        (Some(_), _) => "failed",
        (None, Some(Presence::Absent)) => "new",
        (None, Some(Presence::Present(found)))
            if plan.report.bytes.missing == 0
                && plan.report.summary.digest.as_ref() == Some(&found.digest) =>
        {
            "unchanged"
        }
        (None, _) => "changed",
    }
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
                BlobState::Missing | BlobState::Partial(_) | BlobState::Rebuildable(_) => {
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
