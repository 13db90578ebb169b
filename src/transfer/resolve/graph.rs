//! The documents of one image, children before parents, its blobs, and its attached artifacts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::content::Provenance;
use crate::descriptor::{Descriptor, MAX_SIZE};
use crate::digest::Digest;
use crate::document::{Document, ParsedDocument};
use crate::error::{Error, ErrorKind, Result};
use crate::name::ImageName;
use crate::platform::Platform;
use crate::transfer::request::{ArtifactOptions, ImageRequest};
use crate::transfer::resolve::filter_index;

/// A resolved name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ResolvedImage {
    /// The document that the name refers to.
    pub root: Document,
    /// The manifest of the requested platform; the root itself if it is a manifest, or no platform was requested.
    pub manifest: Document,
}

/// Documents, blobs and attached artifacts of one image.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ImageGraph {
    /// The document that the name refers to: the index, if there is one or the target keeps the one that was selected from.
    pub root: Descriptor,
    /// Digest of the document that the name refers to at the source.
    pub resolved: Digest,
    /// Documents to store, children before parents; the last one gets the name.
    pub documents: Vec<Document>,
    /// Manifests among them, with the platform in the index or, after the commit, in the config.
    pub manifests: Vec<(Descriptor, Option<Platform>)>,
    /// Configs, layers and other content of indexes, each once, in the order of the documents.
    pub blobs: Vec<Descriptor>,
    /// Referrers and digest tags, stored before the image.
    pub attached: Vec<AttachedArtifact>,
    /// Why some attached artifacts were not found or omitted; the image itself is complete.
    pub artifact_error: Option<Arc<Error>>,
    /// Which artifacts were requested.
    pub artifacts: ArtifactOptions,
    /// Name of the last document at the target.
    pub name: ImageName,
    /// Where that document came from.
    pub provenance: Provenance,
    /// Whether the target had all of it before the run, including the name.
    pub complete: bool,
}

/// A referrer or digest tag of an image.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AttachedArtifact {
    /// Its documents, children before parents.
    pub documents: Vec<Document>,
    /// Its name at the target.
    pub name: ImageName,
    /// Where it came from.
    pub provenance: Provenance,
    /// Whether it is a referrer, and not a digest tag.
    pub is_referrer: bool,
    /// Whether the target had it before the run, including the name.
    pub complete: bool,
}

impl ImageGraph {
    /// Returns all documents, including those of attached artifacts.
    pub fn all_documents(&self) -> impl Iterator<Item = &Document> {
        self.documents.iter().chain(self.attached.iter().flat_map(|artifact| &artifact.documents))
    }

    /// Returns the document that gets the name.
    pub fn root_document(&self) -> Option<&Document> {
        self.documents.last()
    }

    /// Returns the error of this image if one of its blobs cannot be moved. An index entry that is not a manifest may not be a blob
    /// either.
    pub(in crate::transfer) fn blob_error(&self, blob: &Descriptor, error: &Error) -> Error {
        let lists = |document: &Document| {
            matches!(document.parsed(), ParsedDocument::Index(_))
                && document.blobs().any(|listed| listed.digest == blob.digest)
        };
        if error.kind() != ErrorKind::NotFound || !self.all_documents().any(lists) {
            return error.clone_for();
        }
        let kind = &blob.media_type;
        error
            .clone_for()
            .with_reason(format!("listed by its index as {kind}, which is treated as a blob"))
    }

    /// Omits the attached artifacts that need this blob. Returns `false` and changes nothing if the image itself needs it.
    pub(in crate::transfer) fn leave_out(&mut self, blob: &Digest, reason: &Error) -> bool {
        if self.documents.iter().flat_map(Document::blobs).any(|own| own.digest == *blob) {
            return false;
        }
        self.attached.retain(|artifact| !artifact.needs(blob));
        self.artifact_error.get_or_insert_with(|| Arc::new(reason.clone_for()));
        true
    }

    /// Sets the platform of each manifest, in their order.
    pub(in crate::transfer) fn set_platforms(&mut self, platforms: Vec<Option<Platform>>) {
        for ((_, platform), found) in self.manifests.iter_mut().zip(platforms) {
            *platform = found;
        }
    }

    /// Lists the blobs of all documents.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a manifest of an unknown kind.
    pub(super) fn list_blobs(&mut self, request: &ImageRequest) -> Result<()> {
        let mut seen = HashSet::new();
        let mut blobs = Vec::new();
        for document in self.all_documents() {
            let is_index = matches!(document.parsed(), ParsedDocument::Index(_));
            for blob in document
                .blobs()
                .filter(|blob| !is_index || filter_index::is_selected(&request.platforms, blob))
            {
                if is_index && blob.media_type.is_unknown_manifest() {
                    let reason =
                        format!("its index lists a {}, which is unsupported", blob.media_type);
                    return Err(
                        Error::new(ErrorKind::Unsupported, &request.reference).with_reason(reason)
                    );
                }
                if seen.insert(blob.digest.clone()) {
                    blobs.push(blob.clone());
                }
            }
        }
        self.blobs = blobs;
        check_sizes(self)
    }
}

impl AttachedArtifact {
    /// Whether it needs this blob.
    fn needs(&self, blob: &Digest) -> bool {
        self.documents.iter().flat_map(Document::blobs).any(|own| own.digest == *blob)
    }
}

/// Rejects two sizes for one digest: one of them is wrong, and the plan would not know which. Rejects a total beyond [`MAX_SIZE`].
fn check_sizes(graph: &ImageGraph) -> Result<()> {
    let total = graph.blobs.iter().try_fold(0_u64, |sum, blob| sum.checked_add(blob.size));
    if total.is_none_or(|total| total > MAX_SIZE) {
        return Err(Error::new(
            ErrorKind::InvalidDocument,
            format!("manifest {}", graph.root.digest),
        )
        .with_reason("total size is out of range"));
    }
    let sizes: HashMap<&Digest, u64> =
        graph.blobs.iter().map(|blob| (&blob.digest, blob.size)).collect();
    for document in graph.all_documents() {
        let differs =
            |blob: &&Descriptor| sizes.get(&blob.digest).is_some_and(|size| *size != blob.size);
        if let Some(odd) = document.blobs().find(differs) {
            let reason = format!("blob {} has two sizes", odd.digest);
            return Err(Error::new(
                ErrorKind::InvalidDocument,
                format!("manifest {}", document.digest()),
            )
            .with_reason(reason));
        }
    }
    Ok(())
}
