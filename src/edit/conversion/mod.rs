//! Converts images to another format, or their layers to another compression.
//!
//! Layers are read from the source, compressed into temporary files as they arrive, and sent from there: a target wants the
//! digest first. The configs stay byte for byte.

mod documents;
mod recompress;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::runtime::Handle;

use self::recompress::{Encoding, check_diff_id, recompress, stated_compression};
use super::composed::EditedImage;
use super::format::ImageFormat;
use super::layer_file::NewLayer;
use super::manifest::layer_type;
use crate::blocking::run_cancellable;
use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::content::{EmptyTarget, Source, Target};
use crate::control::{Control, PhaseCounter};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Document, ImageManifest, ParsedDocument};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::Compression;
use crate::memory::Memory;
use crate::progress::Phase;
use crate::retry::RetryPolicy;
use crate::setters::setters;
use crate::transfer::{ImageRequest, ReceivedBlob, Throttle, TransferOptions, read_small, resolve};

/// How to convert images.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ConversionOptions {
    /// The format of manifests, indexes and media types; by default that of the image.
    pub format: Option<ImageFormat>,
    /// The compression of layers. Those that have it, by their media type, stay as they are; so do foreign and encrypted ones.
    pub compression: Option<Compression>,
    /// The level of the compression, one of [`Compression::levels`].
    pub level: Option<u32>,
    /// Retries of requests for documents and layers.
    pub retry: RetryPolicy,
    /// Limits the bytes per second of layers that are read.
    pub throttle: Option<Throttle>,
    /// Cancels the conversion, and receives its progress.
    pub control: Control,
}

impl ConversionOptions {
    setters! {
        optional format: ImageFormat;
        optional compression: Compression;
        optional level: u32;
        value retry: RetryPolicy;
        optional throttle: Throttle;
        value control: Control;
    }
}

/// Converts images. A layer of several images is compressed once.
#[derive(Debug)]
pub struct Converter {
    options: ConversionOptions,
    /// New layers, by the digest of those that they were made of.
    layers: Mutex<HashMap<Digest, NewLayer>>,
}

/// An image that was converted.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConvertedImage {
    /// The new image.
    pub image: EditedImage,
    /// Digest of the manifest or index that it was made of.
    pub original: Digest,
    /// Number of layers that have new bytes.
    pub recompressed: usize,
}

impl Converter {
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a level that the compression does not have, or zstd in Docker's format.
    pub fn new(options: ConversionOptions) -> Result<Self> {
        let invalid = |what: &str| Error::new(ErrorKind::InvalidInput, what);
        if let (Some(level), Some(compression)) = (options.level, options.compression)
            && !compression.levels().contains(&level)
        {
            let (least, most) = (compression.levels().start().to_owned(), compression.levels());
            return Err(invalid(&format!("compression level {level}"))
                .with_reason(format!("expected {least} to {}", most.end())));
        }
        if (options.format, options.compression)
            == (Some(ImageFormat::Docker), Some(Compression::Zstd))
        {
            return Err(invalid("zstd layers")
                .with_reason("Docker's format does not have them")
                .with_hint("use gzip, or OCI's format"));
        }
        Ok(Self { options, layers: Mutex::default() })
    }

    /// Converts the requested platforms of an image; `None` if all of it is as it should be. Reads every layer that is compressed
    /// anew once, and needs room for them in the directory of temporary files until the last clone of the image is dropped.
    ///
    /// # Errors
    /// Those of the source; [`ErrorKind::Unsupported`] for what the format cannot express, [`ErrorKind::Mismatch`] for a layer
    /// that has another `diff_id` than its config says.
    pub async fn convert(&self, request: &ImageRequest) -> Result<Option<ConvertedImage>> {
        let nothing: Arc<dyn Target> = Arc::new(EmptyTarget::new("conversion".to_owned()));
        let graph = resolve(request, &nothing, &self.options.retry).await?;
        let (mut converted, mut new_content) = (HashMap::new(), NewContent::default());
        for document in &graph.documents {
            let new = match document.parsed() {
                ParsedDocument::Manifest(manifest) => {
                    self.manifest(&request.source, document, manifest, &mut new_content).await?
                }
                ParsedDocument::Index(_) => {
                    documents::index(document, &converted, self.options.format)?
                }
                ParsedDocument::Artifact(_) => self.artifact(document)?,
            };
            if new.digest() != document.digest() {
                new_content.memory.insert_document_alone(&new);
            }
            converted.insert(document.digest().clone(), new);
        }
        let Some(root) = graph.root_document() else { return Ok(None) };
        let Some(new) = converted.remove(root.digest()) else { return Ok(None) };
        if new.digest() == root.digest() {
            return Ok(None);
        }
        let NewContent { memory, layers } = new_content;
        let recompressed = layers.len();
        let base = Some((Arc::clone(&request.source), root.clone()));
        let layers = layers.into_values().collect();
        let image = EditedImage::new(new, memory, layers, base, HashMap::new());
        Ok(Some(ConvertedImage { image, original: root.digest().clone(), recompressed }))
    }

