//! `limits`: shows what a registry says of its own limits.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::args::Limits;
use crate::cli::image::repository::{parse_registry, question_client};
use crate::cli::output;
use crate::cli::run::report::rate_limit;
use crate::cli::settings::Settings;
use crate::error::Result;

pub(in crate::cli) async fn run(args: Limits, settings: &Settings) -> Result<ExitCode> {
    let registry = parse_registry(&args.registry)?;
    let limit = question_client(&registry, settings)?.rate_limit(&registry).await?;
    if settings.json {
        output::json(&json!({ "registry": registry, "rate_limit": limit }))?;
    } else {
        let text = limit.as_ref().map_or("reports no rate limit".to_owned(), rate_limit);
        output::line(&format!("{registry}: {text}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
