//! `pull`: pulls images from registries into the store or to `--output`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use crate::cli::args::{DeltaMode, OnePlatform, OverlayArgs, Pull, Unpack};
use crate::cli::image::repository::{image_tags, parse_repository};
use crate::cli::labels;
use crate::cli::run::deltas::with_deltas;
use crate::cli::run::destination::Destination;
use crate::cli::run::report::JsonShape;
use crate::cli::run::transfer_run::{TransferRun, interruptible, platforms_to_keep};
use crate::cli::settings::{ForeignLayers, Settings, existing_layout, not_in_store, platform};
use crate::cli::signals::{opened_unless_cancelled, or_cancelled};
use crate::content::Source;
use crate::control::Control;
use crate::error::{Error, ErrorKind, Result};
use crate::location::{DefaultLocation, Location};
use crate::name::ImageName;
use crate::reference::Reference;
use crate::registry::Client;
use crate::transfer::{ImageRequest, PlatformSelection};

pub(in crate::cli) async fn run(args: Pull, settings: &Settings) -> Result<ExitCode> {
    if let Some(dir) = args.unpack.clone() {
        if args.delta == DeltaMode::Always {
            tracing::warn!("no deltas are used while unpacking; pull first, then `rpull unpack`");
        }
        return Box::pin(super::unpack::run(unpacking(args, dir, settings)?, settings)).await;
    }
    // Check all arguments before the first request.
    let parse = if args.all_tags { parse_repository } else { image_reference };
    let references = args.images.iter().map(|text| parse(text)).collect::<Result<Vec<_>>>()?;
    settings.check_creds(&references)?;
    let settings = &interruptible(&labels::PULL, settings).with_jobs(args.moving.jobs());
    let cancel = &settings.control.cancel;
    let run = TransferRun::parse("pull", &args.moving, settings)?;
    let several = args.all_tags || args.images.len() > 1;
    let destination = Destination::for_pull(args.output.as_deref())?;
    if several {
        destination.check_name_for_several()?;
    }
    let named = platforms_to_keep(&args.moving, PlatformSelection::SparseIndex)?;
    let platforms = destination.platforms(named, PlatformSelection::Single(platform(None)?))?;
    let requests = if settings.offline && !args.all_tags {
        in_store(&references, &platforms, &destination, settings).await?
    } else {
        let finding = at_registries(&args, &references, &platforms, &destination, settings);
        or_cancelled(cancel, "pull", finding).await??
    };
    let requests = with_deltas(requests, args.delta, &run, &destination, settings)?;
    let (code, _) = run.execute(&requests, &destination, JsonShape::List, settings).await?;
    Ok(code)
}

/// Converts the arguments of `pull --unpack` to those of `unpack`, which takes one image and one platform.
fn unpacking(args: Pull, dir: PathBuf, settings: &Settings) -> Result<Unpack> {
    let Pull { images, overlay, no_store, moving, .. } = args;
    let refuse = |what: &str| {
        Err(Error::new(ErrorKind::InvalidInput, "--unpack")
            .with_reason(format!("accepts only one {what}")))
    };
    let [image] = images.as_slice() else { return refuse("image") };
    image_reference(image)?;
    let platform = match moving.platform.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        _ => return refuse("platform"),
    };
    Ok(Unpack {
        image: image.clone(),
        dir,
        platform: OnePlatform { platform },
        layers: OverlayArgs { overlay, mount: None },
        preserve: false,
        no_store,
        sync: moving.sync,
        pull: (!settings.offline).then_some(moving),
    })
}

fn image_reference(text: &str) -> Result<Reference> {
    match Location::parse(text, DefaultLocation::Registry)? {
        Location::Registry(reference) => Ok(reference),
        _ => Err(Error::new(ErrorKind::InvalidInput, format!("image `{text}`"))
            .with_reason("not an image in a registry")),
    }
}

/// Looks the images up in the store, without a request.
async fn in_store(
    references: &[Reference],
    platforms: &PlatformSelection,
    destination: &Destination,
    settings: &Settings,
) -> Result<Vec<ImageRequest>> {
    let path = settings.store()?;
    let open = move |control: &Control| existing_layout(&path, control);
    let store = opened_unless_cancelled(&settings.control, "pull", open).await?;
    let requests = references.iter().map(|reference| {
        let name = reference.to_string();
        let source = store.clone().ok_or_else(|| not_in_store(&name))?;
        image_request(reference, source, ImageName::Layout(name), platforms, destination)
    });
    requests.collect()
}

/// Returns a request for each image; `--all-tags` lists the tags first.
async fn at_registries(
    args: &Pull,
    references: &[Reference],
    platforms: &PlatformSelection,
    destination: &Destination,
    settings: &Settings,
) -> Result<Vec<ImageRequest>> {
    let foreign = ForeignLayers::fetch_if(args.moving.foreign_layers);
    let client: Client = settings.client("pull", foreign)?;
    let mut requests = Vec::new();
    let mut push = |reference: &Reference| {
        let source = Arc::new(client.repository(reference)?);
        requests.push(image_request(reference, source, reference.name(), platforms, destination)?);
        Ok::<_, Error>(())
    };
    for reference in references {
        if !args.all_tags {
            push(reference)?;
            continue;
        }
        for tag in image_tags(&client, reference).await?.tags {
            push(&reference.with_tag(&tag)?)?;
        }
    }
    Ok(requests)
}

fn image_request(
    reference: &Reference,
    source: Arc<dyn Source>,
    name: ImageName,
    platforms: &PlatformSelection,
    destination: &Destination,
) -> Result<ImageRequest> {
    Ok(ImageRequest {
        reference: reference.to_string(),
        target_name: destination.name(&reference.store_name())?,
        platforms: platforms.clone(),
        ..ImageRequest::new(source, name)
    })
}
