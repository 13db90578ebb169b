//! `rm` by age, number and filter: removes names and deletes the blobs that only they referenced. Also the plan of an `rm`
//! by name.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::blocking::run_blocking;
use crate::cli::age::age;
use crate::cli::args::Rm;
use crate::cli::cutoff::parse_cutoff;
use crate::cli::image::image_row::ImageRow;
use crate::cli::image_filter::ImageFilter;
use crate::cli::output::{self, note};
use crate::cli::prompt;
use crate::cli::settings::{Settings, not_in_store};
use crate::cli::size::{plural, size};
use crate::cli::table::{Column, table};
use crate::cli::terminal_width::terminal_width;
use crate::cli::wrap::wrap_line;
use crate::error::Result;
use crate::insight::retention::{Candidate, Retained, RetentionRule};
use crate::layout::{IndexEntry, RemovalReport};
use crate::reference::Reference;

/// The images to remove by the options, and those to keep.
#[derive(Default)]
struct RemovalSelection {
    to_remove: Vec<ImageRow>,
    to_keep: Vec<(ImageRow, Retained)>,
    /// Number of images that the filter does not match.
    others: u64,
}

/// What the printed text is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Names were given: only they would be removed, and `prune` would free the space.
    PlannedNames,
    Planned,
    Done,
}

pub(super) async fn run(args: &Rm, settings: &Settings) -> Result<ExitCode> {
    let filter = ImageFilter::parse(&args.filter)?;
    let older_than = args.older_than.as_deref();
    let limit =
        older_than.map(|text| parse_cutoff("--older-than", text, Timestamp::now())).transpose()?;
    let rule = RetentionRule { created_before: limit.map(Timestamp::as_second), keep: args.keep };
    let is_asking = !args.plan && !args.yes;
    if is_asking {
        let hint = "look at it with `--plan`, then pass `--yes` to remove without asking";
        prompt::check_possible("rm", hint)?;
    }
    let Some(store) = settings.existing_store()? else {
        let stage = if args.plan { Stage::Planned } else { Stage::Done };
        return print(&RemovalSelection::default(), RemovalReport::default(), stage, settings);
    };
    let mut rows = Vec::new();
    for entry in store.entries()? {
        rows.push(ImageRow::for_entry(&store, entry).await);
    }
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    let selection = select(rows, &filter, rule);
    let keys: BTreeSet<String> =
        selection.to_remove.iter().map(|row| row.entry.key().to_owned()).collect();
    if args.plan || keys.is_empty() {
        let stage = if args.plan { Stage::Planned } else { Stage::Done };
        return print(&selection, store.plan_removal(&keys)?, stage, settings);
    }
    if is_asking {
        output::stderr_text(&text(&selection, store.plan_removal(&keys)?, Stage::Planned));
        let question = format!("remove {}?", plural(keys.len() as u64, "image"));
        if !prompt::confirm(&question).await? {
            note("nothing was removed");
            return Ok(ExitCode::FAILURE);
        }
    }
    let freed = run_blocking("rm", move || store.remove_and_free(&keys)).await?;
    print(&selection, freed, Stage::Done, settings)
}

/// Prints which images `rm` would remove, and what `prune` would free in addition.
///
/// # Errors
/// [`ErrorKind::NotFound`] if one of them is not in the store.
pub(super) async fn plan_named(names: &[String], settings: &Settings) -> Result<ExitCode> {
    let mut to_remove: Vec<ImageRow> = Vec::new();
    for name in names {
        let store = settings.store_with(name)?;
        let is_meant = |entry: &IndexEntry| entry.matching_name(name).is_some();
        let entry =
            store.entries()?.into_iter().find(is_meant).ok_or_else(|| not_in_store(name))?;
        if to_remove.iter().all(|row| row.entry.key() != entry.key()) {
            to_remove.push(ImageRow::for_entry(&store, entry).await);
        }
    }
    let keys = to_remove.iter().map(|row| row.entry.key().to_owned()).collect();
    let freed = match settings.existing_store()? {
        Some(store) => store.plan_removal(&keys)?,
        None => RemovalReport::default(),
    };
    let selection = RemovalSelection { to_remove, ..RemovalSelection::default() };
    print(&selection, freed, Stage::PlannedNames, settings)
}

