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
    /// Starts an attempt with this many bytes at the target. Those received in this run stay transferred, the others are from an
    /// earlier one. What this run received beyond them is lost.
    pub(in crate::transfer) fn continue_at(&self, bytes: u64) {
        let transferred = self.transferred.load(Ordering::Relaxed);
        let kept = transferred.min(bytes);
        self.transferred.store(kept, Ordering::Relaxed);
        self.resumed.store(bytes - kept, Ordering::Relaxed);
        self.add_resent(transferred - kept);
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

    /// Bytes that the target had when the attempt started are of no use. If fewer are from an earlier run, the others were
    /// received by an earlier attempt.
    pub(in crate::transfer) fn remove_resumed(&self, bytes: u64) {
        let resumed = self.resumed.load(Ordering::Relaxed);
        let earlier = resumed.min(bytes);
        self.resumed.store(resumed - earlier, Ordering::Relaxed);
        let transferred = self.transferred.load(Ordering::Relaxed);
        let lost = transferred.min(bytes - earlier);
        self.transferred.store(transferred - lost, Ordering::Relaxed);
        self.add_resent(lost);
    }

    /// Returns the bytes transferred, resumed and resent.
    pub(in crate::transfer) fn read(&self) -> (u64, u64, u64) {
        let read = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        (read(&self.transferred), read(&self.resumed), read(&self.resent))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn attempts_at_any_offsets_account_for_every_byte(
            partial in 0_u64..1000,
            attempts in proptest::collection::vec((0_u64..=100, 0_u64..1000, 0_u64..=100), 0..8),
        ) {
            let counters = BlobCounters::default();
            let (mut at_target, mut received) = (partial, 0);
            for (kept_percent, bytes, useless_percent) in attempts {
                let start = at_target * kept_percent / 100;
                counters.continue_at(start);
                counters.add_transferred(bytes);
                let useless = start * useless_percent / 100;
                counters.remove_resumed(useless);
                at_target = start - useless + bytes;
                received += bytes;
                let (transferred, resumed, resent) = counters.read();
                prop_assert_eq!(transferred + resumed, at_target);
                prop_assert_eq!(transferred + resent, received);
                prop_assert!(resumed <= partial);
            }
        }
    }
}
