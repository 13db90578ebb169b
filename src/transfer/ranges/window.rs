//! Memory for bytes that arrived before those in front of them, shared by all blobs of a run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Early bytes are copied into chunks of this size: those of a connection can keep much larger buffers in memory.
pub(super) const CHUNK: usize = 256 << 10;

#[derive(Debug)]
pub(super) struct Window {
    limit: u64,
    used: AtomicU64,
    spare: Arc<Spare>,
}

/// Memory of former chunks. An allocator that gets it back in another order than it gave it out keeps up to as much again.
type Spare = Mutex<Vec<Vec<u8>>>;

impl Window {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, used: AtomicU64::new(0), spare: Arc::default() }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Whether more bytes may be read. It is exceeded by at most one chunk per connection.
    pub(super) fn has_room(&self) -> bool {
        self.used.load(Ordering::Relaxed) < self.limit
    }

    pub(super) fn add(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn release(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// An empty chunk.
    pub(super) fn chunk(&self) -> Chunk {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = spare.unwrap_or_else(|| Vec::with_capacity(CHUNK));
        Chunk { bytes, spare: Arc::clone(&self.spare) }
    }
}

/// Up to [`CHUNK`] bytes, in memory that the next chunks use when it is dropped.
#[derive(Debug)]
pub(super) struct Chunk {
    bytes: Vec<u8>,
    spare: Arc<Spare>,
}

impl Chunk {
    /// Copies bytes from the front of `bytes` until the chunk is full, and returns how many.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> usize {
        let length = bytes.len().min(CHUNK - self.bytes.len());
        self.bytes.extend_from_slice(bytes.get(..length).unwrap_or_default());
        length
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() == CHUNK
    }

    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_takes_memory_of_dropped_chunk() {
        let window = Window::new(1);
        let spare = |window: &Window| window.spare.lock().unwrap().len();
        let mut chunk = window.chunk();
        assert_eq!(chunk.fill(&vec![1; CHUNK + 1]), CHUNK);
        assert!(chunk.is_full());
        let bytes = chunk.freeze();
        let part = bytes.slice(CHUNK - 2..);
        drop(bytes);
        assert_eq!((&part[..], spare(&window)), (&[1, 1][..], 0));
        drop(part);
        assert_eq!(spare(&window), 1);
        let again = window.chunk();
        assert_eq!((again.as_ref().len(), spare(&window)), (0, 0));
    }
}