fn select(rows: Vec<ImageRow>, filter: &ImageFilter, rule: RetentionRule) -> RemovalSelection {
    let mut selection = RemovalSelection::default();
    let count = rows.len();
    let matching = rows.into_iter().filter(|row| filter.matches(&row.filter_subject()));
    let rows: Vec<ImageRow> = matching.collect();
    selection.others = (count - rows.len()) as u64;
    let candidates: Vec<Candidate> = rows.iter().map(candidate).collect();
    for (row, retained) in rows.into_iter().zip(rule.apply(&candidates)) {
        match retained {
            None => selection.to_remove.push(row),
            Some(reason) => selection.to_keep.push((row, reason)),
        }
    }
    selection
}

fn candidate(row: &ImageRow) -> Candidate {
    let reference = row.name.parse::<Reference>().ok();
    let repository = reference.map(|name| name.repository_name());
    let created = row.created.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    Candidate {
        group: repository.unwrap_or_else(|| row.name.clone()),
        digest: row.entry.descriptor.digest.clone(),
        created: created.map(Timestamp::as_second),
    }
}

fn print(
    selection: &RemovalSelection,
    freed: RemovalReport,
    stage: Stage,
    settings: &Settings,
) -> Result<ExitCode> {
    if settings.json {
        output::json(&json_value(selection, freed))?;
    } else if settings.quiet {
        selection.to_remove.iter().try_for_each(|row| output::line(&row.name))?;
    } else {
        output::text(&text(selection, freed, stage))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn json_value(selection: &RemovalSelection, freed: RemovalReport) -> Value {
    let image = |row: &ImageRow| json!({ "reference": row.name, "digest": row.entry.digest(), "created": row.created });
    let kept = selection.to_keep.iter().map(|(row, reason)| {
        let mut value = image(row);
        if let Some(object) = value.as_object_mut() {
            object.insert("why".to_owned(), json!(reason));
        }
        value
    });
    json!({
        "removed": selection.to_remove.iter().map(image).collect::<Vec<_>>(),
        "left": kept.collect::<Vec<_>>(),
        "not_matching": selection.others,
        "blobs": freed.blobs,
        "bytes": freed.bytes,
    })
}

fn text(selection: &RemovalSelection, freed: RemovalReport, stage: Stage) -> String {
    let age = |row: &ImageRow| row.created.as_deref().map(age).unwrap_or_default();
    let verb = if stage == Stage::Done { "removed" } else { "remove" };
    let to_remove =
        selection.to_remove.iter().map(|row| [row.name.clone(), age(row), verb.to_owned()]);
    let to_keep = selection.to_keep.iter().map(|(row, reason)| {
        [row.name.clone(), age(row), format!("kept: {}", reason_text(*reason))]
    });
    let rows: Vec<[String; 3]> = to_remove.chain(to_keep).collect();
    let mut text = String::new();
    if !rows.is_empty() {
        let columns = [
            Column::cut_start("IMAGE", 40),
            Column::whole("CREATED").optional(1),
            Column::whole("RESULT"),
        ];
        text = table(columns, &rows, terminal_width());
    }
    let (verb, free) = match stage {
        Stage::PlannedNames => ("would remove", "and `rpull prune` would then free"),
        Stage::Planned => ("would remove", "would free"),
        Stage::Done => ("removed", "freed"),
    };
    let (images, bytes) = (plural(selection.to_remove.len() as u64, "image"), size(freed.bytes));
    let mut sum = format!("{verb} {images}, {free} {bytes} in {}", plural(freed.blobs, "blob"));
    let kept = selection.to_keep.len() as u64 + selection.others;
    // Writing to a `String` cannot fail.
    if kept > 0 {
        _ = write!(sum, "; kept {}", plural(kept, "image"));
    }
    if selection.others > 0 {
        _ = write!(sum, ", of which {} not matching the filter", selection.others);
    }
    text + &wrap_line(&sum, terminal_width()) + "\n"
}

fn reason_text(reason: Retained) -> &'static str {
    match reason {
        Retained::Newest => "among the newest",
        Retained::NotOlder => "not older",
        Retained::NoCreationDate => "no creation date",
    }
}
