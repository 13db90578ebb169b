//! Everything that belongs to one image: its documents, children before parents, its blobs, and what refers to it.

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

/// A root document, and the manifest in it that was asked for.
#[derive(Clone, Debug)]
pub struct ResolvedImage {
    /// What the name resolved to.
    pub root: Document,
    /// The manifest of the platform; the root itself where it is a manifest or no platform was asked for.
    pub manifest: Document,
}

/// Everything that belongs to one image.
#[derive(Clone, Debug)]
pub struct ImageGraph {
    /// What the name stands for: the index, where it is one or the target remembers the one that was chosen from.
    pub root: Descriptor,
    /// Documents to store, children before parents; the last one gets the name.
    pub documents: Vec<Document>,
    /// Manifests among them, with the platform that the index gives each.
    pub manifests: Vec<(Descriptor, Option<Platform>)>,
    /// Configs, layers and what indexes list that is no manifest, each once, in the order they are listed.
    pub blobs: Vec<Descriptor>,
    /// Referrers and digest tags, stored before the image.
    pub attached: Vec<AttachedArtifact>,
    /// Why some attached artifacts were not found or left out; the image itself is whole.
    pub artifact_error: Option<Arc<Error>>,
    /// Which artifacts were looked for.
    pub artifacts: ArtifactOptions,
    /// What the last document is to be called at the target.
    pub name: ImageName,
    /// Where that document is known to be from.
    pub provenance: Provenance,
    /// Whether the target had all of it before the run, the name included.
    pub complete: bool,
}

/// One thing that belongs to an image.
#[derive(Clone, Debug)]
pub struct AttachedArtifact {
    /// Children before parents.
    pub documents: Vec<Document>,
    /// What it is called.
    pub name: ImageName,
    /// Where it is known to be from.
    pub provenance: Provenance,
    /// Whether it was found by what it refers to.
    pub is_referrer: bool,
    /// Whether the target had it before the run, the name included.
    pub complete: bool,
}

impl ImageGraph {
    /// All documents, those of the attached artifacts included.
    pub fn all_documents(&self) -> impl Iterator<Item = &Document> {
        self.documents.iter().chain(self.attached.iter().flat_map(|artifact| &artifact.documents))
    }

    /// The document that gets the name.
    pub fn root_document(&self) -> Option<&Document> {
        self.documents.last()
    }

    /// The error of this image if one of its blobs cannot be moved. What an index lists and is no manifest may be no blob either.
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

    /// Leaves out the attached artifacts that need this blob. `false` if the image itself needs it: nothing changes then.
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
    /// [`ErrorKind::Unsupported`] for one that is a manifest of a kind that is not known.
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

/// Two manifests must not give one digest two sizes: one of them lies, and the plan would not know which. Nor may all of
/// them together be more than can be counted.
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
