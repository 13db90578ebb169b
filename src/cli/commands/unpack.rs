//! `unpack`: an image's layers as files in a directory.

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::Mode;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::bring::{Bring, Keep, blame, end_pull, meter};
use super::layer_blobs::layer_blobs;
use super::open::Image;
use crate::cli::args::Unpack;
use crate::cli::meter::Meter;
use crate::cli::output::{self, note};
use crate::cli::settings::{Settings, Show};
use crate::cli::signals;
use crate::cli::size::size;
use crate::error::{Error, ErrorKind, Result};
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
    let mut image = bring(&args).open(settings, &cancel).await?;
    let layers = layer_blobs(&image, settings.retry)?;
    let meter = meter(&image, "unpacking", settings)?;
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

/// How the image may come.
pub(super) fn bring(args: &Unpack) -> Bring<'_> {
    let keep = match &args.pull {
        _ if args.no_store => Keep::Nothing,
        None => Keep::Lacking,
        Some(_) => Keep::Everything,
    };
    Bring {
        verb: "unpack",
        image: &args.image,
        platform: args.platform.platform.as_deref(),
        pull: args.pull.as_ref(),
        keep,
        sync: args.sync,
    }
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
    let layers = rows(image, sizes)?;
    output::json(&json_of(image, ("directory", dir), layers, receipt, *took).await)?;
    Ok(ExitCode::SUCCESS)
}

/// What became of each layer, by its uncompressed size.
pub(super) fn rows(image: &Image, sizes: &[u64]) -> Result<Vec<Value>> {
    let rows = image.manifest()?.layers.iter().zip(&image.config.rootfs.diff_ids).zip(sizes);
    let told = rows.map(|((layer, diff_id), size)| {
        json!({
            "digest": layer.digest, "diff_id": diff_id, "size": layer.size, "uncompressed_size": size,
        })
    });
    Ok(told.collect())
}

/// What scripts are told of an image whose files were written, in whatever form.
pub(super) async fn json_of(
    image: &Image,
    (kind, place): (&str, &Path),
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
        kind: place.display().to_string(),
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
