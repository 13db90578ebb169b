//! Conversions from and to the types of the `oci-spec` crate, which many programs use.
//!
//! Nothing else in this crate uses those types. Received documents are never serialized again: [`Document::to_oci_manifest`]
//! returns a copy whose JSON has another digest. Each minor version of `oci-spec` is incompatible; this module is for
//! [`rpull::oci_spec`](crate::oci_spec).
//!
//! | rpull                    | oci-spec                           | what can be lost or rejected                                 |
//! |--------------------------|------------------------------------|--------------------------------------------------------------|
//! | [`MediaType`]            | [`image::MediaType`]               | nothing                                                      |
//! | [`Digest`]               | [`image::Digest`]                  | invalid ones are rejected in both directions                 |
//! | [`Platform`]             | [`image::Platform`]                | from oci-spec: `features`, which the spec reserves, is lost  |
//! | [`Descriptor`]           | [`image::Descriptor`]              | from oci-spec: sizes above 2^53 and malformed URLs are rejected |
//! | manifest of a [`Document`] | [`image::ImageManifest`]         | unknown fields are lost                                      |
//! | index of a [`Document`]  | [`image::ImageIndex`]              | the same                                                     |
//! | [`ImageConfig`]          | [`image::ImageConfiguration`]      | to oci-spec: a command as text, or `null` in a list or as a label, is rejected |

use std::collections::{BTreeMap, HashMap};

pub use oci_spec;
use oci_spec::OciSpecError;
use oci_spec::image;

use crate::config::{HistoryEntry, ImageConfig};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::new_manifest::NewManifest;
use crate::document::{Document, ParsedDocument};
use crate::error::{Error, ErrorKind, Result};
use crate::media::MediaType;
use crate::platform::Platform;

/// The `schemaVersion` of all manifests and indexes.
const SCHEMA_VERSION: u32 = 2;

fn refused(what: &str, error: OciSpecError) -> Error {
    Error::new(ErrorKind::Unsupported, what)
        .with_reason("not valid for oci-spec")
        .with_source(error)
}

fn some<T: Default + PartialEq>(value: T) -> Option<T> {
    Some(value).filter(|value| *value != T::default())
}

fn hash_map(annotations: &BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    some(annotations.clone().into_iter().collect())
}

fn sorted(annotations: Option<&HashMap<String, String>>) -> BTreeMap<String, String> {
    annotations.cloned().unwrap_or_default().into_iter().collect()
}

impl From<&MediaType> for image::MediaType {
    fn from(media_type: &MediaType) -> Self {
        Self::from(media_type.as_str())
    }
}

impl From<&image::MediaType> for MediaType {
    fn from(media_type: &image::MediaType) -> Self {
        Self::from(media_type.as_ref())
    }
}

impl TryFrom<&Digest> for image::Digest {
    type Error = Error;

    fn try_from(digest: &Digest) -> Result<Self> {
        Self::try_from(digest.to_string()).map_err(|error| refused("digest", error))
    }
}

impl TryFrom<&image::Digest> for Digest {
    type Error = Error;

    fn try_from(digest: &image::Digest) -> Result<Self> {
        Ok(digest.as_ref().parse()?)
    }
}

fn architecture(name: &str) -> image::Arch {
    match name {
        // oci-spec 0.10 reads it as `arm64be`.
        "armbe" => image::Arch::ARMbe,
        name => name.into(),
    }
}

impl From<&Platform> for image::Platform {
    fn from(platform: &Platform) -> Self {
        let mut converted = Self::default();
        converted
            .set_architecture(architecture(&platform.architecture))
            .set_os(platform.os.as_str().into())
            .set_os_version(platform.os_version.clone())
            .set_os_features(some(platform.os_features.clone()))
            .set_variant(platform.variant.clone());
        converted
    }
}

impl From<&image::Platform> for Platform {
    fn from(platform: &image::Platform) -> Self {
        Self {
            architecture: platform.architecture().to_string(),
            os: platform.os().to_string(),
            os_version: platform.os_version().clone(),
            os_features: platform.os_features().clone().unwrap_or_default(),
            variant: platform.variant().clone(),
        }
    }
}

