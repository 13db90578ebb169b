//! Source and target in memory: what the engine promises must not depend on disks or networks.

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream;
use rpull::content::{
    BlobPresence, BlobStream, BlobWriter, ByteStream, Label, Opened, Presence, Source, Target,
};
use rpull::descriptor::Descriptor;
use rpull::digest::Digest;
use rpull::document::Document;
use rpull::error::{Error, ErrorKind, Result};
use rpull::media::MediaType;
use rpull::name::ImageName;
use rpull::verifier::Verified;
use tokio::sync::OwnedMutexGuard;

use super::images::{Image, Piece};

/// Content by digest and documents by name; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Shelf>);

#[derive(Default)]
struct Shelf {
    blobs: Mutex<HashMap<Digest, Bytes>>,
    names: Mutex<HashMap<ImageName, Descriptor>>,
    /// Whoever writes a blob holds its lock; the bytes are what has arrived of it.
    partials: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<BytesMut>>>>,
}

impl Memory {
    /// Holds an image under a name.
    pub(crate) fn with(self, name: ImageName, image: &Image) -> Self {
        image.blobs().chain([&image.manifest]).for_each(|piece| self.keep(piece));
        self.0.names.lock().unwrap().insert(name, image.manifest.descriptor.clone());
        self
    }

    fn keep(&self, piece: &Piece) {
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

impl Source for Memory {
    fn resolve<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        Box::pin(ready(self.named(name)))
    }

    fn document<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<Document>> {
        Box::pin(ready(self.described(descriptor)))
    }

    fn head<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        Box::pin(ready(Ok(self.named(name).ok().map(|document| document.descriptor().clone()))))
    }

    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        from: u64,
    ) -> BoxFuture<'a, Result<BlobStream>> {
        let found = descriptor.digest.algorithm().and_then(|_| self.bytes(&descriptor.digest));
        let body = found.map(|bytes| {
            let rest = bytes.slice(usize::try_from(from).unwrap()..);
            let pieces: Vec<_> = rest.chunks(1000).map(|piece| Ok(rest.slice_ref(piece))).collect();
            BlobStream { start: from, stream: Box::pin(stream::iter(pieces)) }
        });
        Box::pin(ready(body))
    }

    fn stat<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<Descriptor>> {
        let describe = |bytes: Bytes| {
            Descriptor::new(MediaType::from("x/y"), digest.clone(), bytes.len() as u64)
        };
        Box::pin(ready(self.bytes(digest).map(describe)))
    }

    fn location(&self) -> String {
        "memory".to_owned()
    }
}

impl Target for Memory {
    fn held<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Option<Document>>> {
        Box::pin(ready(Ok(self.named(name).ok())))
    }

    fn stored<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<Option<Document>>> {
        Box::pin(ready(Ok(self.described(descriptor).ok())))
    }

    fn stored_blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _: u64,
    ) -> BoxFuture<'a, Result<Option<Bytes>>> {
        Box::pin(ready(Ok(self.bytes(&descriptor.digest).ok())))
    }

    fn holds<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<BlobPresence>> {
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

    fn announce<'a>(&'a self, _: &'a [Digest]) -> BoxFuture<'a, Result<()>> {
        Box::pin(ready(Ok(())))
    }

    fn admit<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async move {
            let partial = self.partial(&descriptor.digest).lock_owned().await;
            if self.has(descriptor) {
                return Ok(Opened::Exists);
            }
            let writing =
                Writing { shelf: self.clone(), digest: descriptor.digest.clone(), partial };
            Ok(Opened::Writer(Box::new(writing)))
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

    fn place(&self) -> String {
        "memory".to_owned()
    }
}

struct Writing {
    shelf: Memory,
    digest: Digest,
    partial: OwnedMutexGuard<BytesMut>,
}

impl BlobWriter for Writing {
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
            self.shelf.0.blobs.lock().unwrap().insert(self.digest.clone(), bytes);
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Mismatch, "blob").with_reason("of another"))
        };
        Box::pin(ready(committed))
    }
}
