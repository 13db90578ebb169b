//! Layers of an image to look at: from the store if it has them, else as they arrive, without keeping them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::open::OpenedImage;
use super::range_reader::RangeReader;
use super::table_source::{TableSource, fetch_table};
use crate::builders::open_layer;
use crate::cli::output::note;
use crate::cli::settings::Settings;
use crate::cli::size::{plural, size};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::image_layers::{LayerBlob, LayerOpener};
use crate::insight::files::LayerInput;
use crate::layer::LayerEntry;
use crate::layout::Layout;

/// Tables of contents that are fetched and parsed at once: each may take over 100 MB.
const CONCURRENT_TABLES: usize = 4;

/// Opens layers and counts what is transferred.
pub(in crate::cli) struct LayerSource {
    /// Where layers of a remote image are looked for first.
    store: Option<Arc<Layout>>,
    transferred: Arc<Transferred>,
    /// Reads parts of layers; none of a local image.
    ranges: Option<Arc<RangeReader>>,
}

#[derive(Default)]
struct Transferred {
    bytes: Arc<AtomicU64>,
    layers: AtomicU64,
    /// Sizes of the layers that were read by their tables of contents.
    tables: Mutex<BTreeMap<Digest, u64>>,
}

impl Transferred {
    fn tables(&self) -> MutexGuard<'_, BTreeMap<Digest, u64>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LayerSource {
    pub(in crate::cli) fn new(image: &OpenedImage, settings: &Settings) -> Self {
        let is_local = image.opened.source.endpoint().kind.is_local();
        // A store that cannot be read is no reason to fail: the registry has the layers.
        let store = if is_local { None } else { settings.store_if_any().ok().flatten() };
        let transferred: Arc<Transferred> = Arc::default();
        let (source, bytes) = (&image.opened.source, &transferred.bytes);
        let ranges = || RangeReader::new(Arc::clone(source), settings.retry, Arc::clone(bytes));
        let ranges = (!is_local).then(|| Arc::new(ranges()));
        Self { store, transferred, ranges }
    }