impl TryFrom<&Descriptor> for image::Descriptor {
    type Error = Error;

    fn try_from(descriptor: &Descriptor) -> Result<Self> {
        let digest = image::Digest::try_from(&descriptor.digest)?;
        let mut converted = Self::new((&descriptor.media_type).into(), descriptor.size, digest);
        converted
            .set_urls(some(descriptor.urls.clone()))
            .set_annotations(hash_map(&descriptor.annotations))
            .set_data(descriptor.data.clone())
            .set_artifact_type(descriptor.artifact_type.as_deref().map(Into::into))
            .set_platform(descriptor.platform.as_ref().map(Into::into));
        Ok(converted)
    }
}

impl TryFrom<&image::Descriptor> for Descriptor {
    type Error = Error;

    /// # Errors
    /// [`ErrorKind::InvalidDocument`] for a descriptor that would be rejected in a document.
    fn try_from(descriptor: &image::Descriptor) -> Result<Self> {
        let original = Self {
            media_type: descriptor.media_type().into(),
            digest: descriptor.digest().try_into()?,
            size: descriptor.size(),
            urls: descriptor.urls().clone().unwrap_or_default(),
            annotations: sorted(descriptor.annotations().as_ref()),
            data: descriptor.data().clone(),
            artifact_type: descriptor.artifact_type().as_ref().map(ToString::to_string),
            platform: descriptor.platform().as_ref().map(Into::into),
        };
        // Parsing is the only place that checks the fields.
        let checked = serde_json::to_value(&original).and_then(serde_json::from_value);
        checked.map_err(|error| {
            Error::new(ErrorKind::InvalidDocument, "descriptor").with_source(error)
        })
    }
}

fn all<'a, A, B>(items: impl IntoIterator<Item = &'a A>) -> Result<Vec<B>>
where
    A: 'a,
    B: TryFrom<&'a A, Error = Error>,
{
    items.into_iter().map(B::try_from).collect()
}

fn optional<'a, A, B: TryFrom<&'a A, Error = Error>>(item: Option<&'a A>) -> Result<Option<B>> {
    item.map(B::try_from).transpose()
}

impl Document {
    /// Returns the manifest as a type of oci-spec: a copy, whose JSON has another digest.
    ///
    /// # Errors
    /// As [`Document::manifest`] for a document of another kind.
    pub fn to_oci_manifest(&self) -> Result<image::ImageManifest> {
        let (manifest, own) = (self.manifest()?, self.own_fields());
        let mut converted = image::ImageManifestBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(&self.descriptor().media_type)
            .config(image::Descriptor::try_from(&manifest.config)?)
            .layers(all::<_, image::Descriptor>(&manifest.layers)?)
            .build()
            .map_err(|error| refused("manifest", error))?;
        converted
            .set_artifact_type(own.artifact_type.as_ref().map(Into::into))
            .set_subject(optional(manifest.subject.as_ref())?)
            .set_annotations(hash_map(&own.annotations));
        Ok(converted)
    }

    /// Returns the index as a type of oci-spec: a copy, whose JSON has another digest.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidDocument`] for a document of another kind.
    pub fn to_oci_index(&self) -> Result<image::ImageIndex> {
        let ParsedDocument::Index(index) = self.parsed() else {
            return Err(Error::new(
                ErrorKind::InvalidDocument,
                format!("document {}", self.digest()),
            )
            .with_reason("expected an index, got a manifest"));
        };
        let own = self.own_fields();
        let mut converted = image::ImageIndex::default();
        converted
            .set_schema_version(SCHEMA_VERSION)
            .set_media_type(Some((&self.descriptor().media_type).into()))
            .set_artifact_type(own.artifact_type.as_ref().map(Into::into))
            .set_manifests(all(&index.manifests)?)
            .set_subject(optional(index.subject.as_ref())?)
            .set_annotations(hash_map(&own.annotations));
        Ok(converted)
    }

