//! `delete`: a tag, or a manifest with all its tags, at a registry.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::args::Delete;
use crate::cli::image::open::registry_reference;
use crate::cli::output::{self, note};
use crate::cli::prompt;
use crate::cli::settings::Settings;
use crate::cli::signals::{cancelled_by_signals, or_cancelled};
use crate::content::{Effort, Lookup as _, Source as _};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::name::ImageName;
use crate::reference::Reference;

pub(in crate::cli) async fn run(args: Delete, settings: &Settings) -> Result<ExitCode> {
    let reference = registry_reference(&args.image)?;
    let refuse = |why: &str| {
        Error::new(ErrorKind::InvalidInput, format!("delete {}", args.image)).with_reason(why)
    };
    if Reference::repository_only(args.image.trim_start_matches("docker://")).is_ok() {
        return Err(refuse("say which tag or digest"));
    }
    if reference.tag().is_some() && reference.digest().is_some() {
        return Err(refuse("either the tag or the digest: a digest takes all its tags along"));
    }
    if !args.yes && !prompt::is_possible() {
        return Err(refuse("there is no terminal to ask at; --yes says that it is meant"));
    }
    let work = delete(&args, &reference, settings);
    or_cancelled(&cancelled_by_signals(), "delete", work).await?
}

async fn delete(args: &Delete, reference: &Reference, settings: &Settings) -> Result<ExitCode> {
    let repository = settings.client(&reference.to_string(), false)?.repository(reference)?;
    let (digest, question): (Digest, String) = match reference.name() {
        ImageName::Digest(digest) => {
            let question = format!("delete {reference} and every tag of it?");
            (digest, question)
        }
        name => {
            let found = repository.name(&name, Effort::Request).await?.present();
            let held = found.map(|descriptor| descriptor.digest);
            let digest = match held {
                Some(digest) => digest,
                None => repository.resolve(&name).await?.digest().clone(),
            };
            (digest.clone(), format!("delete the tag {reference}, which is {digest}?"))
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
