//! Converts images to another format, or their layers to another compression.
//!
//! Layers are read from the source, compressed into temporary files as they arrive, and sent from there: a target wants the
//! digest first. The configs stay byte for byte, except with eStargz layers: those have more files, and so another `diff_id`.

mod documents;
mod recompress;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::runtime::Handle;

use self::documents::NewParts;
use self::recompress::{Encoding, Recompressed, recompress};
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
use crate::transfer::{
    ImageGraph, ImageRequest, ReceivedBlob, Throttle, TransferOptions, read_small, resolve,
};

/// How to convert images.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ConversionOptions {
    /// The format of manifests, indexes and media types; by default that of the image.
    pub format: Option<ImageFormat>,
    /// The compression of layers. Those that have it, by their media type, stay as they are; so do foreign and encrypted ones.
    pub compression: Option<Compression>,
    /// Writes eStargz layers: gzip with a table of contents, of which single files can be read. The default is then gzip.
    pub estargz: bool,
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
        flag estargz;
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
    layers: Mutex<HashMap<Digest, Recompressed>>,
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
    /// Number of attestations that were left out of an index, because Docker's format does not have them.
    pub left_out: usize,
}

impl Converter {
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a level that the compression does not have, zstd or eStargz in Docker's format, and
    /// eStargz with another compression than gzip.
    pub fn new(mut options: ConversionOptions) -> Result<Self> {
        let invalid = |what: &str| Error::new(ErrorKind::InvalidInput, what);
        if options.estargz
            && *options.compression.get_or_insert(Compression::Gzip) != Compression::Gzip
        {
            return Err(invalid("eStargz layers").with_reason("their compression is gzip"));
        }
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
        if options.estargz && options.format == Some(ImageFormat::Docker) {
            return Err(stargz_in_docker(ErrorKind::InvalidInput));
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
        let left_out = match self.options.format {
            Some(ImageFormat::Docker) => attestations(&graph),
            Some(ImageFormat::Oci) | None => HashSet::new(),
        };
        for document in &graph.documents {
            if left_out.contains(document.digest()) {
                continue;
            }
            let new = match document.parsed() {
                ParsedDocument::Manifest(manifest) => {
                    self.manifest(&request.source, document, manifest, &mut new_content).await?
                }
                ParsedDocument::Index(_) => {
                    documents::index(document, &converted, &left_out, self.options.format)?
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
        let (original, left_out) = (root.digest().clone(), left_out.len());
        Ok(Some(ConvertedImage { image, original, recompressed, left_out }))
    }

    /// Converts a manifest.
    async fn manifest(
        &self,
        source: &Arc<dyn Source>,
        document: &Document,
        parsed: &ImageManifest,
        content: &mut NewContent,
    ) -> Result<Document> {
        let mut new = NewParts { config: None, layers: vec![None; parsed.layers.len()] };
        if let Some(encoding) = self.encoding()
            && parsed.config.media_type.is_image_config()
            && parsed.layers.iter().any(|layer| encoding.replaces(layer))
        {
            self.check_expressible(document, parsed, encoding)?;
            let (config, diff_ids) =
                self.diff_ids(source, document, parsed, &content.memory).await?;
            self.recompress_all(source, parsed, &diff_ids, encoding).await?;
            let new_diff_ids = self.replace_layers(parsed, encoding, &diff_ids, &mut new)?;
            if new_diff_ids != diff_ids {
                let config = documents::config(&config, &new_diff_ids)?;
                let config = content.memory.insert_blob(parsed.config.media_type.clone(), config);
                new.config = Some((config.digest, config.size));
            }
            let layers = new.layers.iter().flatten();
            content.layers.extend(layers.map(|layer| (layer.digest().clone(), layer.clone())));
        }
        documents::manifest(document, parsed, &new, self.options.format)
    }

    /// How layers are compressed, if they are.
    fn encoding(&self) -> Option<Encoding> {
        let ConversionOptions { compression, level, estargz: is_estargz, .. } = self.options;
        Some(Encoding { compression: compression?, level, is_estargz })
    }

    /// Checks a manifest before a layer is read.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for what the format cannot express.
    fn check_expressible(
        &self,
        document: &Document,
        parsed: &ImageManifest,
        encoding: Encoding,
    ) -> Result<()> {
        let own = &document.descriptor().media_type;
        let media_type = self.options.format.and_then(|format| format.media_type(own));
        let media_type = media_type.as_ref().unwrap_or(own);
        if encoding.is_estargz && ImageFormat::of(media_type) == ImageFormat::Docker {
            return Err(stargz_in_docker(ErrorKind::Unsupported));
        }
        layer_type(media_type, encoding.compression)?;
        let is_replaced = |layer: &Descriptor| encoding.replaces(layer);
        documents::check(document, parsed, is_replaced, self.options.format)
    }

    /// Puts the new layers into the parts, and returns the `diff_id`s of all layers.
    fn replace_layers(
        &self,
        parsed: &ImageManifest,
        encoding: Encoding,
        diff_ids: &[Digest],
        parts: &mut NewParts,
    ) -> Result<Vec<Digest>> {
        let made = self.layers();
        let mut new_diff_ids = diff_ids.to_vec();
        let new_parts = parts.layers.iter_mut().zip(&mut new_diff_ids);
        for ((layer, diff_id), (part, new_diff_id)) in
            parsed.layers.iter().zip(diff_ids).zip(new_parts)
        {
            if encoding.replaces(layer)
                && let Some(new) = made.get(&layer.digest)
            {
                new.check_read(&name_of(layer), diff_id)?;
                *new_diff_id = new.layer.diff_id().clone();
                *part = Some(new.layer.clone());
            }
        }
        Ok(new_diff_ids)
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

    /// The config and the `diff_ids` of the layers. Keeps the config, so that it is not read again.
    async fn diff_ids(
        &self,
        source: &Arc<dyn Source>,
        document: &Document,
        parsed: &ImageManifest,
        memory: &Memory,
    ) -> Result<(Bytes, Vec<Digest>)> {
        let config =
            read_small(&**source, &parsed.config, CONFIG_LIMIT, self.options.retry).await?;
        let diff_ids = ImageConfig::parse(&config)?.rootfs.diff_ids;
        memory.insert_blob(parsed.config.media_type.clone(), config.clone());
        if diff_ids.len() == parsed.layers.len() {
            return Ok((config, diff_ids));
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
            if is_new && encoding.replaces(layer) {
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
    ) -> Result<Recompressed> {
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

    fn layers(&self) -> MutexGuard<'_, HashMap<Digest, Recompressed>> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the source does not have, and configs that were read.
#[derive(Default)]
struct NewContent {
    memory: Memory,
    layers: HashMap<Digest, NewLayer>,
}

/// The attestations that indexes list.
fn attestations(graph: &ImageGraph) -> HashSet<Digest> {
    let indexes = graph
        .documents
        .iter()
        .filter(|document| matches!(document.parsed(), ParsedDocument::Index(_)));
    let entries = indexes.flat_map(Document::children);
    entries.filter(|entry| entry.is_attestation()).map(|entry| entry.digest.clone()).collect()
}

fn stargz_in_docker(kind: ErrorKind) -> Error {
    Error::new(kind, "eStargz layers")
        .with_reason("Docker's format does not have the annotations that they need")
        .with_hint("use OCI's format: `--format oci`")
}

/// What errors call a layer.
fn name_of(layer: &Descriptor) -> String {
    format!("layer {}", layer.digest)
}
