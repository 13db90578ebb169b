//! An image that is being changed.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::composed::EditedImage;
use super::config::{ConfigChanges, texts};
use super::edited_object::{EditedObject, raw};
use super::history::{self, Step};
use super::layer_file::NewLayer;
use super::manifest::layer_type;
use crate::annotation;
use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::content::Source;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Document, ImageManifest, ParsedDocument};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::memory::Memory;
use crate::name::ImageName;
use crate::retry::RetryPolicy;
use crate::transfer::{PlatformRequest, ResolvedImage, read_small, resolve_image};

const LAYERS: &str = "layers";

/// The annotations of a manifest or of an entry of an index.
pub(super) const ANNOTATIONS: &str = "annotations";

/// An image of one platform that is being changed.
pub struct ImageEdit {
    /// Its name in errors.
    pub(super) reference: String,
    /// The source of everything that is not new, and the documents that came from it.
    pub(super) source: Arc<dyn Source>,
    pub(super) document: Document,
    selected_from: Option<Document>,
    /// The config as it was read.
    pub(super) config: ImageConfig,
    pub(super) manifest: EditedObject,
    pub(super) config_object: EditedObject,
    pub(super) layers: Vec<Box<RawValue>>,
    pub(super) diff_ids: Vec<Digest>,
    new_layers: Vec<NewLayer>,
    /// Sources of blobs that are from another image.
    pub(super) owners: HashMap<Digest, Arc<dyn Source>>,
    /// Whether what was said about the base before is no longer true.
    pub(super) base_changed: bool,
}

impl std::fmt::Debug for ImageEdit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageEdit").field("reference", &self.reference).finish_non_exhaustive()
    }
}

impl ImageEdit {
    /// Reads manifest and config of an image. Of an index, the manifest of the platform is taken. `reference` is for errors.
    ///
    /// # Errors
    /// Those of the source; [`ErrorKind::Unsupported`] if it is not an image, [`ErrorKind::InvalidDocument`] if its config does
    /// not have one `diff_id` per layer.
    pub async fn open(
        source: Arc<dyn Source>,
        name: &ImageName,
        reference: &str,
        platform: &PlatformRequest,
    ) -> Result<Self> {
        Self::open_with_retry(source, name, reference, platform, RetryPolicy::default()).await
    }

    /// As [`ImageEdit::open`], with another policy for failed requests.
    pub async fn open_with_retry(
        source: Arc<dyn Source>,
        name: &ImageName,
        reference: &str,
        platform: &PlatformRequest,
        retry: RetryPolicy,
    ) -> Result<Self> {
        let resolving = resolve_image(&*source, name, reference, Some(platform), &retry);
        let ResolvedImage { root, manifest: document } = resolving.await?;
        let selected_from = if root.digest() == document.digest() {
            source.provenance(&root).await.parent_index
        } else {
            Some(root)
        };
        let config = match document.parsed() {
            ParsedDocument::Manifest(manifest) if manifest.config.media_type.is_image_config() => {
                read_small(&*source, &manifest.config, CONFIG_LIMIT, retry).await?
            }
            _ => {
                return Err(Error::new(ErrorKind::Unsupported, reference)
                    .with_reason("is not an image")
                    .with_detail(ErrorDetail::NotAnImage));
            }
        };
        let image = Self::new(source, reference, document, &config)?;
        Ok(Self { selected_from, ..image })
    }

    fn new(
        source: Arc<dyn Source>,
        reference: &str,
        document: Document,
        config_bytes: &Bytes,
    ) -> Result<Self> {
        let config = ImageConfig::parse(config_bytes)?;
        let (layers, diff_ids) = (document.manifest()?.layers.len(), &config.rootfs.diff_ids);
        if layers != diff_ids.len() {
            let reason = format!("has {layers} layers and {} diff_ids", diff_ids.len());
            return Err(Error::new(ErrorKind::InvalidDocument, reference).with_reason(reason));
        }
        let manifest = EditedObject::parse("manifest", document.bytes())?;
        Ok(Self {
            reference: reference.to_owned(),
            source,
            config_object: EditedObject::parse("image config", config_bytes)?,
            layers: manifest.list(LAYERS)?,
            diff_ids: diff_ids.clone(),
            manifest,
            document,
            selected_from: None,
            config,
            new_layers: Vec::new(),
            owners: HashMap::new(),
            base_changed: false,
        })
    }

