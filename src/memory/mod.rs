//! Content in memory: a source and a target for tests, for artifacts that are made from bytes, and for images that are
//! looked at and not kept.
//!
//! ```
//! # async fn example() -> rpull::error::Result<()> {
//! use rpull::content::{Effort, Lookup as _};
//! use rpull::memory::Memory;
//!
//! let memory = Memory::default();
//! let blob = memory.insert_blob("text/plain".into(), "some bytes");
//! assert!(memory.bytes(&blob.digest).is_some());
//! assert_eq!(memory.read(&blob, 100, Effort::Local).await?.present(), memory.bytes(&blob.digest));
//! # Ok(())
//! # }
//! ```
//!
//! It is the smallest complete backend. Blobs are taken in any order, from several runs at once, and a writer that was
//! dropped leaves its bytes to the next one. Manifests are refused while content that they name is missing, unless the plan
//! is sparse.

mod content;
mod writer;

use std::fmt;
use std::future::ready;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;

use self::content::{LOCATION, SharedContent, not_found, texts};
use self::writer::MemoryWriter;
use crate::content::{
    BlobPresence, BlobRequest, BlobStream, Effort, Endpoint, EndpointKind, Lookup, Presence,
    Provenance, Source, Target, TargetPlan, TargetProperties, TargetWriter, over_limit,
};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::Result;
use crate::limits::BUFFER_SIZE;
use crate::media::MediaType;
use crate::name::ImageName;
use crate::verifier::verify;

/// Blobs and manifests by digest, and names. Clones share all of it, and are the same endpoint.
#[derive(Clone)]
pub struct Memory {
    endpoint: Arc<Endpoint>,
    content: SharedContent,
}

impl Default for Memory {
    fn default() -> Self {
        Self::at(LOCATION.to_owned())
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = self.content.lock();
        let counts = (content.documents.len(), content.blobs.len());
        f.debug_struct("Memory")
            .field("documents", &counts.0)
            .field("blobs", &counts.1)
            .finish_non_exhaustive()
    }
}

impl Memory {
    /// Creates an empty one, which reports call `location`.
    pub(crate) fn at(location: String) -> Self {
        let endpoint = Endpoint { location, kind: EndpointKind::Memory, ..Endpoint::default() };
        Self { endpoint: Arc::new(endpoint), content: SharedContent::default() }
    }

    /// Stores a blob.
    pub fn insert_blob(&self, media_type: MediaType, bytes: impl Into<Bytes>) -> Descriptor {
        let bytes = bytes.into();
        let descriptor = Descriptor::for_bytes(media_type, &bytes);
        self.content.lock().blobs.insert(descriptor.digest.clone(), bytes);
        descriptor
    }

    /// Stores a manifest or index and gives it these names, taken from whatever had them. Without a name it is known by its
    /// digest, and as [`ImageName::Only`] while nothing else is here.
    ///
    /// # Errors
    /// [`MissingBlobs`] if content that it names is missing, [`InvalidInput`] if one of the names is [`ImageName::Only`].
    ///
    /// [`MissingBlobs`]: crate::error::ErrorKind::MissingBlobs
    /// [`InvalidInput`]: crate::error::ErrorKind::InvalidInput
    pub fn insert_document(&self, document: &Document, names: &[ImageName]) -> Result<()> {
        let mut content = self.content.lock();
        content.check(document)?;
        content.insert(document, &Provenance::default(), &texts(names)?);
        Ok(())
    }

    /// As [`Memory::insert_document`], for one whose blobs are elsewhere.
    pub(crate) fn insert_document_alone(&self, document: &Document) {
        self.content.lock().insert(document, &Provenance::default(), &[]);
    }

    /// The bytes of a blob, manifest or index. They had this digest when they were stored.
    pub fn bytes(&self, digest: &Digest) -> Option<Bytes> {
        self.content.lock().bytes(digest)
    }

    /// A manifest or index.
    pub fn document(&self, digest: &Digest) -> Option<Document> {
        self.content.lock().documents.get(digest).map(|(document, _)| document.clone())
    }

