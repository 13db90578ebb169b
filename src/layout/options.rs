//! Options of a layout.

use std::time::Duration;

use crate::setters::setters;

/// How a layout is created and written to.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LayoutOptions {
    /// Accessible to its owner only: directories 0700, blobs 0444. Otherwise the umask decides.
    pub private: bool,
    /// Sync everything before it is reported, so that it survives a power failure. Costs one fsync per blob.
    pub sync: bool,
    /// How long to wait for a lock whose owner makes no progress.
    pub lock_timeout: Duration,
}

impl Default for LayoutOptions {
    fn default() -> Self {
        Self { private: false, sync: false, lock_timeout: Duration::from_secs(120) }
    }
}

impl LayoutOptions {
    setters! {
        flag private;
        flag sync;
        value lock_timeout: Duration;
    }
}
