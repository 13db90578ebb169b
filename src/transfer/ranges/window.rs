//! Memory for bytes that arrived before those in front of them, shared by all blobs of a run.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug)]
pub(super) struct Window {
    limit: u64,
    used: AtomicU64,
}

impl Window {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, used: AtomicU64::new(0) }
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
}