    /// Returns the layers of an image, base first.
    ///
    /// # Errors
    /// As [`LayerBlob::from_image`], and [`ErrorKind::Unsupported`] for an image without layers.
    pub(in crate::cli) fn layers(
        &self,
        image: &OpenedImage,
        settings: &Settings,
    ) -> Result<Vec<LayerBlob<'static>>> {
        let (reference, manifest) = (&image.opened.reference, image.manifest()?);
        if manifest.layers.is_empty() {
            return Err(Error::new(ErrorKind::Unsupported, reference).with_reason("has no layers"));
        }
        let open = |layer: &Descriptor| self.open(image, layer, settings);
        let mut layers = LayerBlob::from_image(reference, manifest, &image.config, open)?;
        let can_wait = image.opened.source.endpoint().kind.is_local();
        for layer in &mut layers {
            layer.can_wait = can_wait;
        }
        Ok(layers)
    }

    /// The layer with this number, counted from the base.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the image has fewer, otherwise as [`LayerSource::layers`].
    pub(in crate::cli) fn layer(
        &self,
        number: usize,
        image: &OpenedImage,
        settings: &Settings,
    ) -> Result<LayerBlob<'static>> {
        let mut layers = self.layers(image, settings)?;
        check_number(number, image)?;
        Ok(layers.swap_remove(number))
    }

    /// Returns the first layers of an image, base first, by their tables of contents where these can be fetched, and the
    /// tables. Layers of the store, without a table, or in `whole` are read as a whole. `is_needed` says of which files the
    /// bytes may be needed.
    ///
    /// # Errors
    /// As [`LayerSource::layers`], those of the registry, and a table that lies.
    pub(in crate::cli) async fn inputs(
        &self,
        image: &OpenedImage,
        settings: &Settings,
        count: usize,
        whole: &[usize],
        is_needed: impl Fn(u32, &LayerEntry) -> bool,
    ) -> Result<(Vec<LayerInput<'static>>, Vec<Option<TableSource>>)> {
        let is_needed = &is_needed;
        let layers = self.layers(image, settings)?.into_iter().take(count).enumerate();
        let inputs = layers.map(async |(number, blob)| {
            let is_whole = whole.contains(&number);
            let table = if is_whole { None } else { self.table(image, number, is_needed).await? };
            Ok::<_, Error>(match table {
                Some((entries, table)) => (LayerInput::Entries(blob.name, entries), Some(table)),
                None => (LayerInput::Blob(blob), None),
            })
        });
        stream::iter(inputs).buffered(CONCURRENT_TABLES).try_collect().await
    }

    /// Returns the entries of the layer with this number by its table, and the table for the files that are needed.
    ///
    /// # Errors
    /// Those of the registry, and a table that lies.
    pub(in crate::cli) async fn table(
        &self,
        image: &OpenedImage,
        number: usize,
        is_needed: impl Fn(u32, &LayerEntry) -> bool,
    ) -> Result<Option<(Vec<LayerEntry>, TableSource)>> {
        let (Some(ranges), Some(layer)) = (&self.ranges, image.manifest()?.layers.get(number))
        else {
            return Ok(None);
        };
        if stored(self.store.as_ref(), &layer.digest, layer.size).is_some() {
            return Ok(None);
        }
        let Some(mut table) = fetch_table(ranges, layer).await? else { return Ok(None) };
        // Those of all layers are in memory at once.
        table.keep_contents(is_needed);
        let entries = std::mem::take(&mut table.entries);
        self.transferred.tables().insert(layer.digest.clone(), layer.size);
        Ok(Some((entries, TableSource::new(Arc::clone(ranges), layer.clone(), table))))
    }

    fn open(
        &self,
        image: &OpenedImage,
        layer: &Descriptor,
        settings: &Settings,
    ) -> LayerOpener<'static> {
        let open = open_layer(&image.opened, layer.clone(), settings.retry);
        if image.opened.source.endpoint().kind.is_local() {
            return open;
        }
        let (store, digest, expected) = (self.store.clone(), layer.digest.clone(), layer.size);
        let transferred = Arc::clone(&self.transferred);
        Box::new(move |stop| {
            if let Some(file) = stored(store.as_ref(), &digest, expected) {
                return Ok(Box::new(file));
            }
            transferred.layers.fetch_add(1, Ordering::Relaxed);
            transferred.tables().remove(&digest);
            Ok(Box::new(CountingReader { bytes: open(stop)?, transferred }))
        })
    }

    /// Prints what was transferred, if anything.
    pub(in crate::cli) fn print_receipt(&self, image: &OpenedImage, settings: &Settings) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let tables = self.transferred.tables();
        let (whole, by_table) = (load(&self.transferred.layers), tables.len() as u64);
        if whole + by_table == 0 || settings.quiet {
            return;
        }
        let by_table = match (by_table, whole) {
            (0, _) => String::new(),
            (_, 0) => ", by table of contents".to_owned(),
            (count, _) => format!(", {count} by table of contents"),
        };
        let verified = if tables.is_empty() {
            String::new()
        } else {
            let size = size(tables.values().sum());
            format!(" (verified by annotated digest, not all {size})")
        };
        note(&format!(
            "transferred {} of {}{by_table}{verified}, not kept, {}",
            size(load(&self.transferred.bytes)),
            plural(whole + tables.len() as u64, "layer"),
            plural(image.opened.source.requests().total(), "request"),
        ));
    }
}

/// Opens the file of a layer in the store. One of another size is damaged.
fn stored(store: Option<&Arc<Layout>>, digest: &Digest, size: u64) -> Option<File> {
    let file = store?.blob_file(digest).ok()?;
    file.metadata().is_ok_and(|found| found.len() == size).then_some(file)
}

/// Checks that the image has a layer with this number.
pub(in crate::cli) fn check_number(number: usize, image: &OpenedImage) -> Result<()> {
    let count = image.manifest()?.layers.len();
    if number < count {
        return Ok(());
    }
    let reason =
        format!("has no layer {number}: the last of its {count} is {}", count.saturating_sub(1));
    Err(Error::new(ErrorKind::NotFound, &image.opened.reference).with_reason(reason))
}

/// Returns the error of reading layers: one that is malformed violates the integrity of the image.
pub(in crate::cli) fn malformed(error: Error) -> Error {
    if error.kind() != ErrorKind::Unpack {
        return error;
    }
    Error::new(ErrorKind::InvalidDocument, error.chain()).with_data_of(&error)
}

struct CountingReader {
    bytes: Box<dyn Read + Send>,
    transferred: Arc<Transferred>,
}

impl Read for CountingReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(into)?;
        self.transferred.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
