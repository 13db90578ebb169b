//! Blobs on their way into one file, each at a place of its own, so that several can arrive at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use tokio::sync::OwnedMutexGuard;

use super::sink::ArchiveSink;
use super::tarball::BLOCK;
use crate::content::{BlobPresence, BlobWriter, ByteStream, Opened, Presence};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::BUFFER_SIZE;
use crate::verifier::{Verified, verify};

/// The places in a file, and what is in them.
pub(super) struct BlobArea {
    pub(super) sink: Arc<ArchiveSink>,
    slots: Mutex<BlobAreaState>,
}

#[derive(Default)]
struct BlobAreaState {
    end: u64,
    of: HashMap<Digest, Arc<BlobSlot>>,
}

/// A place.
pub(super) struct BlobSlot {
    /// What stands before the bytes.
    header: Bytes,
    /// Where the bytes begin.
    start: u64,
    pub(super) size: u64,
    kept: AtomicU64,
    whole: AtomicBool,
    writer: Arc<tokio::sync::Mutex<()>>,
}

impl BlobSlot {
    /// Whether all of it is there, verified.
    pub(super) fn is_complete(&self) -> bool {
        self.whole.load(Ordering::Acquire)
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }
}

impl BlobArea {
    pub(super) fn new(sink: Arc<ArchiveSink>) -> Self {
        Self { sink, slots: Mutex::default() }
    }

    fn slots(&self) -> MutexGuard<'_, BlobAreaState> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the last place ends.
    pub(super) fn end(&self) -> u64 {
        self.slots().end
    }

    /// The place of this blob, where it has one.
    pub(super) fn slot(&self, digest: &Digest) -> Option<Arc<BlobSlot>> {
        self.slots().of.get(digest).cloned()
    }

    /// The place of this blob, behind all others where it has none yet.
    pub(super) fn reserve(
        &self,
        digest: &Digest,
        size: u64,
        header: Vec<u8>,
    ) -> Result<Arc<BlobSlot>> {
        let mut slots = self.slots();
        if let Some(slot) = slots.of.get(digest) {
            if slot.size == size {
                return Ok(Arc::clone(slot));
            }
            return Err(Error::new(ErrorKind::InvalidDocument, format!("blob {digest}"))
                .with_reason("has two sizes"));
        }
        let start = slots.end + header.len() as u64;
        let end = start.checked_add(size).and_then(|end| end.checked_next_multiple_of(BLOCK));
        slots.end = end.ok_or_else(|| {
            Error::new(ErrorKind::InvalidDocument, format!("blob {digest}"))
                .with_reason("size is out of range")
        })?;
        let slot = Arc::new(BlobSlot {
            header: header.into(),
            start,
            size,
            kept: AtomicU64::new(0),
            whole: AtomicBool::new(false),
            writer: Arc::default(),
        });
        slots.of.insert(digest.clone(), Arc::clone(&slot));
        Ok(slot)
    }

    /// How much of the blob is there.
    pub(super) fn holds(&self, descriptor: &Descriptor) -> BlobPresence {
        match self.slot(&descriptor.digest) {
            Some(slot) if slot.is_complete() => BlobPresence::Complete,
            Some(slot) => match slot.kept.load(Ordering::Acquire) {
                0 => BlobPresence::Absent,
                bytes => BlobPresence::Partial(bytes),
            },
            None => BlobPresence::Absent,
        }
    }

    /// Opens the slot of the blob for writing. Waits while another task writes to it.
    pub(super) async fn open(&self, descriptor: &Descriptor, header: Vec<u8>) -> Result<Opened> {
        let slot = self.reserve(&descriptor.digest, descriptor.size, header)?;
        let guard = Arc::clone(&slot.writer).lock_owned().await;
        if slot.is_complete() {
            return Ok(Opened::Exists);
        }
        let writing = SlotWriter {
            sink: Arc::clone(&self.sink),
            digest: descriptor.digest.clone(),
            slot,
            _guard: guard,
        };
        Ok(Opened::Writer(Box::new(writing)))
    }