    /// The manifest before any change.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The index that the image was selected from.
    pub fn selected_from(&self) -> Option<&Document> {
        self.selected_from.as_ref()
    }

    /// The config before any change.
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    pub(super) fn parsed(&self) -> Result<&ImageManifest> {
        self.document.manifest()
    }

    /// Adds a layer on top.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a compression that the format of the image does not have.
    pub fn append(&mut self, layer: NewLayer, step: &Step) -> Result<()> {
        let descriptor = self.descriptor_of(&layer)?;
        self.layers.push(raw(LAYERS, &descriptor)?);
        // The history of the layers so far decides whether there is one.
        let so_far = self.parse_config()?;
        history::push(&mut self.config_object, &so_far, step)?;
        self.diff_ids.push(layer.diff_id().clone());
        self.set_diff_ids()?;
        self.new_layers.push(layer);
        self.set_created(step)
    }

    /// Changes the config.
    pub fn change_config(&mut self, changes: &ConfigChanges) -> Result<()> {
        changes.apply(&mut self.config_object)
    }

    /// Sets annotations of the manifest.
    pub fn annotate(&mut self, annotations: &[(String, String)]) -> Result<()> {
        if annotations.is_empty() {
            return Ok(());
        }
        self.manifest.extend(ANNOTATIONS, texts(annotations))
    }

    /// Whether the image has another base than before, or none: see [`IndexEdit::remove_base`](super::IndexEdit::remove_base).
    pub fn is_base_changed(&self) -> bool {
        self.base_changed
    }

    /// Removes what the manifest says about the base.
    pub(super) fn remove_base(&mut self) -> Result<()> {
        self.base_changed = true;
        self.manifest.remove_members(ANNOTATIONS, &annotation::BASE)
    }

    /// Replaces all layers by one, which has the same files.
    pub(super) fn replace_layers(&mut self, layer: NewLayer, step: &Step) -> Result<()> {
        self.layers = vec![raw(LAYERS, &self.descriptor_of(&layer)?)?];
        self.diff_ids = vec![layer.diff_id().clone()];
        self.new_layers = vec![layer];
        self.set_diff_ids()?;
        history::replace(&mut self.config_object, step)
    }

    /// Ends the edit.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidDocument`] if the manifest or config is too large now.
    pub fn build(mut self) -> Result<EditedImage> {
        let config_bytes = Bytes::from(self.config_object.to_vec()?);
        // A change that makes it unreadable would only be noticed by the next reader.
        ImageConfig::parse(&config_bytes)?;
        let content = Memory::default();
        let own = &self.parsed()?.config;
        if Digest::sha256(&config_bytes) != own.digest {
            let config = content.insert_blob(own.media_type.clone(), config_bytes);
            let mut descriptor = self.manifest.object("config")?;
            descriptor.set("digest", &config.digest)?;
            descriptor.set("size", &config.size)?;
            descriptor.remove("data");
            descriptor.remove("urls");
            self.manifest.set("config", &descriptor)?;
        }
        self.manifest.set(LAYERS, &self.layers)?;
        let bytes = Bytes::from(self.manifest.to_vec()?);
        let media_type = &self.document.descriptor().media_type;
        let document = Document::from_response(bytes, media_type, None)?
            .with_platform(Some(self.config.platform()).filter(|platform| !platform.is_empty()));
        let base = Some((self.source, self.document));
        Ok(EditedImage::new(document, content, self.new_layers, base, self.owners))
    }

    fn descriptor_of(&self, layer: &NewLayer) -> Result<Descriptor> {
        let manifest = &self.document.descriptor().media_type;
        let media_type = layer_type(manifest, layer.compression())?;
        Ok(Descriptor::new(media_type, layer.digest().clone(), layer.size()))
    }

    pub(super) fn parse_config(&self) -> Result<ImageConfig> {
        ImageConfig::parse(&self.config_object.to_vec()?)
    }

    pub(super) fn set_diff_ids(&mut self) -> Result<()> {
        let mut rootfs = self.config_object.object("rootfs")?;
        rootfs.set("type", "layers")?;
        rootfs.set("diff_ids", &self.diff_ids)?;
        self.config_object.set("rootfs", &rootfs)
    }

    fn set_created(&mut self, step: &Step) -> Result<()> {
        step.created.as_ref().map_or(Ok(()), |created| self.config_object.set("created", created))
    }
}
