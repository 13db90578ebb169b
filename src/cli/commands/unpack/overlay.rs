//! `unpack --overlay`: unpacks layers into an overlay directory.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cli::args::Unpack;
use crate::cli::image::ensure_local::EnsureLocal;
use crate::cli::image::layer_blobs::layer_blobs;
use crate::cli::image::open::OpenedImage;
use crate::cli::image::unpack_report::{json_of, run_with_progress, warn_of_left_out};
use crate::cli::labels;
use crate::cli::output::{self, note};
use crate::cli::run::transfer_run::interruptible;
use crate::cli::settings::Settings;
use crate::cli::size::{percent, plural, size};
use crate::control::Control;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::insight::layers::chain_ids;
use crate::layout::{Layout, LayoutOptions};
use crate::unpack::overlay::{OverlayDirectory, OverlayImage, OverlayLayer, OverlayResult};
use crate::unpack::{BuildOptions, clear_umask};

/// An image to unpack into an overlay directory.
struct OverlayJob {
    directory: OverlayDirectory,
    layers: Vec<OverlayLayer<'static>>,
    name: String,
    image: OverlayImage,
    options: BuildOptions,
}

pub(super) async fn unpack(args: Unpack, settings: &Settings) -> Result<ExitCode> {
    let settings = &interruptible(&labels::PULL, settings);
    let control = &settings.control;
    if let Some(point) = &args.layers.mount {
        check_is_dir(point)?;
    }
    OverlayDirectory::check(&args.dir)?;
    let mut image = EnsureLocal::to_unpack(&args).open(settings).await?;
    let job = OverlayJob::new(&image, &args, settings)?;
    let chains = job.image.chains.clone();
    let wait_for_pull = image.wait_for_end();
    let work = move |control: &Control| job.run(control, wait_for_pull);
    let ended = run_with_progress(&mut image, settings, control, work).await;
    if ended.is_err() {
        report_kept_layers(&args, settings);
    }
    let (directory, done, took) = ended?;
    if !args.no_store {
        register_in_store(directory.path(), settings);
    }
    warn_of_left_out(&done.unpacked);
    if !settings.quiet {
        note(&receipt(&done, took));
    }
    let line = directory.mount_line(&chains);
    // Mount last: the mount may hide the directory, so no path is used afterwards.
    if let Some(point) = &args.layers.mount {
        directory.mount(&chains, point)?;
    }
    if settings.json {
        let layers = rows(&image, &chains, &done)?;
        let mut value =
            json_of(&image, ("directory", &args.dir), layers, &done.unpacked, took).await;
        if let Some(object) = value.as_object_mut() {
            let mounted = args.layers.mount.as_deref().map(|point| point.display().to_string());
            let shared = json!({"layers": done.shared, "bytes": done.shared_bytes});
            object.insert("shared".to_owned(), shared);
            object.insert("mount".to_owned(), json!(line));
            object.insert("mounted".to_owned(), json!(mounted));
        }
        output::json(&value)?;
    } else if let Some(line) = line {
        output::line(&line)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn check_is_dir(point: &Path) -> Result<()> {
    let fail = |error: std::io::Error| {
        Error::new(ErrorKind::Unpack, "mount").at(point.display().to_string()).with_source(error)
    };
    let found = point.metadata().map_err(fail)?;
    if found.is_dir() { Ok(()) } else { Err(fail(std::io::ErrorKind::NotADirectory.into())) }
}

impl OverlayJob {
    fn new(image: &OpenedImage, args: &Unpack, settings: &Settings) -> Result<Self> {
        let chains = chain_ids(&image.config.rootfs.diff_ids);
        let layers = layer_blobs(image, settings.retry)?
            .into_iter()
            .zip(&chains)
            .map(|(blob, chain)| OverlayLayer { blob, chain: chain.clone() })
            .collect();
        let opened = &image.opened;
        let named = !opened.full_name.is_empty();
        Ok(Self {
            layers,
            directory: OverlayDirectory::create(&args.dir)?,
            name: if named { opened.full_name.clone() } else { opened.reference.clone() },
            image: OverlayImage { manifest: image.manifest_document.digest().clone(), chains },
            options: BuildOptions { preserve: args.preserve, sync: args.sync },
        })
    }

    fn run(
        self,
        control: &Control,
        wait_for_pull: impl FnOnce() -> Result<()>,
    ) -> Result<(OverlayDirectory, OverlayResult, Duration)> {
        let Self { directory, layers, name, image, options } = self;
        let lock = directory.lock(control)?;
        let start = Instant::now();
        clear_umask();
        let done = directory.unpack(&lock, layers, options, control)?;
        wait_for_pull()?;
        directory.set_image(&lock, &name, image)?;
        drop(lock);
        Ok((directory, done, start.elapsed()))
    }
}

/// Records the overlay directory in the store. A failure is only a warning: the directory itself is complete.
fn register_in_store(directory: &Path, settings: &Settings) {
    let options = LayoutOptions { private: true, ..LayoutOptions::default() };
    let failed =
        |error| Error::new(ErrorKind::Store, "record the overlay directory").with_source(error);
    let noted = std::fs::canonicalize(directory).map_err(failed).and_then(|path| {
        // After Ctrl-C, nothing is waited for.
        let store = Layout::create_with_control(&settings.store()?, options, &settings.control)?;
        store.add_overlay(&path)
    });
    if let Err(error) = noted {
        tracing::warn!("`df` and `prune` will ignore the overlay directory: {}", error.chain());
    }
}

/// Says which layers a failed run leaves behind: they are complete, and the next run need not unpack them again.
fn report_kept_layers(args: &Unpack, settings: &Settings) {
    let Ok(Some(directory)) = OverlayDirectory::open(&args.dir) else { return };
    let Ok(kept) = directory.prune(None) else { return };
    if kept.layers == 0 {
        return;
    }
    let mut text = format!(
        "kept {} ({}) in {} for the next run",
        plural(kept.layers, "complete layer"),
        size(kept.bytes),
        directory.path().display()
    );
    if !args.no_store {
        register_in_store(directory.path(), settings);
        text.push_str("; `rpull prune` deletes what no image uses");
    }
    if !settings.quiet {
        note(&text);
    }
}

fn receipt(done: &OverlayResult, took: Duration) -> String {
    let receipt = &done.unpacked;
    let new = done.sizes.iter().flatten().count();
    format!(
        "unpacked {new} of {}, {}, {}, {} shared ({}), {:.1} s",
        plural(done.sizes.len() as u64, "layer"),
        plural(receipt.files, "file"),
        size(receipt.bytes),
        size(done.shared_bytes),
        percent(done.shared_bytes, done.shared_bytes + receipt.bytes),
        took.as_secs_f64()
    )
}

/// The JSON objects for the layers.
fn rows(image: &OpenedImage, chains: &[Digest], done: &OverlayResult) -> Result<Vec<Value>> {
    let diff_ids = &image.config.rootfs.diff_ids;
    let rows = image.manifest()?.layers.iter().zip(diff_ids).zip(chains).zip(&done.sizes);
    let values = rows.map(|(((layer, diff_id), chain), uncompressed)| {
        json!({
            "digest": layer.digest, "diff_id": diff_id, "chain_id": chain, "size": layer.size,
            "uncompressed_size": uncompressed, "shared": uncompressed.is_none(),
        })
    });
    Ok(values.collect())
}
