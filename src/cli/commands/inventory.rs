//! `inventory`: lists the blobs of the store, for `save --since` on another machine.

use std::collections::BTreeSet;
use std::process::ExitCode;

use crate::cli::output;
use crate::cli::settings::Settings;
use crate::error::Result;

pub(in crate::cli) fn run(settings: &Settings) -> Result<ExitCode> {
    let digests = match settings.existing_store()? {
        Some(store) => store.inventory()?,
        None => BTreeSet::new(),
    };
    if settings.json {
        output::json(&digests)?;
    } else {
        let lines: Vec<&str> = digests.iter().flat_map(|digest| [digest.as_str(), "\n"]).collect();
        output::text(&lines.concat())?;
    }
    Ok(ExitCode::SUCCESS)
}
