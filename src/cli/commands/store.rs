//! `rm`, `prune`: names in the local store, and the space that no name needs.

use std::process::ExitCode;

use serde_json::json;

use super::report::{json_of, print_values};
use crate::cli::args::{Prune, Rm};
use crate::cli::exit;
use crate::cli::output;
use crate::cli::settings::{Settings, not_in_store};
use crate::cli::size::size;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{PruneOptions, PruneReport};
use crate::place::{Place, PlainMeans};
use crate::reference::Reference;

/// The image of the store that a word means.
pub(super) fn named(text: &str) -> Result<Reference> {
    match Place::parse(text, PlainMeans::Store)? {
        Place::Store(reference) => Ok(reference),
        _ => Err(Error::new(ErrorKind::Reference, format!("image '{text}'"))
            .because("expected the name of an image in the store")),
    }
}

/// What to ask the store for it; a digest that was typed is a part of it.
pub(super) fn name(text: &str) -> Result<String> {
    named(text).map(|reference| reference.to_string())
}

/// Removes what is there; the first failure in the order asked decides the exit code.
pub(in crate::cli) fn rm(args: &Rm, settings: &Settings) -> Result<ExitCode> {
    let names = args.images.iter().map(|text| name(text)).collect::<Result<Vec<_>>>()?;
    let mut first_failure = None;
    let mut values = Vec::new();
    for name in &names {
        let removed = match settings.store_with(name).and_then(|store| store.remove(name)) {
            Ok(false) => Err(not_in_store(name)),
            other => other,
        };
        if let Err(error) = &removed {
            let code = exit::report(error);
            first_failure.get_or_insert(code);
        }
        if settings.json {
            let value = json!({ "reference": name, "removed": removed.is_ok() });
            values.push(json_of(&value, removed.as_ref().err())?);
        } else if removed.is_ok() {
            output::line(name)?;
        }
    }
    if settings.json {
        print_values(&values, names.len() > 1)?;
    }
    Ok(first_failure.unwrap_or(ExitCode::SUCCESS))
}

pub(in crate::cli) fn prune(args: &Prune, settings: &Settings) -> Result<ExitCode> {
    let report = match settings.existing_store()? {
        Some(store) => store.prune(PruneOptions { plan: args.plan, partials: args.partials })?,
        None => PruneReport::default(),
    };
    if settings.json {
        output::json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    let verb = if args.plan { "would free" } else { "freed" };
    output::line(&format!("{verb} {} in {} blobs", size(report.bytes), report.blobs))?;
    if report.partials > 0 {
        output::line(&format!(
            "{verb} {} in {} partials",
            size(report.partial_bytes),
            report.partials
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
