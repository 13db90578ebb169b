//! Artifacts: content of any type, stored like an image, with a manifest. Spec: image-spec `manifest.md`,
//! "Guidelines for Artifact Usage".
//!
//! ```
//! # fn example(image: &rpull::descriptor::Descriptor) -> rpull::error::Result<()> {
//! use rpull::artifact::Artifact;
//!
//! let sbom = Artifact::builder("application/vnd.example.sbom.v1")
//!     .layer("application/json", r#"{"packages":[]}"#)
//!     .annotation("org.opencontainers.image.created", "2026-01-02T03:04:05Z")
//!     .subject(image)
//!     .build()?;
//! println!("{}", sbom.document().digest());
//! # Ok(())
//! # }
//! ```
//!
//! An artifact is a [`Source`] and is pushed like an image; its only name is [`ImageName::Only`]. An artifact with a `subject`
//! is a referrer of it, and is listed as such in the repository of its subject.

use std::collections::{BTreeMap, HashMap};
use std::future::ready;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::annotation;
use crate::blob_file::BlobFile;
use crate::content::{
    BlobPresence, BlobRequest, BlobStream, Effort, Endpoint, Lookup, Presence, Source,
};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::document::new_manifest::NewManifest;
use crate::edit::NewLayer;
use crate::error::{Error, ErrorKind, Result};
use crate::media::MediaType;
use crate::memory::Memory;
use crate::name::ImageName;

/// The config of an artifact without one.
const EMPTY_CONFIG: &[u8] = b"{}";

/// A manifest and its blobs, in memory or in files.
#[derive(Clone, Debug)]
pub struct Artifact {
    document: Document,
    content: Memory,
    /// Blobs that are not in memory.
    files: Arc<HashMap<Digest, BlobFile>>,
}

impl Artifact {
    /// Returns a builder for an artifact of this type, with the empty config and no layers.
    pub fn builder(artifact_type: impl Into<MediaType>) -> ArtifactBuilder {
        ArtifactBuilder {
            artifact_type: artifact_type.into(),
            config: (MediaType::OCI_EMPTY, Bytes::from_static(EMPTY_CONFIG)),
            config_annotations: BTreeMap::new(),
            layers: Vec::new(),
            subject: None,
            annotations: BTreeMap::new(),
            location: None,
        }
    }

    /// Returns the manifest.
    pub fn document(&self) -> &Document {
        &self.document
    }
}

/// Builds an [`Artifact`].
#[derive(Clone, Debug)]
#[must_use = "nothing is created before `build`"]
pub struct ArtifactBuilder {
    artifact_type: MediaType,
    config: (MediaType, Bytes),
    config_annotations: BTreeMap<String, String>,
    layers: Vec<Layer>,
    subject: Option<Descriptor>,
    annotations: BTreeMap<String, String>,
    location: Option<String>,
}

#[derive(Clone, Debug)]
struct Layer {
    media_type: MediaType,
    content: LayerContent,
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
enum LayerContent {
    Bytes(Bytes),
    File(BlobFile),
}

impl ArtifactBuilder {
    /// Sets what reports call the place that it comes from.
    pub(crate) fn location(mut self, location: impl Into<String>) -> Self {
        self.location = Some(location.into());
        self
    }

    /// Sets the config, for types that have one.
    pub fn config(mut self, media_type: impl Into<MediaType>, bytes: impl Into<Bytes>) -> Self {
        self.config = (media_type.into(), bytes.into());
        self
    }

    /// Sets an annotation in the descriptor of the config.
    pub fn config_annotation(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config_annotations.insert(key.into(), value.into());
        self
    }

    /// Adds a layer.
    pub fn layer(self, media_type: impl Into<MediaType>, bytes: impl Into<Bytes>) -> Self {
        self.annotated_layer(media_type, bytes, BTreeMap::new())
    }

    /// Adds a layer with the content of a file. Other tools write a file of this name when they pull the artifact.
    pub fn file(
        self,
        name: impl Into<String>,
        media_type: impl Into<MediaType>,
        bytes: impl Into<Bytes>,
    ) -> Self {
        let title = BTreeMap::from([(annotation::TITLE.to_owned(), name.into())]);
        self.annotated_layer(media_type, bytes, title)
    }

