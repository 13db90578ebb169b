//! Blobs that are written into one file, each in a slot of its own, so that several can be written concurrently.

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

/// The slots in a file, and their state.
pub(super) struct BlobArea {
    pub(super) sink: Arc<ArchiveSink>,
    slots: Mutex<BlobAreaState>,
}

#[derive(Default)]
struct BlobAreaState {
    end: u64,
    of: HashMap<Digest, Arc<BlobSlot>>,
}

/// The slot of one blob.
pub(super) struct BlobSlot {
    /// The tar header before the bytes.
    header: Bytes,
    /// Offset of the first byte.
    start: u64,
    pub(super) size: u64,
    written: AtomicU64,
    whole: AtomicBool,
    writer: Arc<tokio::sync::Mutex<()>>,
}

impl BlobSlot {
    /// Whether the blob is complete and verified.
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

    /// End of the last slot.
    pub(super) fn end(&self) -> u64 {
        self.slots().end
    }

    /// The slot of this blob, if it has one.
    pub(super) fn slot(&self, digest: &Digest) -> Option<Arc<BlobSlot>> {
        self.slots().of.get(digest).cloned()
    }

    /// The slot of this blob; a new one after all others if it has none.
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
            written: AtomicU64::new(0),
            whole: AtomicBool::new(false),
            writer: Arc::default(),
        });
        slots.of.insert(digest.clone(), Arc::clone(&slot));
        Ok(slot)
    }

    /// How much of the blob is written.
    pub(super) fn presence(&self, descriptor: &Descriptor) -> BlobPresence {
        match self.slot(&descriptor.digest) {
            Some(slot) if slot.is_complete() => BlobPresence::Complete,
            Some(slot) => match slot.written.load(Ordering::Acquire) {
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

    /// Writes bytes that are in memory into their slot.
    pub(super) async fn fill(
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

    /// The bytes of a small blob, verified; `None` if they are incomplete or cannot be read.
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
        self.slot.written.load(Ordering::Acquire)
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
                let mut buf = vec![0; usize::try_from(most).unwrap_or_default()];
                let read = sink.read_at(&mut buf, range.start)?;
                buf.truncate(read);
                range.start += read as u64;
                Ok((read > 0).then(|| (Bytes::from(buf), (sink, range))))
            },
        ))))
    }

    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let written = self.offset();
            if bytes.is_empty() {
                return Ok(());
            }
            let length = bytes.len() as u64;
            if self.slot.size - written.min(self.slot.size) < length {
                // The next slot belongs to another blob.
                return Err(self.mismatch("is longer than its descriptor says"));
            }
            if written == 0 {
                self.begin().await?;
            }
            self.sink.write(bytes, self.slot.start + written).await?;
            self.slot.written.fetch_add(length, Ordering::AcqRel);
            Ok(())
        })
    }

    /// Bytes in a pipe cannot be taken back: the next write fails, because it is out of order.
    fn truncate(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.slot.written.store(0, Ordering::Release);
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
