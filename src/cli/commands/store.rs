//! `tag`, `rm`, `prune`: names in the local store, and the space that no name needs.

use std::process::ExitCode;

use crate::cli::args::{Prune, Rm, Tag};
use crate::cli::exit;
use crate::cli::output::{self, note};
use crate::cli::settings::Settings;
use crate::cli::size::size;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{PruneOptions, PruneReport};
use crate::place::{Place, PlainMeans};

/// The name in the store that a word means.
pub(super) fn name(text: &str) -> Result<String> {
    match Place::parse(text, PlainMeans::Store)? {
        Place::Store(reference) => Ok(reference.store_name()),
        _ => Err(Error::new(ErrorKind::Reference, format!("image '{text}'"))
            .because("expected the name of an image in the store")),
    }
}

pub(in crate::cli) fn tag(args: &Tag, settings: &Settings) -> Result<ExitCode> {
    let (source, new) = (name(&args.source)?, name(&args.name)?);
    settings.store_with(&source)?.tag(&source, &new)?;
    if !settings.quiet {
        note(&format!("{source} is also {new} now"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Removes what is there; the first failure in the order asked decides the exit code.
pub(in crate::cli) fn rm(args: &Rm, settings: &Settings) -> Result<ExitCode> {
    let names = args.images.iter().map(|text| name(text)).collect::<Result<Vec<_>>>()?;
    let mut first_failure = None;
    for name in &names {
        let removed = settings.store_with(name).and_then(|store| store.remove(name));
        match removed {
            Ok(true) => output::line(name)?,
            Ok(false) => {
                let error = Error::new(ErrorKind::NotFound, name).because("not in the store");
                let code = exit::report(&error);
                first_failure.get_or_insert(code);
            }
            Err(error) => {
                let code = exit::report(&error);
                first_failure.get_or_insert(code);
            }
        }
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