    /// Creates a manifest. The same content always has the same bytes.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidDocument`] if it would be rejected when received.
    pub fn from_oci_manifest(manifest: &image::ImageManifest) -> Result<Self> {
        let media_type = manifest.media_type().as_ref();
        let manifest = NewManifest {
            schema_version: manifest.schema_version(),
            media_type: media_type.map_or(MediaType::OCI_MANIFEST, Into::into),
            artifact_type: manifest.artifact_type().as_ref().map(Into::into),
            config: manifest.config().try_into()?,
            layers: all(manifest.layers())?,
            subject: optional(manifest.subject().as_ref())?,
            annotations: sorted(manifest.annotations().as_ref()),
        };
        manifest.into_document()
    }
}

impl ImageConfig {
    /// Returns the config as a type of oci-spec.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for what Docker accepts and oci-spec does not: a command as text, or `null` in a list or as
    /// a label.
    pub fn to_oci_config(&self) -> Result<image::ImageConfiguration> {
        let run_options = self.config.clone().map(serde_json::from_value).transpose();
        let run_options = run_options.map_err(|error| refused("image config", error.into()))?;
        let mut rootfs = image::RootFs::default();
        rootfs.set_diff_ids(self.rootfs.diff_ids.iter().map(ToString::to_string).collect());
        let mut converted = image::ImageConfiguration::default();
        converted
            .set_created(self.created.clone())
            .set_author(self.author.clone())
            .set_architecture(architecture(&self.architecture))
            .set_os(self.os.as_str().into())
            .set_os_version(self.os_version.clone())
            .set_os_features(some(self.os_features.clone()))
            .set_variant(self.variant.clone())
            .set_config(run_options)
            .set_rootfs(rootfs)
            .set_history(some(self.history.iter().map(history).collect()));
        Ok(converted)
    }
}

