//! Layers of an image to look at: from the store if it has them, else as they arrive, without keeping them.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::open::OpenedImage;
use crate::builders::open_layer;
use crate::cli::output::note;
use crate::cli::settings::{ProgressMode, Settings};
use crate::cli::size::{plural, size};
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::image_layers::{LayerBlob, OpenBlob};
use crate::layout::Layout;

/// Opens layers and counts what is transferred.
pub(in crate::cli) struct LayerSource {
    /// Where layers of a remote image are looked for first.
    store: Option<Arc<Layout>>,
    transferred: Arc<Transferred>,
}

#[derive(Default)]
struct Transferred {
    bytes: AtomicU64,
    layers: AtomicU64,
}

impl LayerSource {
    pub(in crate::cli) fn new(image: &OpenedImage, settings: &Settings) -> Self {
        let is_local = image.opened.source.endpoint().kind.is_local();
        // A store that cannot be read is no reason to fail: the registry has the layers.
        let store = if is_local { None } else { settings.store_if_any().ok().flatten() };
        Self { store, transferred: Arc::default() }
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
        LayerBlob::from_image(reference, manifest, &image.config, open)
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

    fn open(
        &self,
        image: &OpenedImage,
        layer: &Descriptor,
        settings: &Settings,
    ) -> OpenBlob<'static> {
        let open = open_layer(&image.opened, layer.clone(), settings.retry);
        if image.opened.source.endpoint().kind.is_local() {
            return open;
        }
        let (store, digest, expected) = (self.store.clone(), layer.digest.clone(), layer.size);
        let transferred = Arc::clone(&self.transferred);
        Box::new(move |stop| {
            let stored = store.and_then(|store| store.blob_file(&digest).ok());
            // A file of another size is damaged.
            let is_complete =
                |file: &std::fs::File| file.metadata().is_ok_and(|found| found.len() == expected);
            if let Some(file) = stored.filter(is_complete) {
                return Ok(Box::new(file));
            }
            transferred.layers.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(CountingReader { bytes: open(stop)?, transferred }))
        })
    }

    /// Prints what was transferred, if anything.
    pub(in crate::cli) fn print_receipt(&self, image: &OpenedImage, settings: &Settings) {
        let layers = self.transferred.layers.load(Ordering::Relaxed);
        if layers == 0 || settings.progress == ProgressMode::Nothing {
            return;
        }
        note(&format!(
            "transferred {} of {}, not kept, {}",
            size(self.transferred.bytes.load(Ordering::Relaxed)),
            plural(layers, "layer"),
            plural(image.opened.source.requests().total(), "request"),
        ));
    }
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
