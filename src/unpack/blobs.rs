//! Layer blobs as they are stored or arrive: inflated and hashed in one pass, held against their `diff_id`s.

use std::fmt;
use std::io::{self, Read};
use std::num::NonZero;

use super::failed;
use super::inflate::{InflatedReader, LayerStart, Watch, connect};
use super::stop::Stop;
use crate::config::ImageConfig;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::ImageManifest;
use crate::error::{Error, ErrorKind, Result};
use crate::layer::{BombGuard, DiffIdReader, Entries, EntryLimits, Unread};

/// Inflated pieces of a layer that may wait to be read: enough to go on while many small files are made, and through
/// to the next layer.
pub(super) const PIECES: usize = 64;

/// Layers that are read at once: each has megabytes on their way from one thread to another.
const AT_ONCE: usize = 4;

/// Opens the blob of a layer.
pub type OpenBlob<'a> = Box<dyn FnOnce(&Stop) -> io::Result<Box<dyn Read + Send>> + Send + 'a>;

/// A layer that is to be read.
pub struct LayerBlob<'a> {
    /// What errors call it.
    pub name: String,
    /// The digest that it must have when it is uncompressed.
    pub diff_id: Digest,
    /// About how much work it is, in bytes of the blob: large layers are begun with early.
    pub size: u64,
    /// Opens the blob, whatever it is compressed with. Runs on another thread, before the layers below are read and while
    /// others are. A reader that may have to wait for its bytes ends its wait when it hears of the stop.
    pub open: OpenBlob<'a>,
}

impl fmt::Debug for LayerBlob<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerBlob").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<'a> LayerBlob<'a> {
    /// The layers of an image, base first, with what opens each; `image` is for errors.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidDocument`] where the config does not have one `diff_id` for each, [`ErrorKind::Unsupported`] for an
    /// encrypted one, and of an image for Windows.
    pub fn from_image(
        image: &str,
        manifest: &ImageManifest,
        config: &ImageConfig,
        open: impl Fn(&Descriptor) -> OpenBlob<'a>,
    ) -> Result<Vec<Self>> {
        let refuse = |kind, why: String| Err(Error::new(kind, image).with_reason(why));
        if config.os == "windows" {
            return refuse(ErrorKind::Unsupported, "is an image for Windows".to_owned());
        }
        Self::check_types(image, manifest)?;
        let (layers, diff_ids) = (&manifest.layers, &config.rootfs.diff_ids);
        if layers.len() != diff_ids.len() {
            let why = format!("has {} layers and {} diff_ids", layers.len(), diff_ids.len());
            return refuse(ErrorKind::InvalidDocument, why);
        }
        let blob = |(layer, diff_id): (&Descriptor, &Digest)| LayerBlob {
            name: format!("layer {}", layer.digest),
            diff_id: diff_id.clone(),
            size: layer.size,
            open: open(layer),
        };
        Ok(layers.iter().zip(diff_ids).map(blob).collect())
    }

    /// Sees to it that no layer is of a type that is known and not read; `image` is for errors.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] naming the layer.
    pub fn check_types(image: &str, manifest: &ImageManifest) -> Result<()> {
        for layer in &manifest.layers {
            let media_type = layer.media_type.as_str();
            let why = if media_type.ends_with("+encrypted") {
                "is encrypted".to_owned()
            } else if let Some(unread) = Unread::of_type(media_type) {
                format!("{unread}, which rpull does not read")
            } else {
                continue;
            };
            let why = format!("layer {} {why}", layer.digest);
            return Err(Error::new(ErrorKind::Unsupported, image).with_reason(why));
        }
        Ok(())
    }
}

/// How many of so many layers are read at once on this machine.
pub(super) fn concurrency(layers: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    cores.min(AT_ONCE).min(layers)
}

/// The entries of a layer that is inflated on another thread.
pub(crate) type BlobEntries<'a> = Entries<DiffIdReader<&'a mut InflatedReader>>;

/// Hands the entries of each layer to `take`, base first, with what errors call it, and gives the uncompressed size of
/// each. `watch` hears of compressed bytes as they are read and tells whether to go on; `outer` stops it too.
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
    watch: &(dyn Fn(u64) -> bool + Sync),
    mut take: impl FnMut(&str, &mut BlobEntries<'_>) -> Result<()>,
) -> Result<Vec<u64>> {
    let count = layers.len();
    let stop = &outer.inner();
    std::thread::scope(|scope| {
        // Made in here: where a layer fails, the thread must hear of it before it is waited for.
        let _stopped = stop.at_end();
        let (inflater, mut bytes) = connect(PIECES, Watch { hear: watch, stop });
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
pub(super) fn read_layer(
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
    let (size, found) = (hashed.seen(), hashed.finish());
    if found == *diff_id {
        return Ok(size);
    }
    let why = format!("uncompressed it has digest {found}, the config says {diff_id}");
    Err(Error::new(ErrorKind::Mismatch, name).with_reason(why))
}

/// The thread that was to read a layer has ended without a word.
pub(super) fn worker_exited(name: &str) -> Error {
    failed(name, "", io::Error::other("whoever inflates it is gone"))
}
