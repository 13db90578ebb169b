//! Source and target in memory, to test the engine without disks and networks.
//!
//! The smallest complete backend. It takes blobs in any order, from several runs at once, and refuses manifests whose
//! content it lacks.

use std::collections::HashMap;
use std::future::ready;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream;
use rpull::content::{
    BlobPresence, BlobRequest, BlobStream, BlobWriter, ByteStream, Effort, Endpoint, Lookup,
    OpenBlob, Opened, Presence, Role, Source, Target, TargetPlan, TargetProperties, TargetWriter,
    missing_content,
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

    /// Loses a blob.
    pub(crate) fn lose(&self, digest: &Digest) {
        self.0.blobs.lock().unwrap().remove(digest);
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
    fn properties(&self) -> TargetProperties {
        TargetProperties::default()
    }

    fn begin<'a>(&'a self, _: &'a TargetPlan<'a>) -> BoxFuture<'a, Result<Arc<dyn TargetWriter>>> {
        let writer = MemoryWriter { memory: self.clone(), is_finished: AtomicBool::new(false) };
        Box::pin(ready(Ok(Arc::new(writer) as Arc<dyn TargetWriter>)))
    }
}

struct MemoryWriter {
    memory: Memory,
    is_finished: AtomicBool,
}

impl MemoryWriter {
    fn check_open(&self) -> Result<()> {
        if self.is_finished.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Unsupported, "write").with_reason("is finished"));
        }
        Ok(())
    }

    fn put(&self, document: &Document, role: Role<'_>) -> Result<()> {
        self.check_open()?;
        let missing = missing_content(document, |content| Ok(self.memory.has(content)))?;
        if !missing.is_empty() {
            return Err(Error::new(ErrorKind::MissingBlobs, "manifest").with_missing(missing));
        }
        let bytes = document.bytes().clone();
        self.memory.0.blobs.lock().unwrap().insert(document.digest().clone(), bytes);
        if let Role::Root { names, .. } | Role::Attached { names, .. } = role {
            let mut named = self.memory.0.names.lock().unwrap();
            for name in names {
                named.insert(name.clone(), document.descriptor().clone());
            }
        }
        Ok(())
    }
}

impl TargetWriter for MemoryWriter {
    fn open_blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _: &'a OpenBlob,
    ) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async move {
            self.check_open()?;
            let partial = self.memory.partial(&descriptor.digest).lock_owned().await;
            if self.memory.has(descriptor) {
                return Ok(Opened::Exists);
            }
            let (memory, digest) = (self.memory.clone(), descriptor.digest.clone());
            Ok(Opened::Writer(Box::new(MemoryBlobWriter { memory, digest, partial })))
        })
    }

    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        role: Role<'a>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.put(document, role) })
    }

    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.check_open()?;
            self.is_finished.store(true, Ordering::Release);
            Ok(())
        })
    }
}

struct MemoryBlobWriter {
    memory: Memory,
    digest: Digest,
    partial: OwnedMutexGuard<BytesMut>,
}

impl BlobWriter for MemoryBlobWriter {
    fn offset(&self) -> u64 {
        self.partial.len() as u64
    }

    fn read_back(&mut self) -> Result<Presence<ByteStream<'_>>> {
        let kept = Bytes::copy_from_slice(&self.partial);
        Ok(Presence::Present(Box::pin(stream::iter([Ok(kept)]))))
    }

    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.partial.extend_from_slice(&bytes);
            Ok(())
        })
    }

    fn truncate(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.partial.clear();
            Ok(())
        })
    }

    fn commit(mut self: Box<Self>, proof: Verified) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let proven = proof.descriptor();
            if proven.digest != self.digest || proven.size != self.offset() {
                return Err(Error::new(ErrorKind::Mismatch, "blob").with_reason("of another"));
            }
            let bytes = self.partial.split().freeze();
            self.memory.0.blobs.lock().unwrap().insert(self.digest.clone(), bytes);
            Ok(())
        })
    }
}