    /// Removes a blob, manifest or index, with the names that stand for it. Manifests that name it stay.
    pub fn remove(&self, digest: &Digest) {
        let mut content = self.content.lock();
        content.blobs.remove(digest);
        content.documents.remove(digest);
        content.names.retain(|_, named| named != digest);
    }
}

// Everything is here, so that both efforts have the same answer and nothing is unknown.
impl Lookup for Memory {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn name<'a>(
        &'a self,
        name: &'a ImageName,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Descriptor>>> {
        let found = self.content.lock().resolve(name).map(|document| document.descriptor().clone());
        Box::pin(ready(Presence::from_result(found)))
    }

    fn read<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        limit: u64,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Bytes>>> {
        Box::pin(async move {
            let Some(bytes) = self.bytes(&descriptor.digest) else { return Ok(Presence::Absent) };
            if bytes.len() as u64 > limit {
                return Err(over_limit(&descriptor.digest, limit).at(LOCATION));
            }
            verify(descriptor, &bytes).map_err(|error| error.at(LOCATION))?;
            Ok(Presence::Present(bytes))
        })
    }

    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _: Effort,
    ) -> BoxFuture<'a, Result<BlobPresence>> {
        let content = self.content.lock();
        let partial = || content.partials.get(&descriptor.digest).map(|partial| partial.length());
        let presence = if content.has(descriptor) {
            BlobPresence::Complete
        } else {
            match partial() {
                Some(bytes) if bytes > 0 && bytes <= descriptor.size => {
                    BlobPresence::Partial(bytes)
                }
                _ => BlobPresence::Absent,
            }
        };
        Box::pin(ready(Ok(presence)))
    }
}

impl Source for Memory {
    fn resolve<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        Box::pin(ready(self.content.lock().resolve(name)))
    }

    fn open_blob<'a>(&'a self, request: BlobRequest<'a>) -> BoxFuture<'a, Result<BlobStream>> {
        Box::pin(async move {
            let digest = &request.descriptor.digest;
            digest.algorithm()?;
            let mut bytes =
                self.bytes(digest).ok_or_else(|| not_found(format!("blob {digest}")))?;
            let within = |position: u64| {
                usize::try_from(position).map_or(bytes.len(), |at| at.min(bytes.len()))
            };
            let range = request.range_to_read();
            bytes = bytes.slice(within(range.start)..within(range.end));
            let next = |mut rest: Bytes| async move {
                let buffer = rest.split_to(rest.len().min(BUFFER_SIZE));
                Ok((!buffer.is_empty()).then_some((buffer, rest)))
            };
            let stream = Box::pin(stream::try_unfold(bytes, next));
            Ok(BlobStream::new(request.range.start, stream))
        })
    }

    fn referrers<'a>(
        &'a self,
        subject: &'a Digest,
    ) -> BoxFuture<'a, Result<Presence<Vec<Descriptor>>>> {
        let content = self.content.lock();
        let refers = |document: &Document| {
            document.subject().is_some_and(|subject_of| subject_of.digest == *subject)
        };
        let documents = content.documents.values().map(|(document, _)| document);
        let referrers = documents.filter(|document| refers(document)).map(Document::as_referrer);
        Box::pin(ready(Ok(Presence::Present(referrers.collect()))))
    }

    fn provenance<'a>(&'a self, document: &'a Document) -> BoxFuture<'a, Provenance> {
        let content = self.content.lock();
        let found = content.documents.get(document.digest());
        Box::pin(ready(found.map(|(_, provenance)| provenance.clone()).unwrap_or_default()))
    }
}

impl Target for Memory {
    fn properties(&self) -> TargetProperties {
        TargetProperties::default()
    }

    fn begin<'a>(
        &'a self,
        plan: &'a TargetPlan<'a>,
    ) -> BoxFuture<'a, Result<Arc<dyn TargetWriter>>> {
        let writer: Arc<dyn TargetWriter> =
            Arc::new(MemoryWriter::new(self.content.clone(), plan.sparse));
        Box::pin(ready(Ok(writer)))
    }
}
