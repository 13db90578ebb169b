//! `catalog`: lists the repositories of a registry.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::args::{Catalog, RepositoryOrder};
use crate::cli::image::repository::{parse_registry, question_client};
use crate::cli::image_filter::matching_names;
use crate::cli::output;
use crate::cli::settings::Settings;
use crate::error::Result;

pub(in crate::cli) async fn run(args: Catalog, settings: &Settings) -> Result<ExitCode> {
    let registry = parse_registry(&args.registry)?;
    let repositories = question_client(&registry, settings)?.catalog(&registry).await?;
    let mut repositories = matching_names(repositories, "repository", &args.filter)?;
    if args.sort == Some(RepositoryOrder::Name) {
        repositories.sort_unstable();
    }
    repositories.truncate(args.limit.unwrap_or(usize::MAX));
    if settings.json {
        output::json(&json!({ "registry": registry, "repositories": repositories }))?;
    } else {
        for name in &repositories {
            output::line(name)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
