//! A target, and what a run knows about it. Before anything is planned, it is asked what it has of an image.
//!
//! A target whose manifests imply their blobs is asked for names only: if a manifest is there, so are its blobs. Any other target is
//! local, where checking each blob costs no request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::OwnedMutexGuard;

use crate::content::{self, BlobPresence, Effort, Lookup, Presence, Provenance, Source, Target};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{DOCUMENT_LIMIT, Document, ParsedDocument};
use crate::error::{ErrorKind, Result};
use crate::name::ImageName;
use crate::transfer::presence::KnownContent;

/// A target, and what one run knows about it.
pub(super) struct TargetState {
    pub(super) inner: Arc<dyn Target>,
    known: Mutex<KnownContent>,
    /// One lock per document, held while it is put.
    document_locks: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

/// An image that a target will receive.
#[derive(Clone, Copy)]
pub(super) struct IncomingImage<'a> {
    /// Its documents, children before parents.
    pub(super) documents: &'a [Document],
    /// Name of the last document at the target.
    pub(super) name: &'a ImageName,
    pub(super) provenance: &'a Provenance,
    pub(super) source: &'a dyn Source,
}

impl TargetState {
    pub(super) fn new(target: Arc<dyn Target>) -> Self {
        Self { inner: target, known: Mutex::default(), document_locks: Mutex::default() }
    }

    pub(super) fn known(&self) -> MutexGuard<'_, KnownContent> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other task of the run puts this document.
    pub(super) async fn lock_document(&self, digest: &Digest) -> OwnedMutexGuard<()> {
        let lock = {
            let mut putting = self.document_locks.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(putting.entry(digest.clone()).or_default())
        };
        lock.lock_owned().await
    }

