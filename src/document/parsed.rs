//! What documents say: the fields of manifests and indexes that are read.

use serde::Deserialize;

use crate::descriptor::Descriptor;
use crate::json::{object, objects, optional_object};

/// What a [`Document`](super::Document) says.
#[derive(Clone, Debug)]
pub enum ParsedDocument {
    /// One image (or artifact): a config and layers.
    Manifest(Box<ImageManifest>),
    /// A list of manifests.
    Index(Box<ImageIndex>),
    /// Blobs about a subject: an artifact manifest of the release candidates of image-spec 1.1.
    Artifact(Box<ArtifactManifest>),
}

/// View of an image manifest, OCI's or Docker's.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct ImageManifest {
    /// The image config, or an artifact's.
    #[serde(deserialize_with = "object")]
    pub config: Descriptor,
    /// Layers, base first.
    #[serde(default, deserialize_with = "objects")]
    pub layers: Vec<Descriptor>,
    /// The manifest this one is about, where it is a referrer.
    #[serde(default, deserialize_with = "optional_object")]
    pub subject: Option<Descriptor>,
}

/// View of an image index or Docker manifest list.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct ImageIndex {
    /// Manifests and nested indexes in the order of preference.
    #[serde(default, deserialize_with = "objects")]
    pub manifests: Vec<Descriptor>,
    /// The manifest this one is about, where it is a referrer.
    #[serde(default, deserialize_with = "optional_object")]
    pub subject: Option<Descriptor>,
}

/// View of an OCI artifact manifest. It has no platform and nothing in it runs.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct ArtifactManifest {
    /// What it consists of.
    #[serde(default, deserialize_with = "objects")]
    pub blobs: Vec<Descriptor>,
    /// The manifest this one is about.
    #[serde(default, deserialize_with = "optional_object")]
    pub subject: Option<Descriptor>,
}

impl ImageIndex {
    /// Entries that are no documents but blobs.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.manifests.iter().filter(|entry| !entry.media_type.is_document())
    }
}

impl ImageManifest {
    /// Config and layers, in the order they are listed.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}
