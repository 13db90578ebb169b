//! How a layout is kept.

use std::time::Duration;

/// How a layout that is written to is kept.
#[derive(Clone, Copy, Debug)]
pub struct LayoutOptions {
    /// For its owner only: folders 0700, blobs 0444. Otherwise the umask decides.
    pub private: bool,
    /// What was reported survives a power failure; costs one fsync per blob.
    pub sync: bool,
    /// How long to wait for another process that holds a lock and does nothing.
    pub lock_timeout: Duration,
}

impl Default for LayoutOptions {
    fn default() -> Self {
        Self { private: false, sync: false, lock_timeout: Duration::from_secs(120) }
    }
}
