//! Source and target in memory, to test the engine without disks and networks.

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream;
use rpull::content::{
    BlobPresence, BlobRequest, BlobStream, BlobWriter, ByteStream, Effort, Endpoint, Label, Lookup,
    Opened, Presence, Source, Target,
};
use rpull::descriptor::Descriptor;
use rpull::digest::Digest;
use rpull::document::Document;
use rpull::error::{Error, ErrorKind, Result};
use rpull::media::MediaType;
use rpull::name::ImageName;
use rpull::verifier::{Verified, verify};
use tokio::sync::OwnedMutexGuard;

use super::images::{Blob, Image};

/// Content by digest and documents by name; clones share the content.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<MemoryContent>);

struct MemoryContent {
    endpoint: Endpoint,
    blobs: Mutex<HashMap<Digest, Bytes>>,
    names: Mutex<HashMap<ImageName, Descriptor>>,
    /// Received bytes of each blob; its writer holds the lock.
    partials: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<BytesMut>>>>,
}

impl Default for MemoryContent {
    fn default() -> Self {
        Self {
            endpoint: Endpoint { location: "memory".to_owned(), ..Endpoint::default() },
            blobs: Mutex::default(),
            names: Mutex::default(),
            partials: Mutex::default(),
        }
    }
}

/// Implements [`Lookup`] for what wraps a [`Memory`] `inner` and has an `endpoint` of its own.
macro_rules! look_through {
    ($outer:ty) => {
        impl rpull::content::Lookup for $outer {
            fn endpoint(&self) -> &rpull::content::Endpoint {
                &self.endpoint
            }

            fn name<'a>(
                &'a self,
                name: &'a rpull::name::ImageName,
                effort: rpull::content::Effort,
            ) -> futures_util::future::BoxFuture<
                'a,
                rpull::error::Result<rpull::content::Presence<rpull::descriptor::Descriptor>>,
            > {
                self.inner.name(name, effort)
            }

            fn read<'a>(
                &'a self,
                descriptor: &'a rpull::descriptor::Descriptor,
                limit: u64,
                effort: rpull::content::Effort,
            ) -> futures_util::future::BoxFuture<
                'a,
                rpull::error::Result<rpull::content::Presence<bytes::Bytes>>,
            > {
                self.inner.read(descriptor, limit, effort)
            }

            fn blob<'a>(
                &'a self,
                descriptor: &'a rpull::descriptor::Descriptor,
                effort: rpull::content::Effort,
            ) -> futures_util::future::BoxFuture<
                'a,
                rpull::error::Result<rpull::content::BlobPresence>,
            > {
                self.inner.blob(descriptor, effort)
            }
        }
    };
}
pub(crate) use look_through;

impl Memory {
    /// Adds an image under a name.
    pub(crate) fn with(self, name: ImageName, image: &Image) -> Self {
        image.blobs().chain([&image.manifest]).for_each(|piece| self.keep(piece));
        self.0.names.lock().unwrap().insert(name, image.manifest.descriptor.clone());
        self
    }

    fn keep(&self, piece: &Blob) {
        self.0.blobs.lock().unwrap().insert(piece.digest().clone(), piece.bytes.clone());
    }

    fn bytes(&self, digest: &Digest) -> Result<Bytes> {
        let missing = || Error::new(ErrorKind::NotFound, format!("blob {digest}")).at("memory");
        self.0.blobs.lock().unwrap().get(digest).cloned().ok_or_else(missing)
    }

    fn named(&self, name: &ImageName) -> Result<Document> {
        if let ImageName::Digest(digest) = name {
            return Document::from_response(
                self.bytes(digest)?,
                &MediaType::from(""),
                Some(digest),
            );
        }
        let found = self.0.names.lock().unwrap().get(name).cloned();
        self.described(&found.ok_or_else(|| Error::new(ErrorKind::NotFound, name.to_string()))?)
    }

    fn described(&self, descriptor: &Descriptor) -> Result<Document> {
        Document::from_descriptor(self.bytes(&descriptor.digest)?, descriptor)
    }

    fn has(&self, descriptor: &Descriptor) -> bool {
        self.bytes(&descriptor.digest).is_ok_and(|bytes| bytes.len() as u64 == descriptor.size)
    }

    fn partial(&self, digest: &Digest) -> Arc<tokio::sync::Mutex<BytesMut>> {
        Arc::clone(self.0.partials.lock().unwrap().entry(digest.clone()).or_default())
    }
}

