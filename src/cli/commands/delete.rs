//! `delete`: deletes a tag, or a manifest with all its tags, from a registry.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::args::Delete;
use crate::cli::image::open::registry_reference;
use crate::cli::output::{self, note};
use crate::cli::prompt;
use crate::cli::settings::{ForeignLayers, Settings};
use crate::cli::signals::{cancelled_by_signals, or_cancelled};
use crate::content::{Effort, Lookup as _, Source as _};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::name::ImageName;
use crate::reference::Reference;

pub(in crate::cli) async fn run(args: Delete, settings: &Settings) -> Result<ExitCode> {
    let reference = registry_reference(&args.image)?;
    let what = format!("delete {}", args.image);
    let refuse = |reason: &str| Error::new(ErrorKind::InvalidInput, &what).with_reason(reason);
    if Reference::repository_only(args.image.trim_start_matches("docker://")).is_ok() {
        return Err(refuse("missing tag or digest").with_hint("write `REPO:TAG` or `REPO@DIGEST`"));
    }
    if reference.tag().is_some() && reference.digest().is_some() {
        return Err(refuse("expected a tag or a digest, not both"));
    }
    if !args.yes {
        prompt::check_possible(&what, "pass `--yes` to delete without asking")?;
    }
    let work = delete(&args, &reference, settings);
    or_cancelled(&cancelled_by_signals(), "delete", work).await?
}

async fn delete(args: &Delete, reference: &Reference, settings: &Settings) -> Result<ExitCode> {
    let client = settings.client(&reference.to_string(), ForeignLayers::Ignore)?;
    let repository = client.repository_without_mirrors(reference)?;
    let (digest, question): (Digest, String) = match reference.name() {
        ImageName::Digest(digest) => {
            let question = format!("delete {reference} and all its tags?");
            (digest, question)
        }
        name => {
            let found = repository.name(&name, Effort::Request).await?.present();
            let resolved = found.map(|descriptor| descriptor.digest);
            let digest = match resolved {
                Some(digest) => digest,
                None => repository.resolve(&name).await?.digest().clone(),
            };
            (digest.clone(), format!("delete the tag {reference}, which points to {digest}?"))
        }
    };
    if !args.yes && !prompt::confirm(&question).await? {
        note("nothing was deleted");
        return Ok(ExitCode::FAILURE);
    }
    let kind = if let Some(tag) = reference.tag() {
        repository.delete_tag(tag, &digest).await?;
        "tag"
    } else {
        repository.delete_manifest(&digest).await?;
        "manifest"
    };
    if settings.json {
        output::json(&json!({
            "reference": reference.to_string(), "digest": digest, "deleted": kind,
        }))?;
    } else {
        output::line(&reference.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
