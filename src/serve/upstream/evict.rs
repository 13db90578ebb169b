//! Deletes unreferenced blobs when the store is too large.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::PullThrough;

impl PullThrough {
    /// Counts bytes that were added to the store, and deletes others if it is too large.
    pub(in crate::serve) fn added(self: &Arc<Self>, bytes: u64) {
        let Some(max) = self.space.max else { return };
        let used = self.space.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if used <= self.space.trigger.load(Ordering::Relaxed)
            || self.space.is_evicting.swap(true, Ordering::Relaxed)
        {
            return;
        }
        let cache = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            // A tenth below, so that not every blob is followed by a deletion.
            match cache.layout.evict(max - max / 10) {
                Ok(Some(left)) => cache.space.record(max, used, left),
                Ok(None) => {
                    tracing::info!("nothing is evicted while another process uses the store");
                }
                Err(error) => tracing::warn!("{}", error.chain()),
            }
            cache.space.is_evicting.store(false, Ordering::Relaxed);
        });
    }
}
