//! An image in docker's data root: its config, and the manifest that is made for it.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::data_root::DataRoot;
use super::layer_db::StoredLayer;
use super::paths;
use super::tar_split::TarSplit;
use crate::config::{CONFIG_LIMIT, ImageConfig, chain_ids};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::document::new_manifest::NewManifest;
use crate::engine_store::store::not_found;
use crate::error::{Error, Result};
use crate::media::MediaType;
use crate::verifier::verify;

impl DataRoot {
    /// The config of an image, verified: its digest is the image's id. `None` if there is no such image.
    pub(super) fn config(&self, id: &Digest) -> Result<Option<Bytes>> {
        id.algorithm()?;
        if id.algorithm_name() != "sha256" {
            return Ok(None);
        }
        let path = paths::config(id);
        let Some(bytes) = self.dir.small(&path, CONFIG_LIMIT)? else { return Ok(None) };
        let expected = Descriptor::new(MediaType::OCI_CONFIG, id.clone(), bytes.len() as u64);
        verify(&expected, &bytes)
            .map_err(|error| error.at(self.dir.path(&path).display().to_string()))?;
        Ok(Some(bytes.into()))
    }

    /// The layers that the config of an image names, base first, with their chain ids.
    ///
    /// # Errors
    /// If layerdb lacks one, or has another layer or parent in its place.
    pub(super) fn layers_of(&self, config: &ImageConfig) -> Result<Vec<(Digest, &StoredLayer)>> {
        let diff_ids = &config.rootfs.diff_ids;
        let mut layers = Vec::new();
        let mut below: Option<Digest> = None;
        for (chain_id, diff_id) in chain_ids(diff_ids).into_iter().zip(diff_ids) {
            let broken = |reason: &str| self.dir.corrupt(&paths::layer(&chain_id), reason);
            let layer = self.layers.get(&chain_id)?.ok_or_else(|| broken("is missing"))?;
            if layer.diff_id != *diff_id || layer.parent != below {
                return Err(broken("does not match its chain id"));
            }
            below = Some(chain_id.clone());
            layers.push((chain_id, layer));
        }
        Ok(layers)
    }

    /// Makes the manifest of an image: the config with its own bytes, and the layers as uncompressed tars.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such image.
    pub(super) fn document(&self, id: &Digest) -> Result<Document> {
        if let Some(document) = self.cache.lock().documents.get(id) {
            return Ok(document.clone());
        }
        let bytes = self.config(id)?.ok_or_else(|| self.not_found(&format!("image {id}")))?;
        let config = ImageConfig::parse(&bytes)
            .map_err(|error| error.at(self.dir.path(paths::config(id)).display().to_string()))?;
        let mut layers = Vec::new();
        for (chain_id, layer) in self.layers_of(&config)? {
            // Without its headers the tar cannot be rebuilt, but the image can be described.
            let size = self.tar_size(&chain_id)?.unwrap_or(layer.size);
            layers.push(Descriptor::new(MediaType::OCI_LAYER, layer.diff_id.clone(), size));
        }
        let manifest = NewManifest {
            schema_version: 2,
            media_type: MediaType::OCI_MANIFEST,
            artifact_type: None,
            config: Descriptor::for_bytes(MediaType::OCI_CONFIG, &bytes),
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        };
        let document = manifest.into_document()?;
        self.cache.lock().documents.insert(id.clone(), document.clone());
        Ok(document)
    }

    /// Bytes of the tar of a layer; `None` if it cannot be rebuilt because its headers are missing.
    pub(super) fn tar_size(&self, chain_id: &Digest) -> Result<Option<u64>> {
        if let Some(size) = self.cache.lock().tar_sizes.get(chain_id) {
            return Ok(*size);
        }
        let size = self.tar_split(chain_id)?.map(|split| {
            split
                .tar_size()
                .map_err(|error| self.dir.failed("read", &paths::tar_split(chain_id), error))
        });
        let size = size.transpose()?;
        self.cache.lock().tar_sizes.insert(chain_id.clone(), size);
        Ok(size)
    }

    /// The headers of a layer; `None` if they are missing.
    pub(super) fn tar_split(&self, chain_id: &Digest) -> Result<Option<TarSplit>> {
        let path = paths::tar_split(chain_id);
        let Some(file) = self.dir.file(&path)? else { return Ok(None) };
        TarSplit::new(file).map(Some).map_err(|error| self.dir.failed("read", &path, error))
    }

    pub(super) fn not_found(&self, what: &str) -> Error {
        not_found(&self.endpoint, what)
    }
}
