//! Batches of entries that are sent from a thread that reads ahead to the one that applies layers.

use crate::error::Result;
use crate::image_layers::skipped::SkipLog;
use crate::layer::LayerEntry;

/// Maximum number of waiting batches of one layer.
pub(super) const MAX_QUEUED_BATCHES: usize = 64;

/// Entries of a layer, or its end.
pub(super) struct EntryBatch {
    pub(super) entries: Vec<BatchItem>,
    pub(super) bytes: usize,
}

pub(super) enum BatchItem {
    Entry {
        entry: LayerEntry,
        file: u64,
        skipped: SkipLog,
    },
    /// The uncompressed size if the layer was verified, otherwise the error.
    End(Result<u64>),
}
