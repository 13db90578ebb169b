//! `unpack`: an image's layers as files in a directory.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::Mode;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::arriving::Arriving;
use super::destination::{Destination, open_to_write};
use super::layer_blobs::layer_blobs;
use super::moving::{options, progress};
use super::open::{Image, Opened, registry};
use super::unpacked::{attend, json_of, warn_of_left_out};
use crate::cli::args::Unpack;
use crate::cli::meter::LateMeter;
use crate::cli::output::{self, note};
use crate::cli::settings::{Settings, Show, platform};
use crate::cli::signals;
use crate::cli::size::{plural, size};
use crate::cli::words;
use crate::error::Result;
use crate::layout::LayoutOptions;
use crate::place::{Place, PlainMeans};
use crate::transfer::{Options as Moving, Platforms, Wanted};
use crate::unpack::{Building, Unpacked};

/// What became of an image.
struct Done {
    receipt: Unpacked,
    /// Uncompressed bytes of each layer.
    sizes: Vec<u64>,
    took: Duration,
}

pub(in crate::cli) async fn run(args: Unpack, settings: &Settings) -> Result<ExitCode> {
    super::apart::check(&args, settings)?;
    if args.layers.overlay {
        return super::overlay::unpack(args, settings).await;
    }
    let cancel = signals::cancelled_by_signals();
    // What was typed is judged before anything is asked of anybody.
    let building = Building::begin(&args.dir)?;
    let mut image = open(&args, settings, &cancel).await?;
    let layers = layer_blobs(&image, settings.retry)?;
    let total = image.manifest()?.layers.iter().map(|layer| layer.size).sum();
    let work = move |meter: &LateMeter| {
        let start = Instant::now();
        // Every mode comes through, and needs no further call.
        rustix::process::umask(Mode::empty());
        let watch = |bytes| {
            meter.add(bytes);
            !cancel.is_cancelled()
        };
        let (receipt, sizes) = building.fill(layers, args.preserve, args.sync, &watch)?;
        Ok(Done { receipt, sizes, took: start.elapsed() })
    };
    let done = attend(&mut image, settings, total, work).await?;
    tell(&image, &args.dir, &done, settings).await
}

/// Opens the image; what the store lacks begins to come into it.
pub(super) async fn open(
    args: &Unpack,
    settings: &Settings,
    cancel: &CancellationToken,
) -> Result<Image> {
    let found = signals::unless_cancelled(cancel, "unpack", find(args, settings)).await??;
    match found {
        Found::There(image) => Ok(*image),
        Found::ToPull(opened) => pull(opened, args, settings, cancel).await,
    }
}

/// Where the image is.
enum Found {
    There(Box<Image>),
    ToPull(Opened),
}

async fn find(args: &Unpack, settings: &Settings) -> Result<Found> {
    let typed = args.platform.platform.as_deref();
    let plain = if args.pull.is_some() { PlainMeans::Registry } else { PlainMeans::Either };
    let place = Place::parse(&args.image, plain)?;
    if let Some(image) = Image::in_store(&place, typed, settings).await? {
        return Ok(Found::There(Box::new(image)));
    }
    let pulled = |reference| registry(reference, settings).map(Found::ToPull);
    match &place {
        Place::Either(reference) if !args.no_store => pulled(reference),
        Place::Registry(reference) if !args.no_store && args.pull.is_some() => pulled(reference),
        _ => Ok(Found::There(Box::new(Image::at(&place, typed, settings).await?))),
    }
}

/// Begins to pull the image into the store.
async fn pull(
    opened: Opened,
    args: &Unpack,
    settings: &Settings,
    cancel: &CancellationToken,
) -> Result<Image> {
    let wanted = Wanted {
        source: Arc::clone(&opened.source),
        name: opened.name.clone(),
        reference: opened.reference.clone(),
        target_name: Destination::of_pull(None)?.name(&opened.full_name)?,
        platforms: Platforms::One(platform(args.platform.platform.as_deref())?),
    };
    let options = match &args.pull {
        Some(moving) => options(moving, &words::PULL, settings, cancel)?,
        None => Moving {
            retry: settings.retry,
            progress: progress(settings.show, &words::PULL),
            cancel: cancel.clone(),
            ..Moving::default()
        },
    };
    // No layer can be missing from the files.
    let options = Moving { foreign_layers: true, ..options };
    let private = LayoutOptions { private: true, sync: args.sync, ..LayoutOptions::default() };
    let store = open_to_write(settings.store.clone(), private, settings, cancel).await?;
    Image::arriving(opened, Arriving::begin(wanted, store, options)).await
}

async fn tell(image: &Image, dir: &Path, done: &Done, settings: &Settings) -> Result<ExitCode> {
    let Done { receipt, sizes, took } = done;
    warn_of_left_out(receipt);
    if settings.show != Show::Nothing {
        let (layers, files) = (sizes.len(), receipt.files);
        note(&format!(
            "unpacked {}, {}, {}, {:.1} s",
            plural(layers as u64, "layer"),
            plural(files, "file"),
            size(receipt.bytes),
            took.as_secs_f64()
        ));
    }
    if !settings.json {
        output::line(&crate::escape(&dir.display().to_string()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = image.manifest()?.layers.iter().zip(&image.config.rootfs.diff_ids).zip(sizes);
    let layers: Vec<_> = rows
        .map(|((layer, diff_id), size)| {
            json!({
                "digest": layer.digest, "diff_id": diff_id, "size": layer.size, "uncompressed_size": size,
            })
        })
        .collect();
    output::json(&json_of(image, dir, layers, receipt, *took).await)?;
    Ok(ExitCode::SUCCESS)
}
