//! Media types of manifests, configs and layers, both OCI's and Docker's.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// A media type without parameters.
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct MediaType(Cow<'static, str>);

impl MediaType {
    /// OCI image index.
    pub const OCI_INDEX: Self = Self(Cow::Borrowed("application/vnd.oci.image.index.v1+json"));
    /// OCI image manifest.
    pub const OCI_MANIFEST: Self =
        Self(Cow::Borrowed("application/vnd.oci.image.manifest.v1+json"));
    /// OCI artifact manifest. It was part of release candidates of image-spec 1.1 only; some registries still have
    /// them.
    pub const OCI_ARTIFACT: Self =
        Self(Cow::Borrowed("application/vnd.oci.artifact.manifest.v1+json"));
    /// The empty JSON object, where a descriptor is asked for and there is nothing to describe.
    pub const OCI_EMPTY: Self = Self(Cow::Borrowed("application/vnd.oci.empty.v1+json"));
    /// OCI image config.
    pub const OCI_CONFIG: Self = Self(Cow::Borrowed("application/vnd.oci.image.config.v1+json"));
    /// OCI layer, not compressed.
    pub const OCI_LAYER: Self = Self(Cow::Borrowed("application/vnd.oci.image.layer.v1.tar"));
    /// OCI layer, compressed with gzip.
    pub const OCI_LAYER_GZIP: Self =
        Self(Cow::Borrowed("application/vnd.oci.image.layer.v1.tar+gzip"));
    /// OCI layer, compressed with zstd.
    pub const OCI_LAYER_ZSTD: Self =
        Self(Cow::Borrowed("application/vnd.oci.image.layer.v1.tar+zstd"));
    /// Docker manifest list, the predecessor of the OCI index.
    pub const DOCKER_LIST: Self =
        Self(Cow::Borrowed("application/vnd.docker.distribution.manifest.list.v2+json"));
    /// Docker image manifest, version 2, schema 2.
    pub const DOCKER_MANIFEST: Self =
        Self(Cow::Borrowed("application/vnd.docker.distribution.manifest.v2+json"));
    /// Docker image config.
    pub const DOCKER_CONFIG: Self =
        Self(Cow::Borrowed("application/vnd.docker.container.image.v1+json"));

    /// Parses a header or field: removes parameters, converts to lowercase.
    pub fn from_header(value: &str) -> Self {
        let bare = value.split(';').next().unwrap_or_default().trim();
        Self(Cow::Owned(bare.to_ascii_lowercase()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is an index or manifest list.
    pub fn is_index(&self) -> bool {
        *self == Self::OCI_INDEX || *self == Self::DOCKER_LIST
    }

    /// Whether it is a manifest with a config and layers.
    pub fn is_manifest(&self) -> bool {
        *self == Self::OCI_MANIFEST || *self == Self::DOCKER_MANIFEST
    }

    /// Whether it is an artifact manifest, which lists blobs and has no config.
    pub fn is_artifact_manifest(&self) -> bool {
        *self == Self::OCI_ARTIFACT
    }

    /// Whether it is a manifest or an index.
    pub fn is_document(&self) -> bool {
        self.is_index() || self.is_manifest() || self.is_artifact_manifest()
    }

    /// Whether it is an unsupported kind of manifest. Registries store manifests apart from blobs.
    pub fn is_unknown_manifest(&self) -> bool {
        !self.is_document() && self.0.contains("manifest")
    }

    /// Whether it is Docker's schema 1, which is not content-addressed.
    pub fn is_schema1(&self) -> bool {
        self.0.starts_with("application/vnd.docker.distribution.manifest.v1+")
    }

    /// Whether it is an image config that rpull can read.
    pub fn is_image_config(&self) -> bool {
        *self == Self::OCI_CONFIG || *self == Self::DOCKER_CONFIG
    }

    /// Whether it is a foreign layer ("foreign", "nondistributable").
    pub fn is_foreign(&self) -> bool {
        self.0.starts_with("application/vnd.oci.image.layer.nondistributable.v1.tar")
            || self.0.starts_with("application/vnd.docker.image.rootfs.foreign.diff.tar")
    }

    /// Whether it is a layer that is a tar which rpull can read, compressed or not.
    pub fn is_tar_layer(&self) -> bool {
        self.0.contains(".tar") && !self.0.contains("encrypted")
    }

    /// Whether it says nothing about the content: proxies and file servers send these types for everything.
    pub fn is_uninformative(&self) -> bool {
        matches!(
            &*self.0,
            ""
                | "text/plain"
                | "application/json"
                | "application/octet-stream"
                // S3's type for objects that were stored without one.
                | "binary/octet-stream"
        )
    }
}

impl MediaType {
    /// Whether it has the grammar of image-spec's schema: two names joined by a slash.
    pub fn is_well_formed(&self) -> bool {
        self.0.split_once('/').is_some_and(|(kind, name)| is_name(kind) && is_name(name))
    }
}

/// In documents [`MediaType::is_well_formed`] is required.
impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let media_type = Self(Cow::Owned(text));
        if media_type.is_well_formed() {
            return Ok(media_type);
        }
        Err(serde::de::Error::custom(format!("invalid media type `{}`", media_type.0)))
    }
}

/// A letter or digit, then up to 126 visible characters: more than RFC 6838 allows, as in the schema.
fn is_name(text: &str) -> bool {
    text.len() <= 127
        && text.bytes().all(|b| b.is_ascii_graphic())
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for MediaType {
    fn from(text: &str) -> Self {
        Self(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_type_malformed_is_rejected() {
        let read = |text: &str| serde_json::from_value::<MediaType>(text.into());
        for fine in ["application/vnd.oci.image.layer.v1.tar+gzip", "text/x;v=1", "x/y"] {
            assert_eq!(read(fine).unwrap().as_str(), fine);
        }
        let long = format!("{}/x", "a".repeat(128));
        for bad in ["", "manifest", "/x", "x/", ".x/y", "x/.y", "x/y z", "x/\u{1b}", &long] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn content_type_header_ignores_parameters_and_case() {
        let header =
            MediaType::from_header("Application/VND.OCI.image.index.v1+JSON; charset=utf-8");
        assert_eq!(header, MediaType::OCI_INDEX);
        assert!(MediaType::from_header(" text/plain ;x").is_uninformative());
    }
}
