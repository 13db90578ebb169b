//! A manifest or index: its exact bytes and a parsed, read-only view.
//!
//! The bytes are never serialized again, which would change the digest. A document is validated once, when it is
//! created: kind, structure and media type must agree, so that no two clients read it differently (CVE-2021-41190).

pub(crate) mod new_manifest;
mod parsed;
mod raw_index;
mod referrer;
mod select;
mod shape;
mod walk;

use std::collections::HashSet;

use bytes::Bytes;

pub use self::parsed::{ArtifactManifest, ImageIndex, ImageManifest, ParsedDocument};
pub(crate) use self::raw_index::{RawIndex, parse_entry};
pub use self::select::{available_platforms, entries_for_platform};
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

/// A manifest or index as received. Its digest is verified or computed.
#[derive(Clone, Debug)]
pub struct Document {
    descriptor: Descriptor,
    bytes: Bytes,
    parsed: ParsedDocument,
}

impl Document {
    /// Parses bytes that were requested by tag or digest.
    ///
    /// `declared` is the media type of the response (`Content-Type`). `digest` is the requested digest, if any.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] for another digest, [`ErrorKind::InvalidDocument`] for malformed, oversized or ambiguous
    /// documents, [`ErrorKind::Unsupported`] for schema 1.
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

    /// Parses the bytes of a descriptor. Size, digest and media type must match.
    pub fn from_descriptor(bytes: Bytes, descriptor: &Descriptor) -> Result<Self> {
        verify(descriptor, &bytes)?;
        let (_, content) = shape::read(&bytes, &descriptor.media_type)?;
        Ok(Self { descriptor: descriptor.clone(), bytes, parsed: content })
    }

    /// Sets the platform that an index gives the document.
    #[must_use]
    pub fn with_platform(mut self, platform: Option<Platform>) -> Self {
        self.descriptor.platform = platform;
        self
    }

    /// Returns the descriptor of the document.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Returns the digest of the document.
    pub fn digest(&self) -> &Digest {
        &self.descriptor.digest
    }

    /// Returns the bytes as received.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the parsed content.
    pub fn parsed(&self) -> &ParsedDocument {
        &self.parsed
    }

    /// Returns the manifest.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidDocument`] for an index, [`ErrorKind::Unsupported`] for an artifact manifest.
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

    /// Returns the entries of an index in order of preference: documents, and other content. Empty for other documents.
    pub fn entries(&self) -> &[Descriptor] {
        self.parsed.entries()
    }

    /// Returns the documents that an index lists, in order of preference. Empty for other documents.
    pub fn children(&self) -> impl Iterator<Item = &Descriptor> {
        self.entries().iter().filter(|entry| entry.media_type.is_document())
    }

    /// Returns the referenced blobs in their order: config first, then layers. For an index these are entries that are
    /// not documents, as in `BuildKit`'s cache.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.parsed.blobs()
    }

    /// Returns the sum of the sizes of the referenced blobs, each counted once; at most [`MAX_SIZE`](crate::descriptor::MAX_SIZE).
    pub fn distinct_bytes(&self) -> u64 {
        let mut counted = HashSet::new();
        self.blobs().filter(|blob| counted.insert(&blob.digest)).map(|blob| blob.size).sum()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::descriptor::MAX_SIZE;

    /// A manifest with a config of one byte and these layers.
    fn manifest(layers: &[Descriptor]) -> Result<Document> {
        let config = Descriptor::new(MediaType::OCI_CONFIG, Digest::sha256(b"c"), 1);
        let manifest = json!({ "schemaVersion": 2, "config": config, "layers": layers });
        let bytes = manifest.to_string().into();
        Document::from_response(bytes, &MediaType::OCI_MANIFEST, None)
    }

    fn layer(size: u64) -> Descriptor {
        Descriptor::new("application/x".into(), Digest::sha256(&size.to_be_bytes()), size)
    }

    #[test]
    fn document_counts_each_blob_once() {
        let document = manifest(&[layer(5), layer(7), layer(5)]).unwrap();
        assert_eq!(document.distinct_bytes(), 1 + 5 + 7);
    }

    #[test]
    fn document_with_sizes_out_of_range_is_rejected() {
        assert_eq!(manifest(&[layer(MAX_SIZE - 1)]).unwrap().distinct_bytes(), MAX_SIZE);
        // 2,049 of them exceed 64 bits.
        for count in [1, 2_049] {
            let error = manifest(&vec![layer(MAX_SIZE); count]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidDocument);
            assert_eq!(error.reason(), "total size is out of range");
        }
    }
}
