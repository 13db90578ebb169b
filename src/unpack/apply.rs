//! Layer blobs as they are stored or arrive: inflated, hashed and applied in one pass, held against their `diff_id`s.

use std::fmt;
use std::io::{self, Read};
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use super::inflate::{Begun, Inflated, connect};
use super::stage::Stage;
use super::staged::{self, Batch, StagedLayer};
use super::unpacker::Unpacker;
use super::waiting::Waiting;
use crate::config::ImageConfig;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Manifest;
use crate::error::{Error, ErrorKind, Result};
use crate::layer::{DiffId, Entries, Inflation, Limits};

/// Layers that are read at once: one is applied, others are staged.
const AT_ONCE: usize = 4;

/// Pieces of the layer that is applied which may wait: enough to go on while many small files are made, and through to
/// the next layer.
const PIECES: usize = 64;

/// The same of a layer that is staged.
const PIECES_AHEAD: usize = 32;

/// Opens the blob of a layer.
pub type OpenBlob<'a> = Box<dyn FnOnce() -> io::Result<Box<dyn Read + Send>> + Send + 'a>;

/// A layer that is to be applied.
pub struct LayerBlob<'a> {
    /// What errors call it.
    pub name: String,
    /// The digest that it must have when it is uncompressed.
    pub diff_id: Digest,
    /// About how much work it is, in bytes of the blob: large layers are begun with early.
    pub size: u64,
    /// Opens the blob, whatever it is compressed with. Runs on another thread, before the layers below are applied, and while
    /// others of them are read. A reader that has to wait says [`io::ErrorKind::Interrupted`] now and then, to hear whether
    /// it is still wanted.
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
    /// [`ErrorKind::Document`] where the config does not have one `diff_id` for each, [`ErrorKind::Unsupported`] for an
    /// encrypted one, and of an image for Windows.
    pub fn of_image(
        image: &str,
        manifest: &Manifest,
        config: &ImageConfig,
        open: impl Fn(&Descriptor) -> OpenBlob<'a>,
    ) -> Result<Vec<Self>> {
        let refuse = |kind, why: String| Err(Error::new(kind, image).because(why));
        if config.os == "windows" {
            return refuse(ErrorKind::Unsupported, "is an image for Windows".to_owned());
        }
        let (layers, diff_ids) = (&manifest.layers, &config.rootfs.diff_ids);
        if layers.len() != diff_ids.len() {
            let why = format!("has {} layers and {} diff_ids", layers.len(), diff_ids.len());
            return refuse(ErrorKind::Document, why);
        }
        if let Some(layer) =
            layers.iter().find(|layer| layer.media_type.as_str().ends_with("+encrypted"))
        {
            return refuse(ErrorKind::Unsupported, format!("layer {} is encrypted", layer.digest));
        }
        let blob = |(layer, diff_id): (&Descriptor, &Digest)| LayerBlob {
            name: format!("layer {}", layer.digest),
            diff_id: diff_id.clone(),
            size: layer.size,
            open: open(layer),
        };
        Ok(layers.iter().zip(diff_ids).map(blob).collect())
    }
}

impl Unpacker {
    /// Applies layers, base first, and gives the uncompressed size of each. `watch` hears of compressed bytes as they
    /// are read and tells whether to go on.
    ///
    /// Nothing that was unpacked can be trusted before this succeeded.
    ///
    /// # Errors
    /// With the number of the layer: [`ErrorKind::Mismatch`] for another `diff_id`, [`ErrorKind::Unsupported`] for a
    /// compression that is not read, [`ErrorKind::Interrupted`], else [`ErrorKind::Unpack`], or what the blob's reader
    /// says.
    pub fn apply_all(
        &mut self,
        layers: Vec<LayerBlob<'_>>,
        watch: &(dyn Fn(u64) -> bool + Sync),
    ) -> Result<Vec<u64>, (usize, Error)> {
        self.apply_among(&Inflation::default(), layers, watch)
    }

