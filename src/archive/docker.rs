//! What `docker save` writes: manifest.json names a config and layers, which become an OCI manifest on reading.
//!
//! The config keeps its bytes, and so the image its id. A layer's digest is the `diff_id` that the config gives it: its
//! bytes are verified against that wherever they go.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::blob_span::BlobSpan;
use super::layers::LayerFiles;
use super::small_file::{JSON_LIMIT, missing_file, small, small_file, unusable};
use super::tarball::TarIndex;
use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::Result;
use crate::json::{Object, null_is_default};
use crate::media::MediaType;

pub(super) const MANIFEST: &str = "manifest.json";

const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ManifestItem {
    config: String,
    #[serde(default, deserialize_with = "null_is_default")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    layers: Vec<String>,
}

/// The images of manifest.json; `None` where there is no such file.
pub(super) fn images(tar: &TarIndex) -> Result<Option<Vec<DockerImage>>> {
    let Some(text) = small_file(tar, MANIFEST, JSON_LIMIT)? else { return Ok(None) };
    let items: Option<Vec<Object<ManifestItem>>> = serde_json::from_slice(&text)
        .map_err(|error| unusable(MANIFEST, "is corrupt").with_source(error))?;
    let items = items.ok_or_else(|| unusable(MANIFEST, "is corrupt: null"))?;
    let known = Arc::new(LayerFiles::default());
    let images = items.into_iter().map(|Object(item)| DockerImage {
        tags: item.repo_tags,
        config: item.config,
        layers: item.layers,
        known: Arc::clone(&known),
        built: OnceLock::new(),
    });
    Ok(Some(images.collect()))
}

/// Names of an image, and of the files that make it up.
#[derive(Debug)]
pub(super) struct DockerImage {
    tags: Vec<String>,
    config: String,
    layers: Vec<String>,
    /// Of all images of the archive.
    known: Arc<LayerFiles>,
    built: OnceLock<ConvertedImage>,
}

/// The image as an OCI one.
#[derive(Debug)]
pub(super) struct ConvertedImage {
    pub(super) document: Document,
    pub(super) pieces: HashMap<Digest, BlobSpan>,
}

impl DockerImage {
    /// Its names, as manifest.json has them.
    pub(super) fn tags(&self) -> &[String] {
        &self.tags
    }

    /// What was made of it already.
    pub(super) fn built(&self) -> Option<&ConvertedImage> {
        self.built.get()
    }

    /// The digest of the config, which docker calls the image's id.
    pub(super) fn id(&self, tar: &TarIndex) -> Result<Digest> {
        let span =
            tar.find_unique(&self.config).map_err(|lack| missing_file(&self.config, lack))?;
        Ok(Digest::sha256(&small(tar, &self.config, span, CONFIG_LIMIT)?))
    }

    /// Makes the manifest, once. Layers that are compressed in the archive are decompressed to learn their size.
    pub(super) fn build(
        &self,
        tar: &Arc<TarIndex>,
        stop: &CancellationToken,
    ) -> Result<&ConvertedImage> {
        if let Some(built) = self.built.get() {
            return Ok(built);
        }
        let built = self.make(tar, stop)?;
        Ok(self.built.get_or_init(|| built))
    }

    fn make(&self, tar: &Arc<TarIndex>, stop: &CancellationToken) -> Result<ConvertedImage> {
        let span =
            tar.find_unique(&self.config).map_err(|lack| missing_file(&self.config, lack))?;
        let bytes = small(tar, &self.config, span.clone(), CONFIG_LIMIT)?;
        let config = ImageConfig::parse(&bytes)?;
        let diff_ids = &config.rootfs.diff_ids;
        if diff_ids.len() != self.layers.len() {
            let why = format!(
                "layer count mismatch: manifest has {}, config has {}",
                self.layers.len(),
                diff_ids.len()
            );
            return Err(unusable(MANIFEST, &why));
        }
        let config = Descriptor::for_bytes(MediaType::OCI_CONFIG, &bytes);
        let mut pieces = HashMap::new();
        let mut layers = Vec::new();
        for (name, diff_id) in self.layers.iter().zip(diff_ids) {
            let piece = self.known.piece(tar, name, diff_id, stop)?;
            layers.push(Descriptor::new(LAYER_TYPE.into(), diff_id.clone(), piece.size));
            pieces.insert(diff_id.clone(), piece);
        }
        // Last, so that a layer that says it is the config does not take its place.
        pieces.insert(config.digest.clone(), BlobSpan::plain(span));
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": layers,
        });
        let document =
            Document::from_response(manifest.to_string().into(), &MediaType::OCI_MANIFEST, None)?;
        Ok(ConvertedImage { document, pieces })
    }
}
