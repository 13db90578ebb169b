//! `unpack`: unpacks an image's layers into a directory.

mod overlay;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::cli::args::Unpack;
use crate::cli::image::ensure_local::EnsureLocal;
use crate::cli::image::layer_blobs::layer_blobs;
use crate::cli::image::open::OpenedImage;
use crate::cli::image::unpack_report::{json_of, layer_rows, print_summary, run_with_progress};
use crate::cli::run::path_checks;
use crate::cli::run::transfer_run::interruptible;
use crate::cli::settings::Settings;
use crate::cli::{labels, output};
use crate::control::Control;
use crate::error::Result;
use crate::unpack::{BuildOptions, RootBuilder, Unpacked, clear_umask};

/// The result of an unpacked image.
struct UnpackResult {
    receipt: Unpacked,
    /// Uncompressed size of each layer, in bytes.
    sizes: Vec<u64>,
    took: Duration,
}

pub(in crate::cli) async fn run(args: Unpack, settings: &Settings) -> Result<ExitCode> {
    path_checks::check_paths_disjoint(&args, settings)?;
    if args.layers.overlay {
        return overlay::unpack(args, settings).await;
    }
    let settings = &interruptible(&labels::PULL, settings);
    let control = &settings.control;
    // Check the arguments before the first request.
    let builder = RootBuilder::begin(&args.dir)?;
    let mut image = EnsureLocal::to_unpack(&args).open(settings).await?;
    let layers = layer_blobs(&image, settings.retry)?;
    let wait_for_pull = image.wait_for_end();
    let options = BuildOptions { preserve: args.preserve, sync: args.sync };
    let work = move |control: &Control| {
        let start = Instant::now();
        clear_umask();
        let (receipt, sizes) = builder.apply(layers, options, control, wait_for_pull)?;
        Ok(UnpackResult { receipt, sizes, took: start.elapsed() })
    };
    let done = run_with_progress(&mut image, settings, control, work).await?;
    print_result(&image, &args.dir, &done, settings).await
}

async fn print_result(
    image: &OpenedImage,
    dir: &Path,
    done: &UnpackResult,
    settings: &Settings,
) -> Result<ExitCode> {
    let UnpackResult { receipt, sizes, took } = done;
    print_summary("unpacked", sizes.len(), receipt, *took, settings);
    if !settings.json {
        output::line(&dir.display().to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let layers = layer_rows(image, sizes)?;
    output::json(&json_of(image, ("directory", dir), layers, receipt, *took).await)?;
    Ok(ExitCode::SUCCESS)
}
