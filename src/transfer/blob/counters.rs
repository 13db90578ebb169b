//! Counts the bytes of one blob while it moves, so that they are known after an interruption, too.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of one blob in one run.
#[derive(Debug, Default)]
pub(in crate::transfer) struct BlobCounters {
    /// Received in this run, and at the target.
    transferred: AtomicU64,
    /// Kept from an earlier run.
    resumed: AtomicU64,
    /// Received in this run, and discarded.
    resent: AtomicU64,
    /// Received in this run for a delta.
    delta: AtomicU64,
}

impl BlobCounters {
    /// Sets the size of the partial before an attempt. Bytes received in this run do not count as kept from an earlier one.
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

    pub(in crate::transfer) fn add_delta(&self, bytes: u64) {
        self.delta.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns the bytes received for a delta.
    pub(in crate::transfer) fn delta(&self) -> u64 {
        self.delta.load(Ordering::Relaxed)
    }

    /// Bytes of the partial are of no use.
    pub(in crate::transfer) fn remove_resumed(&self, bytes: u64) {
        self.resumed.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts everything so far as discarded: the blob starts over.
    pub(in crate::transfer) fn reset(&self) {
        self.resumed.store(0, Ordering::Relaxed);
        let lost = self.transferred.swap(0, Ordering::Relaxed);
        self.add_resent(lost);
    }

    /// Returns the bytes transferred, resumed and resent.
    pub(in crate::transfer) fn read(&self) -> (u64, u64, u64) {
        let read = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        (read(&self.transferred), read(&self.resumed), read(&self.resent))
    }
}
