//! `load`: the images of an archive into the store.

use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::Arc;

use super::archive::read;
use super::destination::Destination;
use super::moving::{Run, named_to_keep};
use crate::archive::Archive;
use crate::cli::args::Load;
use crate::cli::settings::Settings;
use crate::cli::signals::unless_cancelled;
use crate::cli::{exit, signals, words};
use crate::content::{Name, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::reference::Reference;
use crate::transfer::{Platforms, Wanted};

pub(in crate::cli) async fn run(args: Load, settings: &Settings) -> Result<ExitCode> {
    let platforms = named_to_keep(&args.moving, Platforms::Only)?.unwrap_or(Platforms::Present);
    let cancel = signals::cancelled_by_signals();
    let run = Run::parse(&args.moving, &words::LOAD, settings, &cancel)?;
    let finding = async {
        let archive = Arc::new(read(args.file.clone(), None).await?);
        images(&archive, &platforms).await
    };
    let mut images = unless_cancelled(&cancel, "load", finding).await??;
    if images.wanted.is_empty()
        && let Some(error) = images.failed.pop()
    {
        return Err(error);
    }
    let unread: Vec<ExitCode> = images.failed.iter().map(exit::report).collect();
    let several = images.wanted.len() > 1;
    let destination = Destination::Store(None);
    let (code, _) = run.carry_out(&images.wanted, &destination, several, settings).await?;
    Ok(unread.into_iter().next().filter(|_| code == ExitCode::SUCCESS).unwrap_or(code))
}

/// What of an archive can be loaded.
#[derive(Default)]
struct Images {
    wanted: Vec<Wanted>,
    /// Why others have no digest that they could be called by.
    failed: Vec<Error>,
}

/// Every image of the archive, once under each of its names; without one that the store can have, under its digest.
async fn images(archive: &Arc<Archive>, platforms: &Platforms) -> Result<Images> {
    let wanted = |name, reference, target_name| Wanted {
        source: Arc::clone(archive) as Arc<dyn Source>,
        name,
        reference,
        target_name,
        platforms: platforms.clone(),
    };
    let (mut images, mut odd) = (Images::default(), Vec::new());
    let mut met = HashSet::new();
    for names in archive.names() {
        let mut has_name = false;
        for name in names.iter().filter(|name| met.insert(name.as_str())) {
            match name.parse::<Reference>() {
                Ok(reference) => {
                    has_name = true;
                    let (text, full) = (reference.to_string(), reference.store_name());
                    images.wanted.push(wanted(Name::Ref(name.clone()), text, Name::Ref(full)));
                }
                Err(error) => {
                    let place = archive.place();
                    tracing::warn!("{place}: the name {name} is left out: {}", error.why());
                    if !has_name {
                        odd.push(name);
                    }
                }
            }
        }
        if has_name {
            odd.retain(|name| !names.contains(name));
        }
    }
    let mut digests = archive.nameless().await?;
    for name in odd {
        let document = archive.resolve(&Name::Ref(name.clone())).await;
        digests.push(document.map(|document| document.digest().clone()));
    }
    let mut met = HashSet::new();
    for digest in digests {
        match digest {
            Ok(digest) if met.insert(digest.clone()) => {
                let name = || Name::Digest(digest.clone());
                images.wanted.push(wanted(name(), digest.to_string(), name()));
            }
            Ok(_) => {}
            Err(error) => images.failed.push(error.at(archive.place())),
        }
    }
    if images.wanted.is_empty() && images.failed.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "load")
            .at(archive.place())
            .because("the archive holds no image"));
    }
    Ok(images)
}
