//! `tags`: lists the tags of a repository.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::args::Tags;
use crate::cli::output;
use crate::cli::settings::{ForeignLayers, Settings};
use crate::error::Result;
use crate::reference::Reference;

pub(in crate::cli) async fn run(args: Tags, settings: &Settings) -> Result<ExitCode> {
    let reference = Reference::repository_only(
        args.repository.strip_prefix("docker://").unwrap_or(&args.repository),
    )?;
    let name = format!("{}/{}", reference.registry(), reference.repository());
    let tags =
        settings.client(&name, ForeignLayers::Ignore)?.repository(&reference)?.tags().await?;
    if settings.json {
        output::json(&json!({ "repository": name, "tags": tags }))?;
    } else if !tags.is_empty() {
        output::line(&tags.join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}
