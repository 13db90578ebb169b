//! `tags`: lists the tags of a repository.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::args::{TagOrder, Tags};
use crate::cli::image::repository::{parse_repository, question_client};
use crate::cli::image_filter::matching_names;
use crate::cli::output;
use crate::cli::settings::Settings;
use crate::error::Result;
use crate::mirror::sort_by_version;

pub(in crate::cli) async fn run(args: Tags, settings: &Settings) -> Result<ExitCode> {
    let reference = parse_repository(&args.repository)?;
    let name = reference.repository_name();
    let tags = question_client(&name, settings)?.repository(&reference)?.tags().await?;
    let mut tags = matching_names(tags, "tag", &args.filter)?;
    match args.sort {
        None => {}
        Some(TagOrder::Name) => tags.sort_unstable(),
        Some(TagOrder::Version) => sort_by_version(&mut tags),
    }
    tags.truncate(args.limit.unwrap_or(usize::MAX));
    if settings.json {
        output::json(&json!({ "repository": name, "tags": tags }))?;
    } else if !tags.is_empty() {
        output::lines(tags.iter().map(String::as_str))?;
    }
    Ok(ExitCode::SUCCESS)
}
