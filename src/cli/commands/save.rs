//! `save`: writes images to an archive for `rpull load`, `docker load` and readers of image layouts.

use std::collections::HashSet;
use std::process::ExitCode;

use crate::cli::args::Save;
use crate::cli::image::open::{OpenedLocation, open_location};
use crate::cli::labels;
use crate::cli::run::destination::Destination;
use crate::cli::run::new_archive::{NewArchive, archive_output, check_stdout};
use crate::cli::run::omit_list;
use crate::cli::run::report::JsonShape;
use crate::cli::run::save_deltas::make_deltas_for;
use crate::cli::run::transfer_run::{TransferRun, interruptible, platforms_to_pass_on};
use crate::cli::settings::Settings;
use crate::cli::signals::or_cancelled;
use crate::content::{Effort, Presence};
use crate::error::{Error, ErrorKind, Result};
use crate::location::{DefaultLocation, Location};
use crate::name::ImageName;
use crate::transfer::{ImageRequest, PlatformSelection};

pub(in crate::cli) async fn run(args: Save, settings: &Settings) -> Result<ExitCode> {
    let parse = |text: &String| Location::parse(text, DefaultLocation::Store);
    let locations = args.images.iter().map(parse).collect::<Result<Vec<_>>>()?;
    let output = archive_output(&args.output);
    if !args.moving.plan {
        check_stdout(&output, settings)?;
    }
    let platforms = platforms_to_pass_on(&args.moving)?.unwrap_or(PlatformSelection::All);
    // Before signals are caught: opening a pipe without a writer blocks.
    let mut left_out = match &args.since {
        Some(path) => omit_list::omitted_digests(path, settings).await?,
        None => HashSet::new(),
    };
    let settings = &interruptible(&labels::SAVE, settings);
    let cancel = &settings.control.cancel;
    let run = TransferRun::parse("save", &args.moving, settings)?;
    let archive = NewArchive::hybrid(output)?;
    let finding = find(&locations, &platforms, settings);
    let mut requests = or_cancelled(cancel, "save", finding).await??;
    if args.delta {
        let making = make_deltas_for(&requests, &left_out, settings);
        let deltas = or_cancelled(cancel, "save", Box::pin(making)).await??;
        left_out.extend(deltas.replaced);
        requests.extend(deltas.requests);
    }
    let destination = Destination::Archive(archive.without(left_out), ImageName::Only);
    let (code, _) = run.execute(&requests, &destination, JsonShape::List, settings).await?;
    Ok(code)
}

/// Returns a request for each image, with a unique name in the archive.
async fn find(
    locations: &[Location],
    platforms: &PlatformSelection,
    settings: &Settings,
) -> Result<Vec<ImageRequest>> {
    let mut requests: Vec<ImageRequest> = Vec::new();
    for location in locations {
        let OpenedLocation { source, name, reference, full_name, .. } =
            open_location(location, settings).await?;
        // An archive is written completely or not at all, so missing images are reported before the transfer.
        if !matches!(source.name(&name, Effort::Request).await?, Presence::Present(_)) {
            source.resolve(&name).await?;
        }
        let target_name = name_in_archive(&full_name)?;
        if requests.iter().any(|other| other.target_name == target_name) {
            return Err(Error::new(ErrorKind::InvalidInput, format!("name `{target_name}`"))
                .with_reason("used by two images in this archive")
                .with_hint("rename one with `rpull tag`"));
        }
        requests.push(ImageRequest {
            reference,
            target_name,
            platforms: platforms.clone(),
            ..ImageRequest::new(source, name)
        });
    }
    Ok(requests)
}

/// # Errors
/// [`ErrorKind::InvalidInput`] if the image has no name.
fn name_in_archive(full: &str) -> Result<ImageName> {
    if full.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, "name")
            .with_reason("the image has no name")
            .with_hint("name it with `rpull tag`"));
    }
    Ok(ImageName::Layout(full.to_owned()))
}
