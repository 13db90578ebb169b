//! A run of writing to memory, and one blob of it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use tokio::sync::OwnedMutexGuard;

use super::content::{LOCATION, Partial, SharedContent, texts};
use crate::content::{
    BlobWriter, ByteStream, FinishGuard, OpenBlobOptions, Opened, Presence, Provenance, Role,
    TargetWriter,
};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::verifier::Verified;

pub(super) struct MemoryWriter {
    content: SharedContent,
    /// Takes manifests whose content is missing.
    is_sparse: bool,
    finished: FinishGuard,
}

impl MemoryWriter {
    pub(super) fn new(content: SharedContent, is_sparse: bool) -> Self {
        Self { content, is_sparse, finished: FinishGuard::default() }
    }

    fn put(&self, document: &Document, role: Role<'_>) -> Result<()> {
        self.finished.check(LOCATION)?;
        let mut content = self.content.lock();
        if !self.is_sparse {
            content.check(document)?;
        }
        match role {
            // One that is here as an image stays one.
            Role::Child if content.documents.contains_key(document.digest()) => {}
            Role::Child => content.insert(document, &Provenance::default(), &[]),
            Role::Root { names, provenance } => {
                content.insert(document, provenance, &texts(names)?);
            }
            Role::Attached { names, provenance } => {
                let mut names = texts(names)?;
                // Who asked for an image by this name must not lose it with what it refers to.
                names.retain(|name| !content.names.contains_key(name));
                content.insert(document, provenance, &names);
            }
        }
        Ok(())
    }
}

impl TargetWriter for MemoryWriter {
    fn open_blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _: &'a OpenBlobOptions,
    ) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async move {
            self.finished.check(LOCATION)?;
            let partial = self.content.lock().partial(&descriptor.digest);
            let turn = Arc::clone(&partial.turn).lock_owned().await;
            // After the wait: the other writer may have committed it.
            if self.content.lock().has(descriptor) {
                return Ok(Opened::Exists);
            }
            if partial.length() > descriptor.size {
                partial.bytes().clear();
            }
            let (content, digest) = (self.content.clone(), descriptor.digest.clone());
            let writer = MemoryBlobWriter { content, digest, partial, _turn: turn };
            Ok(Opened::Writer(Box::new(writer)))
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
        Box::pin(async { self.finished.finish(LOCATION) })
    }
}

struct MemoryBlobWriter {
    content: SharedContent,
    digest: Digest,
    partial: Arc<Partial>,
    _turn: OwnedMutexGuard<()>,
}

impl BlobWriter for MemoryBlobWriter {
    fn offset(&self) -> u64 {
        self.partial.length()
    }

    fn read_back(&mut self) -> Result<Presence<ByteStream<'_>>> {
        let kept = Bytes::copy_from_slice(&self.partial.bytes());
        Ok(Presence::Present(Box::pin(stream::iter([Ok(kept)]))))
    }

    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.partial.bytes().extend_from_slice(&bytes);
            Ok(())
        })
    }

    fn truncate(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.partial.bytes().clear();
            Ok(())
        })
    }

    fn commit(self: Box<Self>, proof: Verified) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let verified = proof.descriptor();
            if verified.digest != self.digest || verified.size != self.offset() {
                return Err(Error::new(ErrorKind::Mismatch, format!("blob {}", self.digest))
                    .at(LOCATION)
                    .with_reason("internal error: written bytes differ from verified bytes"));
            }
            let mut bytes = std::mem::take(&mut *self.partial.bytes());
            // It grew by doubling, and may stay for long.
            bytes.shrink_to_fit();
            let mut content = self.content.lock();
            content.blobs.insert(self.digest.clone(), bytes.into());
            content.partials.remove(&self.digest);
            Ok(())
        })
    }

    fn abort(self: Box<Self>, _: &Error) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.partial.bytes().clear() })
    }
}
