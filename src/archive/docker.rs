//! Reads what `docker save` writes: manifest.json lists a config and layers, which are converted to an OCI manifest.
//!
//! The config keeps its bytes, so the image keeps its id. A layer's digest is its `diff_id` in the config; its bytes
//! are verified against that when they are copied.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use serde_json::json;

use super::blob_span::BlobSpan;
use super::layers::LayerFiles;
use super::small_file::{MAX_JSON_BYTES, missing_file, read_small, read_small_file, unusable};
use super::tarball::TarIndex;
use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::control::Control;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::Result;
use crate::json::{Object, null_is_default};
use crate::media::MediaType;

pub(super) const MANIFEST: &str = "manifest.json";

/// Go ignores the case of keys, so that engines take what containerify 4.1 writes: `config`, `repoTags`, `layers`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ManifestItem {
    #[serde(alias = "config")]
    config: String,
    #[serde(default, alias = "repoTags", deserialize_with = "null_is_default")]
    repo_tags: Vec<String>,
    #[serde(default, alias = "layers", deserialize_with = "null_is_default")]
    layers: Vec<String>,
}

/// The images of manifest.json; `None` if the file does not exist.
pub(super) fn images(tar: &TarIndex) -> Result<Option<Vec<DockerImage>>> {
    let Some(text) = read_small_file(tar, MANIFEST, MAX_JSON_BYTES)? else { return Ok(None) };
    let items: Option<Vec<Object<ManifestItem>>> = serde_json::from_slice(&text)
        .map_err(|error| unusable(MANIFEST, "is corrupt").with_source(error))?;
    let items = items.ok_or_else(|| unusable(MANIFEST, "is corrupt: null"))?;
    let layer_files = Arc::new(LayerFiles::default());
    let images = items.into_iter().map(|Object(item)| DockerImage {
        tags: item.repo_tags,
        config: item.config,
        layers: item.layers,
        layer_files: Arc::clone(&layer_files),
        built: OnceLock::new(),
    });
    Ok(Some(images.collect()))
}

/// An image of manifest.json: its names and the names of its files.
#[derive(Debug)]
pub(super) struct DockerImage {
    tags: Vec<String>,
    config: String,
    layers: Vec<String>,
    /// Shared by all images of the archive.
    layer_files: Arc<LayerFiles>,
    built: OnceLock<ConvertedImage>,
}

/// The image converted to OCI.
#[derive(Debug)]
pub(super) struct ConvertedImage {
    pub(super) document: Document,
    pub(super) blobs: HashMap<Digest, BlobSpan>,
}

impl DockerImage {
    /// Its names as in manifest.json.
    pub(super) fn tags(&self) -> &[String] {
        &self.tags
    }

    /// The converted image, if `build` was called before.
    pub(super) fn built(&self) -> Option<&ConvertedImage> {
        self.built.get()
    }

    /// The digest of the config, which docker calls the image id.
    pub(super) fn id(&self, tar: &TarIndex) -> Result<Digest> {
        let span =
            tar.find_unique(&self.config).map_err(|error| missing_file(&self.config, error))?;
        Ok(Digest::sha256(&read_small(tar, &self.config, span, CONFIG_LIMIT)?))
    }

    /// Builds the manifest, once. Layers that are compressed in the archive are decompressed to learn their size.
    pub(super) fn build(&self, tar: &Arc<TarIndex>, control: &Control) -> Result<&ConvertedImage> {
        if let Some(built) = self.built.get() {
            return Ok(built);
        }
        let built = self.make(tar, control)?;
        Ok(self.built.get_or_init(|| built))
    }

    fn make(&self, tar: &Arc<TarIndex>, control: &Control) -> Result<ConvertedImage> {
        let span =
            tar.find_unique(&self.config).map_err(|error| missing_file(&self.config, error))?;
        let bytes = read_small(tar, &self.config, span.clone(), CONFIG_LIMIT)?;
        let config = ImageConfig::parse(&bytes)?;
        let diff_ids = &config.rootfs.diff_ids;
        if diff_ids.len() != self.layers.len() {
            let reason = format!(
                "layer count mismatch: manifest has {}, config has {}",
                self.layers.len(),
                diff_ids.len()
            );
            return Err(unusable(MANIFEST, &reason));
        }
        let config = Descriptor::for_bytes(MediaType::OCI_CONFIG, &bytes);
        let mut blobs = HashMap::new();
        let mut layers = Vec::new();
        for (name, diff_id) in self.layers.iter().zip(diff_ids) {
            let blob = self.layer_files.layer(tar, name, diff_id, control)?;
            layers.push(Descriptor::new(MediaType::OCI_LAYER, diff_id.clone(), blob.size));
            blobs.insert(diff_id.clone(), blob);
        }
        // Last, so that a layer with the config's digest does not replace it.
        blobs.insert(config.digest.clone(), BlobSpan::plain(span));
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": layers,
        });
        let document =
            Document::from_response(manifest.to_string().into(), &MediaType::OCI_MANIFEST, None)?;
        Ok(ConvertedImage { document, blobs })
    }
}
