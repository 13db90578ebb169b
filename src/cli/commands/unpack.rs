//! `unpack`: an image's layers as files in a directory.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::fs::Mode;

use super::bring::Bring;
use super::layer_blobs::layer_blobs;
use super::open::Image;
use super::unpacked::{attend, json_of, note_receipt, rows};
use crate::cli::args::Unpack;
use crate::cli::meter::LateMeter;
use crate::cli::output;
use crate::cli::settings::Settings;
use crate::cli::signals;
use crate::error::Result;
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
    let mut image = Bring::to_unpack(&args).open(settings, &cancel).await?;
    let layers = layer_blobs(&image, settings.retry, &cancel)?;
    let total = image.manifest()?.layers.iter().map(|layer| layer.size).sum();
    let (settled, cancelled) = (image.settled(), cancel.clone());
    let work = move |meter: &LateMeter| {
        let start = Instant::now();
        // Every mode comes through, and needs no further call.
        rustix::process::umask(Mode::empty());
        let watch = |bytes| {
            meter.add(bytes);
            !cancelled.is_cancelled()
        };
        let (receipt, sizes) = building.fill(layers, args.preserve, args.sync, &watch, settled)?;
        Ok(Done { receipt, sizes, took: start.elapsed() })
    };
    let done =
        attend(&mut image, settings, &cancel, LateMeter::new("unpacking", total), work).await?;
    tell(&image, &args.dir, &done, settings).await
}

async fn tell(image: &Image, dir: &Path, done: &Done, settings: &Settings) -> Result<ExitCode> {
    let Done { receipt, sizes, took } = done;
    note_receipt("unpacked", sizes.len(), receipt, *took, settings);
    if !settings.json {
        output::line(&crate::escape(&dir.display().to_string()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let layers = rows(image, sizes)?;
    output::json(&json_of(image, ("directory", dir), layers, receipt, *took).await)?;
    Ok(ExitCode::SUCCESS)
}
