//! Parsed documents: the fields of manifests and indexes.

use serde::Deserialize;

use crate::descriptor::{Descriptor, MAX_SIZE};
use crate::error::{Error, ErrorKind, Result};
use crate::json::{object, objects, optional_object};

/// The content of a [`Document`](super::Document).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ParsedDocument {
    /// A manifest of an image or artifact: config and layers.
    Manifest(Box<ImageManifest>),
    /// A list of manifests.
    Index(Box<ImageIndex>),
    /// An artifact manifest of the release candidates of image-spec 1.1: blobs and a subject.
    Artifact(Box<ArtifactManifest>),
}

impl ParsedDocument {
    /// The entries of an index.
    pub(super) fn entries(&self) -> &[Descriptor] {
        match self {
            Self::Index(index) => &index.manifests,
            Self::Manifest(_) | Self::Artifact(_) => &[],
        }
    }

    /// The blobs of [`Document::blobs`](super::Document::blobs).
    pub(super) fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let (config, blobs): (_, &[Descriptor]) = match self {
            Self::Manifest(manifest) => (Some(&manifest.config), &manifest.layers),
            Self::Artifact(artifact) => (None, &artifact.blobs),
            Self::Index(_) => (None, &[]),
        };
        let listed = self.entries().iter().filter(|entry| !entry.media_type.is_document());
        config.into_iter().chain(blobs).chain(listed)
    }

    /// Checks that the blobs have no more than [`MAX_SIZE`] bytes together, so that sums of their sizes are exact.
    pub(super) fn check_sizes(&self) -> Result<()> {
        let total = self.blobs().try_fold(0_u64, |sum, blob| sum.checked_add(blob.size));
        if total.is_none_or(|total| total > MAX_SIZE) {
            return Err(Error::new(ErrorKind::InvalidDocument, "manifest")
                .with_reason("total size is out of range"));
        }
        Ok(())
    }
}

/// An image manifest, OCI's or Docker's.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct ImageManifest {
    /// The config of the image or artifact.
    #[serde(deserialize_with = "object")]
    pub config: Descriptor,
    /// Layers, base first.
    #[serde(default, deserialize_with = "objects")]
    pub layers: Vec<Descriptor>,
    /// The subject of a referrer.
    #[serde(default, deserialize_with = "optional_object")]
    pub subject: Option<Descriptor>,
}

/// An image index or Docker manifest list.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct ImageIndex {
    /// Manifests and nested indexes in order of preference.
    #[serde(default, deserialize_with = "objects")]
    pub manifests: Vec<Descriptor>,
    /// The subject of a referrer.
    #[serde(default, deserialize_with = "optional_object")]
    pub subject: Option<Descriptor>,
}

/// An OCI artifact manifest. It has no platform.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct ArtifactManifest {
    /// The artifact's content.
    #[serde(default, deserialize_with = "objects")]
    pub blobs: Vec<Descriptor>,
    /// The manifest that the artifact refers to.
    #[serde(default, deserialize_with = "optional_object")]
    pub subject: Option<Descriptor>,
}

impl ImageIndex {
    /// Returns the entries that are blobs, not documents.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.manifests.iter().filter(|entry| !entry.media_type.is_document())
    }
}

impl ImageManifest {
    /// Returns config and layers, in this order.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers)
    }

    /// Whether the config gives the layers their `diff_id`s. Some artifacts have the media type of an image config, but no layers
    /// that are tars, and a config of any bytes.
    pub(crate) fn has_diff_ids(&self) -> bool {
        self.config.media_type.is_image_config()
            && self.layers.iter().any(|layer| layer.media_type.is_tar_layer())
    }
}