    /// As [`Unpacker::apply_all`], where others apply layers of the same image.
    pub(super) fn apply_among(
        &mut self,
        all: &Inflation,
        layers: Vec<LayerBlob<'_>>,
        watch: &(dyn Fn(u64) -> bool + Sync),
    ) -> Result<Vec<u64>, (usize, Error)> {
        let names: Vec<_> = layers.iter().map(|layer| layer.name.clone()).collect();
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let stagers = layers.len().min(cores).min(AT_ONCE).saturating_sub(1);
        if stagers > 0 {
            self.begin_stage().map_err(|error| (0, super::failed("unpack", "", error)))?;
        }
        let (stage, options) = (self.stage.clone(), self.options);
        let (waiting, staged) = Waiting::new(layers);
        let failed = AtomicBool::new(false);
        let watch = |bytes| watch(bytes) && !failed.load(Ordering::Relaxed);
        let outcome = std::thread::scope(|scope| {
            // Made in here: where a layer fails, the threads must hear of it before they are waited for.
            let (inflater, bytes) = connect(PIECES, &watch);
            scope.spawn(|| inflater.run(all, || waiting.take_lowest()));
            for stage in stage.iter().flat_map(|stage| std::iter::repeat_n(&**stage, stagers)) {
                let (inflater, layers) = connect(PIECES_AHEAD, &watch);
                let (inflate, taken) = sync_channel(1);
                let waiting = &waiting;
                scope.spawn(move || inflater.run(all, || taken.recv().ok()));
                scope.spawn(move || staged::fill(stage, options, waiting, &inflate, layers));
            }
            let outcome = self.apply_in_order(&names, &waiting, bytes, staged);
            failed.store(outcome.is_err(), Ordering::Relaxed);
            outcome
        });
        self.stage = None;
        outcome
    }

    fn begin_stage(&mut self) -> io::Result<()> {
        // It remembers when the root was changed last.
        self.parent(b"")?;
        self.stage = Some(Arc::new(Stage::begin(&self.root)?));
        Ok(())
    }

    fn apply_in_order(
        &mut self,
        names: &[String],
        waiting: &Waiting<'_>,
        mut bytes: Inflated,
        staged: Vec<Receiver<Batch>>,
    ) -> Result<Vec<u64>, (usize, Error)> {
        let mut sizes = Vec::new();
        let mut begun = bytes.next_layer();
        for (number, (name, entries)) in names.iter().zip(staged).enumerate() {
            let size = match (&begun, &self.stage) {
                (Some(here), _) if here.number == number => {
                    let size = read_layer(here, &mut bytes, |entries| self.apply(name, entries));
                    if size.is_ok() {
                        begun = bytes.next_layer();
                    }
                    size
                }
                (_, Some(stage)) if !waiting.has(number) => {
                    let mut layer = StagedLayer::new(Arc::clone(stage), entries);
                    self.apply_changes(name, &mut layer).and_then(|()| layer.end())
                }
                _ => Err(super::failed(name, "", io::Error::other("whoever inflates it is gone"))),
            };
            sizes.push(size.map_err(|error| (number, error))?);
        }
        Ok(sizes)
    }
}

/// Reads the entries of a layer, and what comes behind them; gives its uncompressed size where it has its `diff_id`.
pub(super) fn read_layer(
    layer: &Begun,
    bytes: &mut Inflated,
    read: impl FnOnce(&mut Entries<DiffId<&mut Inflated>>) -> Result<()>,
) -> Result<u64> {
    let Begun { name, diff_id, .. } = layer;
    let mut entries = Entries::new(DiffId::with(diff_id.algorithm()?, bytes), Limits::default());
    read(&mut entries)?;
    let hashed = entries.drain().map_err(|error| super::failed(name, "", error))?;
    let (size, found) = (hashed.seen(), hashed.finish());
    if found == *diff_id {
        return Ok(size);
    }
    let why = format!("uncompressed it has digest {found}, the config says {diff_id}");
    Err(Error::new(ErrorKind::Mismatch, name).because(why))
}