    /// Puts bytes that are at hand into their place.
    pub(super) async fn place(
        &self,
        descriptor: &Descriptor,
        bytes: &Bytes,
        header: Vec<u8>,
    ) -> Result<()> {
        if let Opened::Writer(mut writer) = self.open(descriptor, header).await? {
            let proof = verify(descriptor, bytes)?;
            writer.truncate().await?;
            writer.write(bytes.clone()).await?;
            writer.commit(proof).await?;
        }
        Ok(())
    }

    /// The bytes of a small blob, verified; `None` where they are not there or cannot be read.
    pub(super) fn read(&self, descriptor: &Descriptor, limit: u64) -> Option<Bytes> {
        let slot = self
            .slot(&descriptor.digest)
            .filter(|slot| slot.is_complete() && slot.size <= limit)?;
        let mut bytes = vec![0; usize::try_from(slot.size).ok()?];
        let mut read = 0;
        while read < bytes.len() {
            match self.sink.read_at(bytes.get_mut(read..)?, slot.start + read as u64) {
                Ok(0) | Err(_) => return None,
                Ok(more) => read += more,
            }
        }
        verify(descriptor, &bytes).ok()?;
        Some(bytes.into())
    }
}

struct SlotWriter {
    sink: Arc<ArchiveSink>,
    digest: Digest,
    slot: Arc<BlobSlot>,
    _guard: OwnedMutexGuard<()>,
}

impl SlotWriter {
    fn mismatch(&self, reason: &str) -> Error {
        Error::new(ErrorKind::Mismatch, format!("blob {}", self.digest)).with_reason(reason)
    }

    async fn begin(&self) -> Result<()> {
        let header = &self.slot.header;
        if header.is_empty() {
            return Ok(());
        }
        self.sink.write(header.clone(), self.slot.start - header.len() as u64).await
    }
}

impl BlobWriter for SlotWriter {
    fn offset(&self) -> u64 {
        self.slot.kept.load(Ordering::Acquire)
    }

    fn read_back(&mut self) -> Result<Presence<ByteStream<'_>>> {
        if !self.sink.is_readable() {
            return Ok(Presence::Unknown);
        }
        let range = self.slot.start..self.slot.start + self.offset();
        let sink = Arc::clone(&self.sink);
        Ok(Presence::Present(Box::pin(stream::try_unfold(
            (sink, range),
            |(sink, mut range)| async move {
                let most = (range.end - range.start).min(BUFFER_SIZE as u64);
                let mut piece = vec![0; usize::try_from(most).unwrap_or_default()];
                let read = sink.read_at(&mut piece, range.start)?;
                piece.truncate(read);
                range.start += read as u64;
                Ok((read > 0).then(|| (Bytes::from(piece), (sink, range))))
            },
        ))))
    }

    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let kept = self.offset();
            if bytes.is_empty() {
                return Ok(());
            }
            let length = bytes.len() as u64;
            if self.slot.size - kept.min(self.slot.size) < length {
                // The place behind it belongs to another blob.
                return Err(self.mismatch("is longer than its descriptor says"));
            }
            if kept == 0 {
                self.begin().await?;
            }
            self.sink.write(bytes, self.slot.start + kept).await?;
            self.slot.kept.fetch_add(length, Ordering::AcqRel);
            Ok(())
        })
    }

    /// A pipe cannot take bytes back: the next write to it fails, because it is out of order.
    fn truncate(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.slot.kept.store(0, Ordering::Release);
            Ok(())
        })
    }

    fn commit(self: Box<Self>, proof: Verified) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let written = Descriptor {
                digest: self.digest.clone(),
                size: self.offset(),
                ..proof.descriptor().clone()
            };
            if proof.descriptor() != &written {
                return Err(
                    self.mismatch("internal error: written bytes differ from verified bytes")
                );
            }
            if written.size == 0 {
                self.begin().await?;
            }
            self.slot.whole.store(true, Ordering::Release);
            Ok(())
        })
    }
}
