//! A manifest or index: its verbatim bytes, and a read-only view of what they say.
//!
//! Bytes are never re-serialised; that would change the digest. A document is judged once, here: kind, shape and media
//! type must agree, so that no two clients can read it differently (CVE-2021-41190).

pub(crate) mod new_manifest;
mod parsed;
mod raw_index;
mod referrer;
mod shape;
mod walk;

use bytes::Bytes;

pub use self::parsed::{ArtifactManifest, ImageIndex, ImageManifest, ParsedDocument};
pub(crate) use self::raw_index::{RawIndex, parse_entry};
pub use self::shape::DOCUMENT_LIMIT;
pub(crate) use self::walk::{TreeWalk, WalkLimits, WalkStep};

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::media::MediaType;
use crate::platform::Platform;
use crate::verifier::verify;

/// An index without entries.
pub(crate) const EMPTY_INDEX: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// A manifest or index as it was received, its digest verified or computed.
#[derive(Clone, Debug)]
pub struct Document {
    descriptor: Descriptor,
    bytes: Bytes,
    parsed: ParsedDocument,
}

impl Document {
    /// Judges bytes that came without a descriptor: of a tag, or a digest that was asked for.
    ///
    /// `declared` is the media type that came with them (`Content-Type`); the digest is computed, or compared with
    /// `digest` where one was asked for.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] for another digest, [`ErrorKind::InvalidDocument`] for anything malformed, oversized or
    /// ambiguous, [`ErrorKind::Unsupported`] for schema 1.
    pub fn from_response(
        bytes: Bytes,
        declared: &MediaType,
        digest: Option<&Digest>,
    ) -> Result<Self> {
        let computed = match digest {
            None => Digest::sha256(&bytes),
            Some(digest) => {
                let expected =
                    Descriptor::new(declared.clone(), digest.clone(), bytes.len() as u64);
                verify(&expected, &bytes)?;
                digest.clone()
            }
        };
        let (media_type, content) = shape::read(&bytes, declared)?;
        Ok(Self {
            descriptor: Descriptor::new(media_type, computed, bytes.len() as u64),
            bytes,
            parsed: content,
        })
    }

    /// Judges bytes that a descriptor names: size, digest and media type must be its.
    pub fn from_descriptor(bytes: Bytes, descriptor: &Descriptor) -> Result<Self> {
        verify(descriptor, &bytes)?;
        let (_, content) = shape::read(&bytes, &descriptor.media_type)?;
        Ok(Self { descriptor: descriptor.clone(), bytes, parsed: content })
    }

    /// The same document with the platform that an index gives it.
    #[must_use]
    pub fn with_platform(mut self, platform: Option<Platform>) -> Self {
        self.descriptor.platform = platform;
        self
    }

    /// What names it.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Its digest.
    pub fn digest(&self) -> &Digest {
        &self.descriptor.digest
    }

    /// The bytes as they came.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What it says.
    pub fn parsed(&self) -> &ParsedDocument {
        &self.parsed
    }

    /// The manifest view.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidDocument`] where it is an index, [`ErrorKind::Unsupported`] where it is an artifact manifest.
    pub fn manifest(&self) -> Result<&ImageManifest> {
        let what = || format!("document {}", self.digest());
        match &self.parsed {
            ParsedDocument::Manifest(manifest) => Ok(manifest),
            ParsedDocument::Index(_) => Err(Error::new(ErrorKind::InvalidDocument, what())
                .with_reason("expected a manifest, got an index")),
            ParsedDocument::Artifact(_) => Err(Error::new(ErrorKind::Unsupported, what())
                .with_reason("expected an image manifest, got an artifact manifest")),
        }
    }

    /// What an index lists, in the order of preference: documents, and content of any other type. Empty for other documents.
    pub fn entries(&self) -> &[Descriptor] {
        match &self.parsed {
            ParsedDocument::Index(index) => &index.manifests,
            ParsedDocument::Manifest(_) | ParsedDocument::Artifact(_) => &[],
        }
    }

    /// The documents that an index lists, in the order of preference. Empty for other documents.
    pub fn children(&self) -> impl Iterator<Item = &Descriptor> {
        self.entries().iter().filter(|entry| entry.media_type.is_document())
    }

    /// The blobs that it names itself, in the order they are listed: config first, then layers. Of an index it is what
    /// it lists that is no document: content may be of any type, as in `BuildKit`'s cache.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let (config, blobs): (_, &[Descriptor]) = match &self.parsed {
            ParsedDocument::Manifest(manifest) => (Some(&manifest.config), &manifest.layers),
            ParsedDocument::Artifact(artifact) => (None, &artifact.blobs),
            ParsedDocument::Index(_) => (None, &[]),
        };
        let listed = self.entries().iter().filter(|entry| !entry.media_type.is_document());
        config.into_iter().chain(blobs).chain(listed)
    }
}
