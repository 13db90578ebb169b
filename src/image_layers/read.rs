//! Reads layers: inflated and hashed in one pass, held against their `diff_id`s.

use std::io;
use std::num::NonZero;

use super::failed;
use super::inflate::{InflatedReader, LayerStart, Watch, connect};
use super::layer_blob::LayerBlob;
use super::stop::Stop;
use crate::error::{Error, ErrorKind, Result};
use crate::layer::{BombGuard, DiffIdReader, Entries, EntryLimits};

/// Inflated pieces of a layer that may wait to be read: enough to go on while many small files are made, and through
/// to the next layer.
pub(crate) const PIECES: usize = 64;

/// Layers that are read at once: each has megabytes on their way from one thread to another.
const AT_ONCE: usize = 4;

/// Returns how many of `layers` layers are read concurrently on this machine.
pub(crate) fn concurrency(layers: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    cores.min(AT_ONCE).min(layers)
}

/// The entries of a layer that is inflated on another thread.
pub(crate) type BlobEntries<'a> = Entries<DiffIdReader<&'a mut InflatedReader>>;

/// Hands the entries of each layer to `take`, base first, with what errors call it, and gives the uncompressed size of
/// each. `progress` receives the number of compressed bytes that were read, and returns whether to continue; `outer`
/// stops it too.
///
/// What `take` did not read counts too, but nothing that it read can be trusted before this succeeded.
///
/// # Errors
/// With [the position](Error::layer) of the layer: what `take` says, [`ErrorKind::Mismatch`] for another `diff_id`,
/// [`ErrorKind::Unsupported`] for a compression that is not read, [`ErrorKind::Interrupted`], else
/// [`ErrorKind::Unpack`], or what the blob's reader says.
pub(crate) fn read_all(
    all: &BombGuard,
    layers: Vec<LayerBlob<'_>>,
    outer: &Stop,
    progress: &(dyn Fn(u64) -> bool + Sync),
    mut take: impl FnMut(&str, &mut BlobEntries<'_>) -> Result<()>,
) -> Result<Vec<u64>> {
    let count = layers.len();
    let stop = &outer.inner();
    std::thread::scope(|scope| {
        // Created in this scope: the thread must be stopped before the scope waits for it.
        let _stopped = stop.at_end();
        let (inflater, mut bytes) = connect(PIECES, Watch { progress, stop });
        let mut layers = layers.into_iter().enumerate();
        scope.spawn(move || inflater.run(all, || layers.next()));
        let mut sizes = Vec::new();
        while sizes.len() < count {
            let begun = bytes
                .next_layer()
                .ok_or_else(|| worker_exited("a layer").with_layer(sizes.len()))?;
            let size = read_layer(&begun, &mut bytes, |entries| take(&begun.name, entries));
            sizes.push(size.map_err(|error| error.with_layer(begun.number))?);
        }
        Ok(sizes)
    })
}

/// Reads the entries of a layer, and what comes behind them; gives its uncompressed size where it has its `diff_id`.
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
    let why = format!("diff_id mismatch: expected {diff_id}, got {found}");
    Err(Error::new(ErrorKind::Mismatch, name).with_reason(why))
}

/// The thread that was to read a layer has ended without a word.
pub(crate) fn worker_exited(name: &str) -> Error {
    failed(name, "", io::Error::other("decompression thread exited unexpectedly"))
}
