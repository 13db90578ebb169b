//! `push`: pushes an image from the store or another location to a registry.

use std::process::ExitCode;

use crate::builders::remember_push;
use crate::cli::args::Push;
use crate::cli::image::open::{OpenedLocation, open_location};
use crate::cli::run::destination::Destination;
use crate::cli::run::report::JsonShape;
use crate::cli::run::transfer_run::{TransferRun, chunk_size, interruptible, platforms_to_pass_on};
use crate::cli::settings::Settings;
use crate::cli::{labels, signals};
use crate::error::{Error, ErrorKind, Result};
use crate::location::{DefaultLocation, Location};
use crate::reference::Reference;
use crate::transfer::{ImageRequest, PlatformSelection};

pub(in crate::cli) async fn run(args: Push, settings: &Settings) -> Result<ExitCode> {
    let (source, image) = match args.images.as_slice() {
        [source, image] => (Some(source), image),
        [image] => (None, image),
        _ => {
            return Err(Error::new(ErrorKind::InvalidInput, "push")
                .with_reason("expected one or two images"));
        }
    };
    let reference = at_registry(image)?;
    let source = match source {
        Some(text) => Location::parse(text, DefaultLocation::Store)?,
        None => Location::Store(reference.clone()),
    };
    settings.check_creds(source.registry().into_iter().chain([&reference]))?;
    let chunk_size = chunk_size(args.chunk_size.as_deref())?;
    let platforms = platforms_to_pass_on(&args.moving)?.unwrap_or(PlatformSelection::All);
    let settings = &interruptible(&labels::PUSH, settings).with_jobs(args.moving.jobs());
    let cancel = &settings.control.cancel;
    let run = TransferRun::parse("push", &args.moving, settings)?;
    let destination = Destination::for_push(reference.clone(), chunk_size)?;
    let opening = open_location(&source, settings);
    let OpenedLocation { source, name, layout, .. } =
        signals::or_cancelled(cancel, "push", opening).await??;
    let target_name = reference.name();
    let requests = [ImageRequest {
        reference: reference.to_string(),
        target_name,
        platforms,
        ..ImageRequest::new(source, name.clone())
    }];
    let (code, finished) = run.execute(&requests, &destination, JsonShape::List, settings).await?;
    if let (Some(layout), [one]) = (layout, finished.as_slice())
        && one.error.is_none()
    {
        remember_push(layout, &name, &one.report.summary).await;
    }
    Ok(code)
}

fn at_registry(text: &str) -> Result<Reference> {
    match Location::parse(text, DefaultLocation::Registry)? {
        Location::Registry(reference) => Ok(reference),
        _ => Err(Error::new(ErrorKind::InvalidInput, format!("image `{text}`"))
            .with_reason("push needs a registry as its destination")
            .with_hint("use `rpull copy` for other locations")),
    }
}
