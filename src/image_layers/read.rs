//! Reads layers: decompresses and hashes in one pass, and verifies the `diff_id`s.

use std::io;
use std::num::NonZero;

use tokio_util::sync::CancellationToken;

use super::failed;
use super::inflate::{InflatedReader, LayerStart, Watch, connect};
use super::layer_blob::LayerBlob;
use crate::control::PhaseCounter;
use crate::error::{Error, ErrorKind, Result};
use crate::layer::{BombGuard, DiffIdReader, Entries, EntryLimits};

/// Decompressed buffers of a layer in flight: enough to continue while many small files are created, and into the next
/// layer.
pub(crate) const BUFFERS_IN_FLIGHT: usize = 32;

/// Maximum layers read concurrently: each has megabytes in flight between threads.
const MAX_CONCURRENCY: usize = 4;

/// Returns how many of `layers` layers are read concurrently on this machine.
pub(crate) fn concurrency(layers: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    cores.min(MAX_CONCURRENCY).min(layers)
}

/// The entries of a layer that is decompressed on another thread.
pub(crate) type BlobEntries<'a> = Entries<DiffIdReader<&'a mut InflatedReader>>;

/// Passes the entries of each layer to `take`, base first, with the layer's name in errors. Returns the uncompressed
/// size of each layer. `counter` receives the number of compressed bytes read; `outer` stops it too.
///
/// Data that `take` does not read is verified too. Nothing it reads can be trusted before this has succeeded.
///
/// # Errors
/// With [the position](Error::layer) of the layer: errors of `take`, [`ErrorKind::Mismatch`] for another `diff_id`,
/// [`ErrorKind::Unsupported`] for an unsupported compression, [`ErrorKind::Interrupted`], otherwise
/// [`ErrorKind::Unpack`], or the error of the blob's reader.
pub(crate) fn read_all(
    guard: &BombGuard,
    layers: Vec<LayerBlob<'_>>,
    outer: &CancellationToken,
    counter: &PhaseCounter,
    mut take: impl FnMut(&str, &mut BlobEntries<'_>) -> Result<()>,
) -> Result<Vec<u64>> {
    let count = layers.len();
    let stop = &outer.child_token();
    std::thread::scope(|scope| {
        // Created in this scope: the thread must be stopped before the scope waits for it.
        let _stopped = stop.clone().drop_guard();
        let (inflater, mut bytes) = connect(BUFFERS_IN_FLIGHT, Watch { counter, stop });
        let mut layers = layers.into_iter().enumerate();
        scope.spawn(move || inflater.run(guard, || layers.next()));
        let mut sizes = Vec::new();
        while sizes.len() < count {
            let layer = bytes
                .next_layer()
                .ok_or_else(|| worker_exited("a layer").with_layer(sizes.len()))?;
            let size = read_layer(&layer, &mut bytes, |entries| take(&layer.name, entries));
            sizes.push(size.map_err(|error| error.with_layer(layer.number))?);
        }
        Ok(sizes)
    })
}

/// Reads the entries of a layer and the data after them. Returns its uncompressed size if its `diff_id` is right.
pub(crate) fn read_layer(
    layer: &LayerStart,
    bytes: &mut InflatedReader,
    read: impl FnOnce(&mut BlobEntries<'_>) -> Result<()>,
) -> Result<u64> {
    let LayerStart { name, diff_id, .. } = layer;
    let mut entries = Entries::new(
        DiffIdReader::with_algorithm(diff_id.algorithm()?, bytes),
        EntryLimits::default(),
    );
    read(&mut entries)?;
    let hashed = entries.drain().map_err(|error| failed(name, "", error))?;
    let (size, found) = (hashed.position(), hashed.finish());
    if found == *diff_id {
        return Ok(size);
    }
    let reason = format!("diff_id mismatch: expected {diff_id}, got {found}");
    Err(Error::new(ErrorKind::Mismatch, name).with_reason(reason))
}

/// The decompression thread has ended without a result.
pub(crate) fn worker_exited(name: &str) -> Error {
    failed(name, "", io::Error::other("decompression thread exited unexpectedly"))
}