fn history(entry: &HistoryEntry) -> image::History {
    let mut converted = image::History::default();
    converted
        .set_created(entry.created.clone())
        .set_created_by(some(entry.created_by.clone()))
        .set_author(some(entry.author.clone()))
        .set_comment(some(entry.comment.clone()))
        .set_empty_layer(some(entry.empty_layer));
    converted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn platforms() -> impl Strategy<Value = Platform> {
        let architecture = prop_oneof![
            "[a-z0-9]{0,8}",
            prop::sample::select(vec!["386", "armbe", "arm64be", "loong64", "s390x", "wasm"])
                .prop_map(str::to_owned),
        ];
        let features = prop::collection::vec("[a-z0-9]{1,5}", 0..3);
        let optional = || prop::option::of("[a-z0-9.]{1,8}");
        (architecture, "[a-z0-9]{1,8}", optional(), features, optional()).prop_map(
            |(architecture, os, os_version, os_features, variant)| Platform {
                architecture,
                os,
                os_version,
                os_features,
                variant,
            },
        )
    }

    fn media_types() -> impl Strategy<Value = MediaType> {
        prop_oneof![
            "[a-z0-9]{1,9}/[a-z0-9.+-]{0,20}[a-z]".prop_map(|text| MediaType::from(text.as_str())),
            Just(MediaType::OCI_MANIFEST),
            Just(MediaType::OCI_EMPTY),
            Just(MediaType::DOCKER_LIST),
        ]
        .prop_filter("begins with a letter", |media_type| {
            media_type.as_str().split('/').all(|name| !name.starts_with(['.', '+', '-']))
        })
    }

    fn descriptors() -> impl Strategy<Value = Descriptor> {
        let annotations = prop::collection::btree_map("[a-z.]{1,9}", ".{0,9}", 0..4);
        let urls = prop::collection::vec("https://[a-z]{1,9}/[a-z]{0,9}", 0..3);
        let optional =
            (prop::option::of("[A-Za-z0-9]{4}"), prop::option::of("[a-z]{1,4}/[a-z]{1,9}"));
        // The sizes of a manifest have this limit together.
        let required = (media_types(), any::<[u8; 8]>(), 0..=crate::descriptor::MAX_SIZE / 8);
        (required, annotations, urls, optional, prop::option::of(platforms())).prop_map(
            |((media_type, bytes, size), annotations, urls, (data, artifact_type), platform)| {
                Descriptor {
                    urls,
                    annotations,
                    data,
                    artifact_type,
                    platform,
                    ..Descriptor::new(media_type, Digest::sha256(&bytes), size)
                }
            },
        )
    }

    proptest! {
        #[test]
        fn oci_digest_round_trips(text in "[a-z0-9]{1,8}([+._-][a-z0-9]{1,4})?:[a-zA-Z0-9=_-]{1,70}") {
            // Each accepts what the other accepts.
            let (original, converted) = (text.parse::<Digest>(), image::Digest::try_from(text.clone()));
            prop_assert_eq!(original.is_ok(), converted.is_ok());
            if let Ok(original) = original {
                let converted = image::Digest::try_from(&original).unwrap();
                prop_assert_eq!(Digest::try_from(&converted).unwrap(), original);
            }
        }

        #[test]
        fn oci_media_type_round_trips(original in media_types()) {
            prop_assert_eq!(MediaType::from(&image::MediaType::from(&original)), original);
        }

        #[test]
        fn oci_platform_round_trips(original in platforms()) {
            prop_assert_eq!(Platform::from(&image::Platform::from(&original)), original);
        }

        #[test]
        fn oci_descriptor_round_trips(original in descriptors()) {
            let converted = image::Descriptor::try_from(&original).unwrap();
            prop_assert_eq!(Descriptor::try_from(&converted).unwrap(), original);
        }

        #[test]
        fn oci_manifest_round_trips(
            config in descriptors(),
            layers in prop::collection::vec(descriptors(), 0..4),
            subject in prop::option::of(descriptors()),
            artifact_type in prop::option::of(media_types()),
            annotations in prop::collection::btree_map("[a-z.]{1,9}", ".{0,9}", 0..4),
        ) {
            let (schema_version, media_type) = (SCHEMA_VERSION, MediaType::OCI_MANIFEST);
            let manifest = NewManifest { schema_version, media_type, artifact_type, config, layers, subject, annotations };
            let document = manifest.into_document().unwrap();
            let again = Document::from_oci_manifest(&document.to_oci_manifest().unwrap()).unwrap();
            prop_assert_eq!(again.bytes(), document.bytes());
        }
    }

    #[test]
    fn oci_descriptor_beyond_limits_is_refused() {
        let valid = Descriptor::for_bytes(MediaType::OCI_CONFIG, b"{}");
        let mut converted = image::Descriptor::try_from(&valid).unwrap();
        assert_eq!(Descriptor::try_from(&converted).unwrap(), valid);
        converted.set_size((1 << 53) + 1);
        let refused = Descriptor::try_from(&converted).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidDocument);
        converted.set_size(2).set_urls(Some(vec!["no url".to_owned()]));
        assert!(Descriptor::try_from(&converted).is_err());
        converted.set_urls(None).set_media_type("no type".into());
        assert!(Descriptor::try_from(&converted).is_err());
    }

    #[test]
    fn oci_config_with_text_command_is_refused() {
        let config = |command: &str| {
            let text = format!(
                r#"{{"architecture":"arm64","os":"linux","variant":"v8","config":{{"Cmd":{command},"Env":["A=b"]}},"history":[{{"created_by":"x","empty_layer":true}}]}}"#
            );
            ImageConfig::parse(text.as_bytes()).unwrap().to_oci_config()
        };
        let converted = config(r#"["sh"]"#).unwrap();
        assert_eq!(converted.architecture(), &image::Arch::ARM64);
        assert_eq!(converted.variant().as_deref(), Some("v8"));
        let run_options = converted.config().as_ref().unwrap();
        assert_eq!(run_options.cmd().as_deref(), Some(&["sh".to_owned()][..]));
        assert_eq!(converted.history().as_ref().unwrap()[0].empty_layer(), Some(true));
        assert_eq!(config(r#""sh""#).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
