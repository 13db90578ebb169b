//! `limits`: shows what a registry says of its own limits.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::args::Limits;
use crate::cli::output;
use crate::cli::run::report::rate_limit;
use crate::cli::settings::{ForeignLayers, Settings};
use crate::error::Result;
use crate::reference::registry_only;

pub(in crate::cli) async fn run(args: Limits, settings: &Settings) -> Result<ExitCode> {
    let registry = registry_only(&args.registry)?;
    let limit = settings.client(&registry, ForeignLayers::Ignore)?.rate_limit(&registry).await?;
    if settings.json {
        output::json(&json!({ "registry": registry, "rate_limit": limit }))?;
    } else {
        let text = limit.as_ref().map_or("says nothing of limits".to_owned(), rate_limit);
        output::line(&format!("{registry}: {text}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
