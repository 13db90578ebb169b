//! `load`: the images of an archive into the store.

use std::process::ExitCode;
use std::sync::Arc;

use super::archive::read;
use super::destination::Destination;
use super::moving::{Run, named_to_keep};
use crate::archive::Archive;
use crate::cli::args::Load;
use crate::cli::settings::Settings;
use crate::cli::signals::unless_cancelled;
use crate::cli::{signals, words};
use crate::content::{Name, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::reference::Reference;
use crate::transfer::{Platforms, Wanted};

pub(in crate::cli) async fn run(args: Load, settings: &Settings) -> Result<ExitCode> {
    let platforms = named_to_keep(&args.moving, Platforms::Only)?.unwrap_or(Platforms::Present);
    let cancel = signals::cancelled_by_signals();
    let run = Run::parse(&args.moving, &words::LOAD, settings, &cancel)?;
    let reading = read(args.file.clone(), None);
    let archive = Arc::new(unless_cancelled(&cancel, "load", reading).await??);
    let wanted = wanted(&archive, &platforms)?;
    let several = wanted.len() > 1;
    let (code, _) = run.carry_out(&wanted, &Destination::Store(None), several, settings).await?;
    Ok(code)
}

/// Every image of the archive, once under each of its names.
fn wanted(archive: &Arc<Archive>, platforms: &Platforms) -> Result<Vec<Wanted>> {
    let mut wanted = Vec::new();
    let mut images = 0;
    for names in archive.names() {
        images += 1;
        if names.is_empty() {
            tracing::warn!("{}: an image without a name is left out", archive.place());
        }
        for name in names {
            let reference: Reference = name.parse().map_err(|error: Error| {
                let why = format!("{}; `rpull copy` gives it another name", error.why());
                Error::new(ErrorKind::Reference, format!("name '{name}'")).because(why)
            })?;
            wanted.push(Wanted {
                source: Arc::clone(archive) as Arc<dyn Source>,
                name: Name::Ref(name.clone()),
                reference: reference.to_string(),
                target_name: Name::Ref(reference.store_name()),
                platforms: platforms.clone(),
            });
        }
    }
    let refuse = |kind, why: &str| Err(Error::new(kind, "load").at(archive.place()).because(why));
    match (wanted.is_empty(), images) {
        (false, _) => Ok(wanted),
        (true, 0) => refuse(ErrorKind::NotFound, "the archive holds no image"),
        (true, _) => refuse(
            ErrorKind::Reference,
            "its image has no name; give it one: rpull copy oci-archive:FILE store:NAME",
        ),
    }
}
