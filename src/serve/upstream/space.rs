//! The size of the store, and when it is too large.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The bytes in the store, as far as this server knows.
#[derive(Debug)]
pub(super) struct Space {
    pub(super) max: Option<u64>,
    pub(super) used: AtomicU64,
    /// Bytes from which on blobs are deleted: the maximum, or more if names need more than that.
    pub(super) trigger: AtomicU64,
    pub(super) is_evicting: AtomicBool,
}

impl Space {
    pub(super) fn new(max: Option<u64>, used: u64) -> Self {
        Self {
            max,
            used: used.into(),
            trigger: max.unwrap_or(u64::MAX).into(),
            is_evicting: AtomicBool::new(false),
        }
    }

    /// Records the bytes that are left of `before`. The next deletion, which reads all manifests, is not worth it at once.
    pub(super) fn record(&self, max: u64, before: u64, left: u64) {
        // What was added meanwhile stays counted.
        self.used.fetch_add(left.wrapping_sub(before), Ordering::Relaxed);
        let enough = left.saturating_add(max / 10);
        self.trigger.store(max.max(enough), Ordering::Relaxed);
    }
}