impl Lookup for Memory {
    fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    fn name<'a>(
        &'a self,
        name: &'a ImageName,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Descriptor>>> {
        let found = self.named(name).map(|document| document.descriptor().clone());
        Box::pin(ready(Presence::from_result(found)))
    }

    fn read<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _: u64,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Bytes>>> {
        let read = self.bytes(&descriptor.digest).and_then(|bytes| {
            verify(descriptor, &bytes)?;
            Ok(bytes)
        });
        Box::pin(ready(Presence::from_result(read)))
    }

    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _: Effort,
    ) -> BoxFuture<'a, Result<BlobPresence>> {
        Box::pin(async move {
            if self.has(descriptor) {
                return Ok(BlobPresence::Complete);
            }
            match self.partial(&descriptor.digest).lock().await.len() as u64 {
                0 => Ok(BlobPresence::Absent),
                bytes => Ok(BlobPresence::Partial(bytes)),
            }
        })
    }
}

impl Source for Memory {
    fn resolve<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        Box::pin(ready(self.named(name)))
    }

    fn open_blob<'a>(&'a self, request: BlobRequest<'a>) -> BoxFuture<'a, Result<BlobStream>> {
        let descriptor = request.descriptor;
        let found = descriptor.digest.algorithm().and_then(|_| self.bytes(&descriptor.digest));
        let body = found.map(|bytes| {
            let at = |position| usize::try_from(position).unwrap();
            let range = at(request.range.start)..at(request.range.end);
            let rest = bytes.slice(range);
            let pieces: Vec<_> = rest.chunks(1000).map(|piece| Ok(rest.slice_ref(piece))).collect();
            BlobStream { start: request.range.start, stream: Box::pin(stream::iter(pieces)) }
        });
        Box::pin(ready(body))
    }
}

impl Target for Memory {
    fn stored<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<Option<Document>>> {
        Box::pin(ready(Ok(self.described(descriptor).ok())))
    }

    fn holds<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<BlobPresence>> {
        self.blob(descriptor, Effort::Local)
    }

    fn announce<'a>(&'a self, _: &'a [Digest]) -> BoxFuture<'a, Result<()>> {
        Box::pin(ready(Ok(())))
    }

    fn admit<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async move {
            let partial = self.partial(&descriptor.digest).lock_owned().await;
            if self.has(descriptor) {
                return Ok(Opened::Exists);
            }
            let ingest =
                MemoryIngest { memory: self.clone(), digest: descriptor.digest.clone(), partial };
            Ok(Opened::Writer(Box::new(ingest)))
        })
    }

    fn put<'a>(
        &'a self,
        document: &'a Document,
        label: Option<&'a Label>,
    ) -> BoxFuture<'a, Result<()>> {
        let bytes = document.bytes().clone();
        self.0.blobs.lock().unwrap().insert(document.digest().clone(), bytes);
        if let Some(label) = label {
            let named = document.descriptor().clone();
            self.0.names.lock().unwrap().insert(label.name.clone(), named);
        }
        Box::pin(ready(Ok(())))
    }

    fn settle(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(ready(Ok(())))
    }
}

struct MemoryIngest {
    memory: Memory,
    digest: Digest,
    partial: OwnedMutexGuard<BytesMut>,
}

impl BlobWriter for MemoryIngest {
    fn offset(&self) -> u64 {
        self.partial.len() as u64
    }

    fn read_back(&mut self) -> Result<Presence<ByteStream<'_>>> {
        let kept = Bytes::copy_from_slice(&self.partial);
        Ok(Presence::Present(Box::pin(stream::iter([Ok(kept)]))))
    }

    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        self.partial.extend_from_slice(&bytes);
        Box::pin(ready(Ok(())))
    }

    fn truncate(&mut self) -> BoxFuture<'_, Result<()>> {
        self.partial.clear();
        Box::pin(ready(Ok(())))
    }

    fn commit(mut self: Box<Self>, proof: Verified) -> BoxFuture<'static, Result<()>> {
        let bytes = self.partial.split().freeze();
        let committed = if proof.descriptor().digest == self.digest {
            self.memory.0.blobs.lock().unwrap().insert(self.digest.clone(), bytes);
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Mismatch, "blob").with_reason("of another"))
        };
        Box::pin(ready(committed))
    }
}
