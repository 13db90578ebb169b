//! Progress and results of unpacking and exporting.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::open::OpenedImage;
use crate::cli::hint;
use crate::cli::image::attribute_error::{attribute_error, may_be_corruption};
use crate::cli::output::note;
use crate::cli::run::ledger;
use crate::cli::run::report::receipt;
use crate::cli::settings::Settings;
use crate::cli::signals::or_cancelled;
use crate::cli::size::{plural, size};
use crate::control::Control;
use crate::error::{Error, ErrorKind, Result};
use crate::transfer::{ImageResult, elapsed_ms};
use crate::unpack::Unpacked;

/// Runs `work` on the image's layers on a blocking thread, and adds the affected layer to its error. While the image is
/// being pulled the screen shows the pull's progress, afterwards that of the work.
pub(in crate::cli) async fn run_with_progress<T: Send + 'static>(
    image: &mut OpenedImage,
    settings: &Settings,
    control: &Control,
    work: impl FnOnce(&Control) -> Result<T> + Send + 'static,
) -> Result<T> {
    let cancel = control.cancel.clone();
    let control = control.clone();
    let work = spawn_blocking(move || work(&control));
    let reference = image.opened.reference.clone();
    let work = async move {
        let panicked = |error| Error::new(ErrorKind::Unpack, reference).with_source(error);
        work.await.unwrap_or_else(|error| Err(panicked(error)))
    };
    if let Some(arriving) = image.arriving.take() {
        let ends = arriving.endpoints(&*image.opened.source);
        let pulled = |pulled: &ImageResult| {
            if !settings.quiet && !pulled.report.blobs.is_empty() {
                note(&receipt(&pulled.report));
            }
            ledger::append("pull", [((&ends.0, &ends.1), pulled)], settings);
        };
        let done = arriving.run_alongside(&image.manifest()?.layers, work, pulled).await;
        return done.map_err(hint::resumable);
    }
    match work.await {
        Ok(done) => Ok(done),
        Err(error) => Err(with_layer(image, settings, &cancel, error).await),
    }
}

/// Returns the error to report for failed work on layers, which may be caused by one of them.
pub(in crate::cli) async fn with_layer(
    image: &OpenedImage,
    settings: &Settings,
    cancel: &CancellationToken,
    error: Error,
) -> Error {
    let layers = image.manifest().ok().map(|manifest| &manifest.layers);
    match error.layer().and_then(|number| layers?.get(number)) {
        Some(layer) if may_be_corruption(&error) => {
            let what = format!("layer {}", layer.digest);
            let blaming = attribute_error(&*image.opened.source, layer, error, settings.retry);
            or_cancelled(cancel, &what, blaming).await.unwrap_or_else(|stopped| stopped)
        }
        _ => error,
    }
}

/// Prints warnings and the summary; `done` is its verb.
pub(in crate::cli) fn print_summary(
    done: &str,
    layers: usize,
    receipt: &Unpacked,
    took: Duration,
    settings: &Settings,
) {
    warn_of_left_out(receipt);
    if !settings.quiet {
        note(&format!(
            "{done} {}, {}, {}, {:.1} s",
            plural(layers as u64, "layer"),
            plural(receipt.files, "file"),
            size(receipt.bytes),
            took.as_secs_f64()
        ));
    }
}

/// The JSON objects for the layers.
pub(in crate::cli) fn layer_rows(image: &OpenedImage, sizes: &[u64]) -> Result<Vec<Value>> {
    let rows = image.manifest()?.layers.iter().zip(&image.config.rootfs.diff_ids).zip(sizes);
    let values = rows.map(|((layer, diff_id), size)| {
        json!({
            "digest": layer.digest, "diff_id": diff_id, "size": layer.size, "uncompressed_size": size,
        })
    });
    Ok(values.collect())
}

/// The JSON value for an unpacked or exported image. `kind` is the key of `path`.
pub(in crate::cli) async fn json_of(
    image: &OpenedImage,
    (kind, path): (&str, &Path),
    layers: Vec<Value>,
    receipt: &Unpacked,
    took: Duration,
) -> Value {
    let named = image.opened.named_document(&image.root).await;
    json!({
        "reference": image.opened.reference,
        "source": image.opened.source.endpoint().location,
        "digest": named.digest(),
        "manifest": image.manifest_document.digest(),
        "platform": image.config.platform().to_string(),
        kind: path.display().to_string(),
        "layers": layers,
        "entries": receipt.entries,
        "files": receipt.files,
        "bytes": receipt.bytes,
        "left_out": receipt.skipped,
        "elapsed_ms": elapsed_ms(took),
    })
}

pub(in crate::cli) fn warn_of_left_out(receipt: &Unpacked) {
    for skipped in &receipt.skipped {
        tracing::warn!("{skipped}");
    }
}
