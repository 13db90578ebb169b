//! Bytes of one range that have arrived before their turn: in the file of the target if it takes them, and in memory as long as
//! the window has room.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::window::{Chunk, Window};
use crate::content::BlobRanges;
use crate::error::{Error, ErrorKind, Result};

/// Where early bytes of a blob go.
pub(super) struct EarlyStorage<'a> {
    pub(super) window: &'a Window,
    /// `None` if the target takes bytes in order only.
    pub(super) file: Option<Arc<dyn BlobRanges>>,
    /// Size of the blob.
    pub(super) size: u64,
}

impl EarlyStorage<'_> {
    /// Whether bytes may be read before their turn.
    pub(super) fn has_room(&self) -> bool {
        self.window.has_room() || (self.file.is_some() && self.window.limit() > 0)
    }

    /// How many bytes may be ahead.
    pub(super) fn limit(&self) -> u64 {
        if self.file.is_some() && self.window.limit() > 0 { u64::MAX } else { self.window.limit() }
    }
}

/// Early bytes of a blob, in order and without a gap.
pub(super) struct EarlyRange {
    /// The position of the first byte.
    position: u64,
    end: u64,
    chunks: VecDeque<EarlyChunk>,
    /// The last bytes, which will be one chunk.
    last: Option<Chunk>,
    /// How many of these are in the file.
    stored: usize,
    is_resumed: bool,
}

enum EarlyChunk {
    Memory(Bytes),
    /// This many bytes in the file only.
    File(u64),
}

/// Early bytes at the reader's position.
pub(in crate::transfer) struct EarlyBytes {
    pub(in crate::transfer) bytes: Bytes,
    pub(in crate::transfer) location: BytesLocation,
}

/// Where the next bytes of a blob are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transfer) enum BytesLocation {
    /// In memory only.
    Memory,
    /// In the file of the target, too.
    Target,
    /// In the file of the target since before this run.
    TargetFromEarlierRun,
}

impl EarlyRange {
    pub(super) fn new(position: u64) -> Self {
        let chunks = VecDeque::new();
        Self { position, end: position, chunks, last: None, stored: 0, is_resumed: false }
    }

    /// A range of the file that was received earlier.
    pub(super) fn resumed(range: &Range<u64>) -> Self {
        let chunks = VecDeque::from([EarlyChunk::File(range.end - range.start)]);
        Self { end: range.end, chunks, is_resumed: true, ..Self::new(range.start) }
    }

    /// Number of bytes.
    pub(super) fn length(&self) -> u64 {
        self.end - self.position
    }

    pub(super) fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    pub(super) fn push(&mut self, bytes: &[u8], storage: &EarlyStorage<'_>) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let last = self.last.get_or_insert_with(|| storage.window.chunk());
            let length = last.fill(rest);
            rest = rest.get(length..).unwrap_or_default();
            self.end += length as u64;
            storage.window.add(length as u64);
            if last.is_full() {
                self.store(storage)?;
                self.end_chunk(storage);
            }
        }
        Ok(())
    }

    /// Keeps a chunk in memory if there is room, or if it is nowhere else.
    fn end_chunk(&mut self, storage: &EarlyStorage<'_>) {
        let is_stored = self.stored == self.last().len();
        let chunk = self.take_last();
        if storage.window.has_room() || !is_stored {
            self.chunks.push_back(EarlyChunk::Memory(chunk));
            return;
        }
        let length = chunk.len() as u64;
        storage.window.release(length);
        match self.chunks.back_mut() {
            Some(EarlyChunk::File(stored)) => *stored += length,
            _ => self.chunks.push_back(EarlyChunk::File(length)),
        }
    }

    fn last(&self) -> &[u8] {
        self.last.as_ref().map(Chunk::as_ref).unwrap_or_default()
    }

    fn take_last(&mut self) -> Bytes {
        self.stored = 0;
        self.last.take().map(Chunk::freeze).unwrap_or_default()
    }

    /// Writes to the file what it does not have yet.
    pub(super) fn store(&mut self, storage: &EarlyStorage<'_>) -> Result<()> {
        let Some(file) = &storage.file else { return Ok(()) };
        let last = self.last();
        let start = self.end - last.len() as u64;
        // Bytes beyond the end of the blob are for the verification only.
        let within = usize::try_from(storage.size.saturating_sub(start)).unwrap_or(usize::MAX);
        let within = within.min(last.len());
        if let Some(new) = last.get(self.stored..within).filter(|new| !new.is_empty()) {
            file.write_at(start + self.stored as u64, new)?;
            self.stored = within;
        }
        Ok(())
    }

    /// Removes and returns the first bytes. All must have been stored before.
    pub(super) fn pop(&mut self, storage: &EarlyStorage<'_>) -> Result<Option<EarlyBytes>> {
        let bytes = match self.chunks.pop_front() {
            Some(EarlyChunk::Memory(bytes)) => bytes,
            Some(EarlyChunk::File(length)) => {
                let bytes = read(storage, self.position..self.position + length)?;
                let left = length - bytes.len() as u64;
                if left > 0 {
                    self.chunks.push_front(EarlyChunk::File(left));
                }
                return Ok(Some(self.advance(bytes, storage)));
            }
            None if self.last().is_empty() => return Ok(None),
            None => self.take_last(),
        };
        storage.window.release(bytes.len() as u64);
        Ok(Some(self.advance(bytes, storage)))
    }

    fn advance(&mut self, bytes: Bytes, storage: &EarlyStorage<'_>) -> EarlyBytes {
        self.position += bytes.len() as u64;
        let location = match storage.file {
            Some(_) if self.is_resumed => BytesLocation::TargetFromEarlierRun,
            Some(_) if self.position <= storage.size => BytesLocation::Target,
            _ => BytesLocation::Memory,
        };
        EarlyBytes { bytes, location }
    }

    /// Gives the memory back.
    pub(super) fn discard(&mut self, window: &Window) {
        let memory = self.chunks.drain(..).map(|piece| match piece {
            EarlyChunk::Memory(bytes) => bytes.len() as u64,
            EarlyChunk::File(_) => 0,
        });
        window.release(memory.sum::<u64>() + self.last().len() as u64);
        self.last = None;
        self.position = self.end;
    }
}

fn read(storage: &EarlyStorage<'_>, range: Range<u64>) -> Result<Bytes> {
    let lost = || Error::new(ErrorKind::Store, "partial").with_reason("has lost bytes");
    let bytes = storage.file.as_ref().ok_or_else(lost)?.read_at(range)?;
    if bytes.is_empty() { Err(lost()) } else { Ok(bytes) }
}