    /// Adds a layer with annotations in its descriptor.
    pub fn annotated_layer(
        mut self,
        media_type: impl Into<MediaType>,
        bytes: impl Into<Bytes>,
        annotations: BTreeMap<String, String>,
    ) -> Self {
        let (media_type, content) = (media_type.into(), LayerContent::Bytes(bytes.into()));
        self.layers.push(Layer { media_type, content, annotations });
        self
    }

    /// Adds a layer with the content of a file, which is hashed now and read again when the artifact is pushed. Blocks.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without the file,
    /// [`ErrorKind::InvalidInput`] for what is no regular file.
    pub fn open_file(
        self,
        path: &Path,
        media_type: impl Into<MediaType>,
        annotations: BTreeMap<String, String>,
    ) -> Result<Self> {
        Ok(self.blob(media_type, BlobFile::hash(path)?, annotations))
    }

    /// Adds a layer with the bytes of a reader, which are kept in a temporary file. Blocks.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] if reading or writing fails.
    pub fn spooled(
        self,
        reader: &mut dyn Read,
        media_type: impl Into<MediaType>,
        annotations: BTreeMap<String, String>,
    ) -> Result<Self> {
        let failed = |error| Error::new(ErrorKind::Store, "read").with_source(error);
        Ok(self.blob(media_type, BlobFile::spool(reader, failed)?, annotations))
    }

    /// Adds a layer that is the tar of a directory.
    pub fn tar(
        self,
        media_type: impl Into<MediaType>,
        tar: NewLayer,
        annotations: BTreeMap<String, String>,
    ) -> Self {
        self.blob(media_type, tar.blob, annotations)
    }

    /// Adds a layer with the content of a file that is hashed already.
    pub(crate) fn blob(
        mut self,
        media_type: impl Into<MediaType>,
        blob: BlobFile,
        annotations: BTreeMap<String, String>,
    ) -> Self {
        let (media_type, content) = (media_type.into(), LayerContent::File(blob));
        self.layers.push(Layer { media_type, content, annotations });
        self
    }

    /// Sets the subject, which makes the artifact a referrer of this manifest. The manifest need not exist yet.
    pub fn subject(mut self, manifest: &Descriptor) -> Self {
        let Descriptor { media_type, digest, size, .. } = manifest;
        self.subject = Some(Descriptor::new(media_type.clone(), digest.clone(), *size));
        self
    }

    /// Sets an annotation of the manifest.
    pub fn annotation(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(key.into(), value.into());
        self
    }

    /// Creates the manifest. The same content always has the same digest.
    ///
    /// An artifact without a layer gets the empty one, as the spec requires.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidDocument`] for a malformed media type, or a manifest of
    /// more than [`DOCUMENT_LIMIT`](crate::document::DOCUMENT_LIMIT) bytes.
    pub fn build(self) -> Result<Artifact> {
        let content = self.location.map_or_else(Memory::default, Memory::at);
        let (config_type, config) = self.config;
        let config = Descriptor {
            annotations: self.config_annotations,
            ..content.insert_blob(config_type, config)
        };
        let mut layers: Vec<Descriptor> = Vec::new();
        let mut files = HashMap::new();
        for Layer { media_type, content: layer, annotations } in self.layers {
            let descriptor = match layer {
                LayerContent::Bytes(bytes) => content.insert_blob(media_type, bytes),
                LayerContent::File(file) => {
                    let descriptor = Descriptor::new(media_type, file.digest.clone(), file.size);
                    files.insert(file.digest.clone(), file);
                    descriptor
                }
            };
            layers.push(Descriptor { annotations, ..descriptor });
        }
        if layers.is_empty() {
            layers.push(content.insert_blob(MediaType::OCI_EMPTY, EMPTY_CONFIG));
        }
        let manifest = NewManifest {
            schema_version: 2,
            media_type: MediaType::OCI_MANIFEST,
            artifact_type: Some(self.artifact_type),
            config,
            layers,
            subject: self.subject,
            annotations: self.annotations,
        };
        let document = manifest.into_document()?;
        content.insert_document_alone(&document);
        Ok(Artifact { document, content, files: Arc::new(files) })
    }
}

impl Lookup for Artifact {
    fn endpoint(&self) -> &Endpoint {
        self.content.endpoint()
    }

