//! `unpack`: an image's layers as files in a directory.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::Mode;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::arriving::Arriving;
use super::destination::{Destination, open_to_write};
use super::layer_blobs::layer_blobs;
use super::moving::{options, progress};
use super::open::{Image, Opened};
use super::report::receipt;
use crate::cli::args::Unpack;
use crate::cli::meter::Meter;
use crate::cli::output::{self, note};
use crate::cli::settings::{Settings, Show, platform};
use crate::cli::signals;
use crate::cli::size::size;
use crate::cli::words;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::LayoutOptions;
use crate::place::{Place, PlainMeans};
use crate::transfer::{Options as Moving, Platforms, Wanted, read_blob};
use crate::unpack::{Building, LayerBlob, Options, Unpacked, Unpacker};

/// What became of an image.
struct Done {
    receipt: Unpacked,
    /// Uncompressed bytes of each layer.
    sizes: Vec<u64>,
    took: Duration,
}

pub(in crate::cli) async fn run(args: Unpack, settings: &Settings) -> Result<ExitCode> {
    if args.layers.overlay {
        return super::overlay::unpack(args, settings).await;
    }
    let cancel = signals::cancelled_by_signals();
    // What was typed is judged before anything is asked of anybody.
    let building = Building::begin(&args.dir)?;
    let mut image = open(&args, settings, &cancel).await?;
    let layers = layer_blobs(&image, settings.retry)?;
    let total = image.manifest()?.layers.iter().map(|layer| layer.size).sum();
    let meter = meter(&image, total, settings);
    let options = Options { preserve: args.preserve, new_root: building.is_new() };
    let work = move || unpack(layers, building, options, args.sync, &meter, &cancel);
    let done = tokio::task::spawn_blocking(work).await;
    let done = done
        .unwrap_or_else(|error| Err((0, Error::new(ErrorKind::Unpack, "unpack").caused_by(error))));
    end_pull(&mut image, done.as_ref().err(), settings).await?;
    match done {
        Ok(done) => tell(&image, &args.dir, &done, settings).await,
        Err((number, error)) => Err(blame(&image, number, error, settings).await),
    }
}

/// Tells how far the layers of an image are; while it arrives the bars of the pull are shown.
pub(super) fn meter(image: &Image, total: u64, settings: &Settings) -> Meter {
    let show = if image.arriving.is_some() { Show::Nothing } else { settings.show };
    Meter::new(show, "unpacking", total)
}

/// Waits for the pull that brought the image, where there was one.
///
/// # Errors
/// The pull's, where unpacking failed because bytes did not come: it knows why.
pub(super) async fn end_pull(
    image: &mut Image,
    failed: Option<&(usize, Error)>,
    settings: &Settings,
) -> Result<()> {
    let Some(arriving) = image.arriving.take() else { return Ok(()) };
    let pulled = arriving.end().await;
    if settings.show != Show::Nothing
        && let Ok(pulled) = &pulled
    {
        note(&receipt(&pulled.report));
    }
    if failed.is_none_or(|(_, error)| error.kind() == ErrorKind::Interrupted) {
        pulled?;
    }
    Ok(())
}

/// Opens the image; what the store lacks begins to come into it.
pub(super) async fn open(
    args: &Unpack,
    settings: &Settings,
    cancel: &CancellationToken,
) -> Result<Image> {
    let image = signals::unless_cancelled(cancel, "unpack", find(args, settings, cancel));
    let image = image.await??;
    if image.config.os == "windows" {
        return Err(Error::new(ErrorKind::Unsupported, &image.opened.reference)
            .because("is an image for Windows"));
    }
    Ok(image)
}

async fn find(args: &Unpack, settings: &Settings, cancel: &CancellationToken) -> Result<Image> {
    let typed = args.platform.platform.as_deref();
    let is_plain = matches!(Place::parse(&args.image, PlainMeans::Either)?, Place::Either(_));
    let mut image = match &args.pull {
        None => Image::open(&args.image, typed, settings).await?,
        Some(_) => Image::at_registry(&args.image, typed, settings).await?,
    };
    if args.no_store || image.opened.layout.is_some() || !(is_plain || args.pull.is_some()) {
        return Ok(image);
    }
    let wanted = Wanted {
        source: Arc::clone(&image.opened.source),
        name: image.opened.name.clone(),
        reference: image.opened.reference.clone(),
        target_name: Destination::of_pull(None)?.name(&image.opened.full_name)?,
        platforms: Platforms::One(platform(typed)?),
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
    let private = LayoutOptions { private: true, sync: args.sync, ..LayoutOptions::default() };
    let store = open_to_write(settings.store.clone(), private, settings, cancel).await?;
    image.arriving = Some(Arriving::begin(wanted, store, options));
    Ok(image)
}

fn unpack(
    layers: Vec<LayerBlob<'_>>,
    building: Building,
    options: Options,
    sync: bool,
    meter: &Meter,
    cancel: &CancellationToken,
) -> Result<Done, (usize, Error)> {
    let start = Instant::now();
    let early = |error| (usize::MAX, error);
    // Every mode comes through, and needs no further call.
    rustix::process::umask(Mode::empty());
    let mut unpacker = Unpacker::new(building.root().map_err(early)?, options).map_err(early)?;
    let done = AtomicU64::new(0);
    let watch = |bytes| {
        meter.set(done.fetch_add(bytes, Ordering::Relaxed) + bytes);
        !cancel.is_cancelled()
    };
    let sizes = unpacker.apply_all(layers, &watch)?;
    let receipt = unpacker.finish().map_err(early)?;
    building.publish(sync).map_err(early)?;
    Ok(Done { receipt, sizes, took: start.elapsed() })
}

/// Tells a layer that is malformed from one whose bytes are not those that the manifest names.
pub(super) async fn blame(
    image: &Image,
    number: usize,
    error: Error,
    settings: &Settings,
) -> Error {
    let by_bytes = match error.kind() {
        ErrorKind::Unpack => error.matter().is_none(),
        ErrorKind::Mismatch => true,
        _ => false,
    };
    let layer = image.manifest().ok().and_then(|manifest| manifest.layers.get(number));
    let Some(layer) = layer.filter(|_| by_bytes) else { return error };
    let Opened { source, .. } = &image.opened;
    let reading = Moving { retry: settings.retry, ..Moving::default() };
    match read_blob(&**source, layer, reading, &mut |_| Ok(())).await {
        Err(wrong) if wrong.kind() == ErrorKind::Mismatch => wrong,
        _ => error,
    }
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

/// What scripts are told of an image that was unpacked, in whatever form.
pub(super) async fn json_of(
    image: &Image,
    dir: &Path,
    layers: Vec<Value>,
    receipt: &Unpacked,
    took: Duration,
) -> Value {
    let chosen_from = image.opened.source.chosen_from(&image.root).await;
    let root = chosen_from.as_ref().unwrap_or(&image.root);
    json!({
        "reference": image.opened.reference,
        "source": image.opened.source.place(),
        "digest": root.digest(),
        "manifest": image.chosen.digest(),
        "platform": image.config.platform().to_string(),
        "directory": dir.display().to_string(),
        "layers": layers,
        "entries": receipt.entries,
        "files": receipt.files,
        "bytes": receipt.bytes,
        "left_out": receipt.left_out,
        "elapsed_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    })
}

pub(super) fn warn_of_left_out(receipt: &Unpacked) {
    for left_out in &receipt.left_out {
        tracing::warn!("{}", crate::escape(&left_out.to_string()));
    }
}

pub(super) fn plural(count: u64, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}
