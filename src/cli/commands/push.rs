//! `push`: an image of the store, or of another place, to a registry.

use std::process::ExitCode;

use super::destination::Destination;
use super::moving::{Run, chunk_size, named_to_pass_on};
use super::open::{Opened, open_place};
use crate::cli::args::Push;
use crate::cli::settings::Settings;
use crate::cli::{signals, words};
use crate::content::Name;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Layout;
use crate::place::{Place, PlainMeans};
use crate::reference::Reference;
use crate::transfer::{Head, Platforms, Wanted};

pub(in crate::cli) async fn run(args: Push, settings: &Settings) -> Result<ExitCode> {
    let (source, image) = match args.images.as_slice() {
        [source, image] => (Some(source), image),
        [image] => (None, image),
        _ => return Err(Error::new(ErrorKind::Reference, "push").because("takes one or two names")),
    };
    let reference = at_registry(image)?;
    let source = match source {
        Some(text) => Place::parse(text, PlainMeans::Store)?,
        None => Place::Store(reference.clone()),
    };
    settings.check_creds(source.at_registry().into_iter().chain([&reference]))?;
    let chunk_size = chunk_size(args.chunk_size.as_deref())?;
    let platforms = named_to_pass_on(&args.moving)?.unwrap_or(Platforms::All);
    let cancel = signals::cancelled_by_signals();
    let run = Run::parse(&args.moving, &words::PUSH, settings, &cancel)?;
    let destination = Destination::at_registry(reference.clone(), chunk_size, true)?;
    let opening = open_place(&source, settings);
    let Opened { source, name, layout, .. } =
        signals::unless_cancelled(&cancel, "push", opening).await??;
    let target_name = reference.name();
    let wanted = [Wanted {
        source,
        name: name.clone(),
        reference: reference.to_string(),
        target_name,
        platforms,
    }];
    let (code, finished) = run.carry_out(&wanted, &destination, false, settings).await?;
    if let (Some(layout), [one]) = (layout, finished.as_slice())
        && one.error.is_none()
    {
        remember(&layout, &name, &one.report.head);
    }
    Ok(code)
}

fn at_registry(text: &str) -> Result<Reference> {
    match Place::parse(text, PlainMeans::Registry)? {
        Place::Registry(reference) => Ok(reference),
        _ => Err(Error::new(ErrorKind::Reference, format!("image '{text}'"))
            .because("push sends to a registry; `copy` brings images to other places")),
    }
}

/// Where the image is by now, so that the next push of it under another tag sends nothing. The store may not be ours to
/// write.
fn remember(layout: &Layout, name: &Name, sent: &Head) {
    let (Name::Ref(name), Some(manifest)) = (name, &sent.manifest) else { return };
    // Of an index from which one platform was sent the registry has not all.
    if let Err(error) = layout.add_origin(name, manifest, &sent.target) {
        tracing::info!("{}", error.chain());
    }
}
