//! `copy`: copies an image between any two locations.

use std::process::ExitCode;
use std::sync::Arc;

use crate::cli::args::Copy;
use crate::cli::image::open::{OpenedLocation, open_location};
use crate::cli::image::repository::{ImageTags, image_tags, parse_repository};
use crate::cli::image::store_hint::StoreHint;
use crate::cli::run::conversion::Conversion;
use crate::cli::run::deltas::with_deltas;
use crate::cli::run::destination::Destination;
use crate::cli::run::report::JsonShape;
use crate::cli::run::transfer_run::{TransferRun, chunk_size, interruptible, platforms_to_pass_on};
use crate::cli::settings::{ForeignLayers, Settings};
use crate::cli::signals::or_cancelled;
use crate::cli::size::plural;
use crate::cli::{labels, output};
use crate::error::Result;
use crate::location::{DefaultLocation, Location};
use crate::name::ImageName;
use crate::reference::Reference;
use crate::transfer::{ArtifactOptions, ImageRequest, PlatformSelection};

pub(in crate::cli) async fn run(args: Copy, settings: &Settings) -> Result<ExitCode> {
    let location = Location::parse(&args.source, DefaultLocation::Registry)?;
    let repository = args.all_tags.then(|| parse_repository(&args.source)).transpose()?;
    if args.all_tags
        && Location::parse(&args.destination, DefaultLocation::Registry)?.registry().is_some()
    {
        parse_repository(&args.destination)?;
    }
    let mut destination =
        Destination::parse(&args.destination, chunk_size(args.chunk_size.as_deref())?)?;
    if args.moving.max_bytes.is_some() {
        destination.record_sessions();
    }
    if args.all_tags {
        destination.check_name_for_several()?;
    }
    let artifacts = ArtifactOptions { referrers: args.referrers, digest_tags: args.digest_tags };
    destination.check_artifacts(artifacts)?;
    let named = platforms_to_pass_on(&args.moving)?;
    let usual = match location {
        // `docker save` writes the whole index of an image, but only the platforms that it has; engines keep it so.
        Location::Archive { .. } | Location::Engine { .. } => PlatformSelection::Available,
        _ => PlatformSelection::All,
    };
    let platforms = destination.platforms(named, usual)?;
    let at_registry = destination.image().is_some();
    let labels = if at_registry { &labels::COPY_TO_REGISTRY } else { &labels::COPY };
    let settings = &interruptible(labels, settings).with_jobs(args.moving.jobs());
    let cancel = &settings.control.cancel;
    let run = TransferRun::parse("copy", &args.moving, settings)?.with_artifacts(artifacts);
    let conversion = Conversion::parse(&args.conversion, &args.moving, artifacts, settings)?;
    let source_settings = settings.for_side(args.source_options);
    let target_settings = settings.for_side(args.destination_options);
    if source_settings.has_creds_of(&target_settings) {
        settings.check_creds(location.registry().into_iter().chain(destination.image()))?;
    }
    let hint = StoreHint::new(&args.source, settings);
    let requests = if let Some(repository) = repository {
        let finding = tags(&repository, &destination, &platforms, artifacts, &source_settings);
        or_cancelled(cancel, "copy", finding).await??
    } else {
        let opening = one(&location, &destination, platforms, &source_settings);
        vec![or_cancelled(cancel, "copy", hint.around(opening)).await??]
    };
    let requests = match conversion {
        Some(conversion) => hint.around(conversion.apply(requests, settings)).await?,
        None => requests,
    };
    let run = run.with_hint(hint);
    let requests = with_deltas(requests, args.delta, &run, &destination, settings)?;
    let shape = if args.all_tags { JsonShape::List } else { JsonShape::Value };
    let (code, _) = run.execute(&requests, &destination, shape, &target_settings).await?;
    Ok(code)
}

async fn one(
    location: &Location,
    destination: &Destination,
    platforms: PlatformSelection,
    settings: &Settings,
) -> Result<ImageRequest> {
    let OpenedLocation { source, name, reference, full_name, .. } =
        open_location(location, settings).await?;
    let target_name = destination.name(&full_name)?;
    let reference = destination.reference().unwrap_or_else(|| match &target_name {
        // The name that it gets: a script goes on with the copy.
        ImageName::Layout(name) => name.clone(),
        _ => reference,
    });
    Ok(ImageRequest { reference, target_name, platforms, ..ImageRequest::new(source, name) })
}

/// Returns a request for every image with a tag in the repository; each keeps its name.
async fn tags(
    repository: &Reference,
    destination: &Destination,
    platforms: &PlatformSelection,
    artifacts: ArtifactOptions,
    settings: &Settings,
) -> Result<Vec<ImageRequest>> {
    let client = settings.client("copy", ForeignLayers::Fetch)?;
    let mut requests = Vec::new();
    let ImageTags { tags, referrer_lists } = image_tags(&client, repository).await?;
    if referrer_lists > 0 && !artifacts.referrers {
        let lists = plural(referrer_lists as u64, "list");
        tracing::warn!("{repository}: left out {lists} of referrers, not images");
        output::warning_hint("add `--referrers` to copy the referrers of each image");
    }
    for tag in tags {
        let reference = repository.with_tag(&tag)?;
        let (target_reference, target_name) = destination.name_of_tag(&reference, &tag)?;
        let source = Arc::new(client.repository(&reference)?);
        requests.push(ImageRequest {
            reference: target_reference,
            target_name,
            platforms: platforms.clone(),
            ..ImageRequest::new(source, reference.name())
        });
    }
    Ok(requests)
}
