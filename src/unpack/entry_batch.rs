//! Entries of a layer that is read ahead, on their way to where layers are applied.

use crate::error::Result;
use crate::image_layers::skipped::SkipLog;
use crate::layer::LayerEntry;

/// Batches of one layer that may wait.
pub(super) const BATCHES: usize = 64;

/// Entries of a layer, or its end.
pub(super) struct EntryBatch {
    pub(super) entries: Vec<BatchItem>,
    pub(super) bytes: usize,
}

pub(super) enum BatchItem {
    Entry {
        entry: LayerEntry,
        file: u64,
        left_out: SkipLog,
    },
    /// The uncompressed size, where the layer is what it should be.
    End(Result<u64>),
}
