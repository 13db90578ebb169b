//! Counts the bytes of one blob while it moves, so that an interrupted run can still tell them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of one blob in this run.
#[derive(Debug, Default)]
pub(in crate::transfer) struct BlobCounters {
    /// Arrived now and part of what is on disk.
    transferred: AtomicU64,
    /// Kept from an earlier run.
    resumed: AtomicU64,
    /// Arrived now and thrown away.
    resent: AtomicU64,
}

impl BlobCounters {
    /// So many bytes are there before an attempt; those that arrived in this run were not kept from an earlier one.
    pub(in crate::transfer) fn set_resumed(&self, bytes: u64) {
        let earlier = bytes.saturating_sub(self.transferred.load(Ordering::Relaxed));
        self.resumed.store(earlier, Ordering::Relaxed);
    }

    pub(in crate::transfer) fn add_transferred(&self, bytes: u64) {
        self.transferred.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(in crate::transfer) fn add_resent(&self, bytes: u64) {
        self.resent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Everything so far was for nothing: the blob starts over.
    pub(in crate::transfer) fn reset(&self) {
        self.resumed.store(0, Ordering::Relaxed);
        let lost = self.transferred.swap(0, Ordering::Relaxed);
        self.add_resent(lost);
    }

    /// Transferred, resumed, resent.
    pub(in crate::transfer) fn read(&self) -> (u64, u64, u64) {
        let read = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        (read(&self.transferred), read(&self.resumed), read(&self.resent))
    }
}