    /// Returns the document with this name at the target, if that costs no request. A damaged one counts as missing: it is fetched
    /// again and replaced.
    pub(super) async fn existing(&self, name: &ImageName) -> Result<Option<Document>> {
        let found = match self.inner.name(name, Effort::Local).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            // A digest names the document itself, so only the document can be damaged.
            Err(error) if matches!(name, ImageName::Digest(_)) => {
                tracing::warn!("{}; treating it as missing", error.chain());
                return Ok(None);
            }
            found => found?,
        };
        match found {
            Presence::Present(descriptor) => Ok(self.existing_local(&descriptor).await),
            Presence::Absent | Presence::Unknown => Ok(None),
        }
    }

    /// Returns the document if the target has it. Costs a request only if it is known to be there. If that fails, the caller reads it
    /// at the source.
    pub(super) async fn document(&self, descriptor: &Descriptor) -> Option<Document> {
        if self.known().is_present(&descriptor.digest) {
            return content::fetch_document(&*self.inner, descriptor).await.ok();
        }
        self.existing_local(descriptor).await
    }

    async fn existing_local(&self, descriptor: &Descriptor) -> Option<Document> {
        read_local(&*self.inner, descriptor).await.unwrap_or_else(|error| {
            tracing::warn!("{}; treating it as missing", error.chain());
            None
        })
    }

    /// Returns the bytes of a small blob, if reading them costs no request.
    pub(super) async fn small_blob(&self, descriptor: &Descriptor, limit: u64) -> Option<Bytes> {
        let read = self.inner.read(descriptor, limit, Effort::Local).await;
        read.ok().and_then(Presence::present)
    }

    /// Returns how much of the blob the target has, as far as that is known without a request.
    pub(super) async fn blob(&self, descriptor: &Descriptor) -> Result<BlobPresence> {
        if self.known().is_present(&descriptor.digest) {
            return Ok(BlobPresence::Complete);
        }
        self.inner.blob(descriptor, Effort::Local).await
    }

    /// Returns what is remembered about the name, or else asks the target.
    async fn name(&self, name: &ImageName) -> Result<Presence<Descriptor>> {
        let remembered = self.known().take_name(name);
        match remembered {
            Some(found) => Ok(found),
            None => self.inner.name(name, Effort::Request).await,
        }
    }

    /// Checks whether the name refers to this index already. If so, the documents below it are read at the target: the source may
    /// count requests. Costs one request.
    pub(super) async fn recognize(&self, name: &ImageName, index: &Document) -> Result<()> {
        if !self.inner.properties().manifests_imply_blobs {
            return Ok(());
        }
        let found = self.name(name).await?;
        let mut known = self.known();
        if is_document(&found, index) {
            known.imply(index);
        }
        known.remember_name(name, found);
        Ok(())
    }

    /// Finds out what the target has of the image. Returns whether it has all of it, including the name. Costs one request, and one
    /// more for each document that the name refers to instead.
    ///
    /// A referrer is never complete: only the response to a PUT says whether it is in the list of its subject.
    pub(super) async fn prepare(&self, image: IncomingImage<'_>) -> Result<bool> {
        let Some(named) = image.documents.last() else { return Ok(false) };
        if !self.inner.properties().manifests_imply_blobs {
            return Ok(false);
        }
        let found = self.name(image.name).await?;
        if is_document(&found, named) {
            self.known().imply_all(image.documents);
            return Ok(named.subject().is_none());
        }
        let endpoint = self.inner.endpoint();
        if endpoint.address.as_ref().is_some_and(|own| image.provenance.repositories.contains(own))
        {
            // Only the name is new there. If content has been deleted since, the PUT of the manifest fails.
            self.known().imply_all(image.documents);
        } else if let Presence::Present(current) = found {
            self.imply_from_current(image, &current).await;
        }
        self.note_mount_sources(image);
        Ok(false)
    }

    /// Marks the content of the manifest that the name refers to now, which usually shares blobs with the new one.
    async fn imply_from_current(&self, image: IncomingImage<'_>, current: &Descriptor) {
        let Some(current) = self.current_document(image, current).await else { return };
        self.known().imply(&current);
        let ParsedDocument::Index(index) = current.parsed() else { return };
        for document in image.documents {
            let ParsedDocument::Manifest(_) = document.parsed() else { continue };
            if self.known().is_present(document.digest()) {
                self.known().imply(document);
                continue;
            }
            let platform = &document.descriptor().platform;
            let same = |child: &&Descriptor| platform.is_some() && child.platform == *platform;
            let Some(child) = index.manifests.iter().find(same) else { continue };
            if let Some(current) = self.current_document(image, child).await {
                self.known().imply(&current);
            }
        }
    }

    /// Returns a document of the target, read at the source if it has it locally. `None` if it cannot be read: it implies nothing then.
    async fn current_document(
        &self,
        image: IncomingImage<'_>,
        descriptor: &Descriptor,
    ) -> Option<Document> {
        match read_local(image.source, descriptor).await {
            Ok(Some(document)) => Some(document),
            Ok(None) | Err(_) => content::fetch_document(&*self.inner, descriptor).await.ok(),
        }
    }

    /// Returns the registry that blobs can be mounted within, and this repository's name in it.
    pub(super) fn mount_point(&self) -> Option<(&str, &str)> {
        let endpoint = self.inner.endpoint();
        let (scope, address) = (endpoint.mount_scope.as_deref()?, endpoint.address.as_deref()?);
        Some((scope, address.strip_prefix(scope)?.strip_prefix('/')?))
    }

    /// Notes from which repository of the registry blobs can be mounted. The longer the common path, the more likely the user may
    /// read it.
    fn note_mount_sources(&self, image: IncomingImage<'_>) {
        let Some(scope) = &self.inner.endpoint().mount_scope else { return };
        let prefix = format!("{scope}/");
        let own = self.mount_point().map(|(_, repository)| repository).unwrap_or_default();
        let Provenance { repositories, mount_sources, .. } = image.provenance;
        let others = repositories.iter().chain(mount_sources);
        let others = others.filter_map(|origin| origin.strip_prefix(&prefix));
        let nearest =
            others.filter(|right| *right != own).max_by_key(|right| common_path(right, own));
        if let Some(nearest) = nearest {
            let blobs = image.documents.iter().flat_map(Document::blobs);
            self.known().add_mount_source(blobs, nearest);
        }
    }
}

/// Returns the document of this descriptor, if reading it costs no request.
async fn read_local(from: &dyn Lookup, descriptor: &Descriptor) -> Result<Option<Document>> {
    let read = from.read(descriptor, DOCUMENT_LIMIT, Effort::Local).await?;
    read.present().map(|bytes| Document::from_descriptor(bytes, descriptor)).transpose()
}

fn is_document(found: &Presence<Descriptor>, document: &Document) -> bool {
    matches!(found, Presence::Present(found) if found.digest == *document.digest())
}

/// Returns the number of leading path elements that two repository names share.
fn common_path(left: &str, right: &str) -> usize {
    left.split('/').zip(right.split('/')).take_while(|(left, right)| left == right).count()
}
