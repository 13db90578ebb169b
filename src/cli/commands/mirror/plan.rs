//! What `--plan` prints.

use std::process::ExitCode;

use serde_json::json;

use super::ends::Ends;
use super::image::{MirrorImage, Pending, Status};
use super::report::{counts, failure, insert, requests, unchanged_json};
use crate::cli::exit;
use crate::cli::output::{self, Lines};
use crate::cli::run::plan::receipt;
use crate::cli::run::removals::Removals;
use crate::cli::run::report::json_of;
use crate::cli::settings::Settings;
use crate::cli::size::{plural, size};
use crate::cli::table::{Column, table};
use crate::cli::terminal_width::terminal_width;
use crate::cli::wrap::wrap_line;
use crate::content::Presence;
use crate::error::{Error, Result};
use crate::transfer::{PlanBytes, PlannedImage};

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
    table.print()?;
    if !settings.json {
        let counts = counts(images, images.len() - failed).replacen("mirrored", "would mirror", 1);
        let deleted = match removals.names().len() as u64 {
            0 => String::new(),
            _ if removals.excess().is_some() => ", delete nothing".to_owned(),
            count => format!(", delete {}", plural(count, "tag")),
        };
        let deltas = match deltas.len() as u64 {
            0 => String::new(),
            count => format!(", look at deltas of {}", plural(count, "image")),
        };
        let requests = plural(requests(images, ends).total(), "request");
        let bytes = receipt(&table.bytes, None);
        let summary = format!("{counts}{deleted}{deltas}; {bytes}, {requests} for this plan");
        output::text(&(wrap_line(&summary, terminal_width()) + "\n"))?;
    }
    for (reference, error) in &table.failed {
        exit::report_for(reference, error);
    }
    if let Some(error) = removals.excess() {
        tracing::warn!("nothing would be deleted: {}", error.chain());
        error.hint().into_iter().for_each(output::warning_hint);
    }
    Ok(exit::code_of_all(table.failed.iter().map(|(_, error)| error)))
}

/// The rows of a plan, or its JSON lines.
struct PlanTable {
    json: bool,
    lines: Lines,
    rows: Vec<[String; 4]>,
    bytes: PlanBytes,
    failed: Vec<(String, Error)>,
}

impl PlanTable {
    fn new(json: bool) -> Self {
        let (lines, bytes) = (Lines::default(), PlanBytes::default());
        Self { json, lines, rows: Vec::new(), bytes, failed: Vec::new() }
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
        self.bytes += plan.report.bytes;
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

    /// Images of which deltas would be looked at. Only JSON has a line for each.
    fn deltas(&mut self, images: &[&str]) -> Result<()> {
        let mut named = images.iter().filter(|_| self.json);
        named.try_for_each(|name| {
            self.lines.push_json(&json!({ "reference": name, "outcome": "delta" }))
        })
    }

    /// Tags that would be deleted.
    fn removals(&mut self, removals: &Removals) -> Result<()> {
        let state = if removals.excess().is_some() { "not selected" } else { "delete" };
        for name in removals.names() {
            if self.json {
                self.lines.push_json(&json!({ "reference": name, "outcome": "delete" }))?;
            }
            self.row(&name, Default::default(), state);
        }
        let unlisted = removals.errors();
        self.failed.extend(unlisted.map(|(name, error)| (name.to_owned(), error.clone_for())));
        Ok(())
    }

    /// Prints the table, or what is left of the JSON lines.
    fn print(&mut self) -> Result<()> {
        if self.json {
            return self.lines.flush();
        }
        if self.rows.is_empty() {
            return Ok(());
        }
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