    /// Converts a manifest.
    async fn manifest(
        &self,
        source: &Arc<dyn Source>,
        document: &Document,
        parsed: &ImageManifest,
        content: &mut NewContent,
    ) -> Result<Document> {
        let mut new_layers = vec![None; parsed.layers.len()];
        if let Some(compression) = self.options.compression
            && parsed.config.media_type.is_image_config()
            && parsed.layers.iter().any(|layer| is_recompressed(layer, compression))
        {
            // Found out before a layer is read.
            let own = &document.descriptor().media_type;
            let media_type = self.options.format.and_then(|format| format.media_type(own));
            layer_type(media_type.as_ref().unwrap_or(own), compression)?;
            let is_replaced = |layer: &Descriptor| is_recompressed(layer, compression);
            documents::check(document, parsed, is_replaced, self.options.format)?;
            let encoding = Encoding { compression, level: self.options.level };
            let diff_ids = self.diff_ids(source, document, parsed, &content.memory).await?;
            self.recompress_all(source, parsed, &diff_ids, encoding).await?;
            for ((new, layer), diff_id) in new_layers.iter_mut().zip(&parsed.layers).zip(&diff_ids)
            {
                if is_recompressed(layer, compression) {
                    *new = self.layers().get(&layer.digest).cloned();
                    if let Some(new) = new {
                        check_diff_id(&name_of(layer), new, diff_id)?;
                        content.layers.insert(new.digest().clone(), new.clone());
                    }
                }
            }
        }
        documents::manifest(document, parsed, &new_layers, self.options.format)
    }

    fn artifact(&self, document: &Document) -> Result<Document> {
        match self.options.format {
            Some(ImageFormat::Docker) => {
                Err(Error::new(ErrorKind::Unsupported, format!("artifact {}", document.digest()))
                    .with_reason("Docker's format has no artifacts"))
            }
            Some(ImageFormat::Oci) | None => Ok(document.clone()),
        }
    }

    /// The `diff_ids` of the layers. Keeps the config, so that it is not read again.
    async fn diff_ids(
        &self,
        source: &Arc<dyn Source>,
        document: &Document,
        parsed: &ImageManifest,
        memory: &Memory,
    ) -> Result<Vec<Digest>> {
        let config =
            read_small(&**source, &parsed.config, CONFIG_LIMIT, self.options.retry).await?;
        let diff_ids = ImageConfig::parse(&config)?.rootfs.diff_ids;
        memory.insert_blob(parsed.config.media_type.clone(), config);
        if diff_ids.len() == parsed.layers.len() {
            return Ok(diff_ids);
        }
        let reason = format!("has {} layers and {} diff_ids", parsed.layers.len(), diff_ids.len());
        Err(Error::new(ErrorKind::InvalidDocument, format!("manifest {}", document.digest()))
            .with_reason(reason))
    }

    /// Compresses the layers that need it, each once.
    async fn recompress_all(
        &self,
        source: &Arc<dyn Source>,
        parsed: &ImageManifest,
        diff_ids: &[Digest],
        encoding: Encoding,
    ) -> Result<()> {
        let mut open: HashMap<&Digest, (&Descriptor, &Digest)> = HashMap::new();
        for (layer, diff_id) in parsed.layers.iter().zip(diff_ids) {
            let is_new = !self.layers().contains_key(&layer.digest);
            if is_new && is_recompressed(layer, encoding.compression) {
                open.insert(&layer.digest, (layer, diff_id));
            }
        }
        let total = open.values().map(|(layer, _)| layer.size).fold(0, u64::saturating_add);
        let counter = &Arc::new(PhaseCounter::new(&self.options.control, Phase::Read, total));
        let working = open.into_values().map(|(layer, diff_id)| async move {
            let new = self.recompress(source, (layer, diff_id), encoding, counter).await?;
            self.layers().insert(layer.digest.clone(), new);
            Ok(())
        });
        let working = stream::iter(working.collect::<Vec<_>>());
        let at_once = available_parallelism().map_or(1, usize::from);
        working.buffer_unordered(at_once).try_collect().await
    }

    async fn recompress(
        &self,
        source: &Arc<dyn Source>,
        (layer, diff_id): (&Descriptor, &Digest),
        encoding: Encoding,
        counter: &Arc<PhaseCounter>,
    ) -> Result<NewLayer> {
        let ConversionOptions { retry, throttle, control, .. } = self.options.clone();
        let (source, runtime) = (Arc::clone(source), Handle::current());
        let (layer, diff_id, counter) = (layer.clone(), diff_id.clone(), Arc::clone(counter));
        let work = move |work: &Control| {
            let name = name_of(&layer);
            let cancel = Control { cancel: work.cancel.clone(), ..Control::default() };
            let options =
                TransferOptions { retry, throttle, control: cancel, ..TransferOptions::default() };
            let blob = ReceivedBlob::begin(source, layer, options, &runtime);
            recompress(&name, blob, &diff_id, encoding, &counter)
        };
        run_cancellable(&control, "recompress", work).await
    }

    fn layers(&self) -> MutexGuard<'_, HashMap<Digest, NewLayer>> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the source does not have, and configs that were read.
#[derive(Default)]
struct NewContent {
    memory: Memory,
    layers: HashMap<Digest, NewLayer>,
}

fn is_recompressed(layer: &Descriptor, compression: Compression) -> bool {
    stated_compression(&layer.media_type).is_some_and(|own| own != compression)
}

/// What errors call a layer.
fn name_of(layer: &Descriptor) -> String {
    format!("layer {}", layer.digest)
}