    fn name<'a>(
        &'a self,
        name: &'a ImageName,
        effort: Effort,
    ) -> BoxFuture<'a, Result<Presence<Descriptor>>> {
        self.content.name(name, effort)
    }

    fn read<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        limit: u64,
        effort: Effort,
    ) -> BoxFuture<'a, Result<Presence<Bytes>>> {
        self.content.read(descriptor, limit, effort)
    }

    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        effort: Effort,
    ) -> BoxFuture<'a, Result<BlobPresence>> {
        match self.files.get(&descriptor.digest) {
            Some(_) => Box::pin(ready(Ok(BlobPresence::Complete))),
            None => self.content.blob(descriptor, effort),
        }
    }
}

impl Source for Artifact {
    fn resolve<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        self.content.resolve(name)
    }

    fn open_blob<'a>(&'a self, request: BlobRequest<'a>) -> BoxFuture<'a, Result<BlobStream>> {
        match self.files.get(&request.descriptor.digest) {
            Some(file) => file.open(&request),
            None => self.content.open_blob(request),
        }
    }

    fn referrers<'a>(
        &'a self,
        subject: &'a Digest,
    ) -> BoxFuture<'a, Result<Presence<Vec<Descriptor>>>> {
        self.content.referrers(subject)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const EMPTY_DIGEST: &str =
        "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn json_of(artifact: &Artifact) -> Value {
        serde_json::from_slice(artifact.document().bytes()).unwrap()
    }

    #[test]
    fn artifact_without_layers_has_the_empty_one() {
        let empty = json!({
            "mediaType": "application/vnd.oci.empty.v1+json", "digest": EMPTY_DIGEST, "size": 2,
        });
        let artifact = Artifact::builder("application/vnd.example+type").build().unwrap();
        let expected = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": "application/vnd.example+type", "config": empty, "layers": [empty],
        });
        assert_eq!(json_of(&artifact), expected);
        assert_eq!(
            artifact.document().as_referrer().artifact_type.as_deref(),
            Some("application/vnd.example+type")
        );
    }

    #[test]
    fn artifact_of_same_content_has_same_digest() {
        let build = |keys: [&str; 2]| {
            let builder = Artifact::builder("x/y").file("a", "text/plain", "bytes");
            let built = keys.into_iter().fold(builder, |builder, key| builder.annotation(key, key));
            built.build().unwrap().document().digest().clone()
        };
        assert_eq!(build(["b", "a"]), build(["a", "b"]));
        assert_ne!(build(["b", "a"]), build(["a", "c"]));
    }

    #[test]
    fn artifact_config_and_layer_annotations_are_in_the_manifest() {
        let annotations = BTreeMap::from([("key".to_owned(), "value".to_owned())]);
        let artifact = Artifact::builder("x/y")
            .config("x/config", "{\"a\":1}")
            .annotated_layer("x/z", "bytes", annotations)
            .file("notes.txt", "text/plain", "text")
            .build()
            .unwrap();
        let manifest = json_of(&artifact);
        assert_eq!(manifest["config"]["mediaType"], "x/config");
        assert_eq!(manifest["layers"][0]["annotations"], json!({"key": "value"}));
        assert_eq!(manifest["layers"][1]["annotations"], json!({(annotation::TITLE): "notes.txt"}));
    }

    #[test]
    fn artifact_subject_names_nothing_but_the_manifest() {
        let mut image = Descriptor::for_bytes(MediaType::OCI_MANIFEST, b"{}");
        image.annotations.insert("key".to_owned(), "value".to_owned());
        let artifact = Artifact::builder("x/y").subject(&image).build().unwrap();
        let expected = json!({
            "mediaType": MediaType::OCI_MANIFEST, "digest": EMPTY_DIGEST, "size": 2,
        });
        assert_eq!(json_of(&artifact)["subject"], expected);
    }

    #[test]
    fn artifact_with_malformed_media_type_is_refused() {
        for refused in [
            Artifact::builder("x/y").layer("no type", "bytes").build(),
            Artifact::builder("x/y").config("", "{}").build(),
        ] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidDocument);
        }
        let refused = Artifact::builder("no type").build().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidDocument);
    }
}
