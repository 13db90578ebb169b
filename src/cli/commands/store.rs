//! `rm`, `prune`: names in the local store, and the space that no name needs.

use std::process::ExitCode;

use crate::cli::args::{Prune, Rm};
use crate::cli::exit;
use crate::cli::output;
use crate::cli::settings::Settings;
use crate::cli::size::size;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::PruneReport;
use crate::place::{Place, PlainMeans};

/// The name in the store that a word means.
pub(super) fn name(text: &str) -> Result<String> {
    match Place::parse(text, PlainMeans::Store)? {
        Place::Store(reference) => Ok(reference.store_name()),
        _ => Err(Error::new(ErrorKind::Reference, format!("image '{text}'"))
            .because("expected the name of an image in the store")),
    }
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
        Some(store) => store.prune(args.plan)?,
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
