//! Limits on what a delta may ask of the machine that applies it. Makers keep them, and readers refuse what exceeds them.

/// Bytes of the JSON header.
pub(super) const MAX_HEADER_BYTES: u32 = 64 << 10;
/// Old layers of one delta.
pub(super) const MAX_OLD_LAYERS: usize = 1024;
/// Uncompressed bytes of the operations, and of the table of frames.
pub(super) const MAX_TABLE_BYTES: u64 = 64 << 20;
/// Operations.
pub(super) const MAX_OPS: u64 = 4_000_000;
/// Base-2 logarithm of the zstd window of these tables, which level 19 does not exceed.
pub(super) const TABLE_WINDOW_LOG: u32 = 23;
/// Uncompressed bytes of a frame of literals.
pub(super) const MAX_FRAME_BYTES: usize = 16 << 20;
/// Bytes of old layers that a frame refers to.
pub(super) const MAX_PREFIX_BYTES: usize = 32 << 20;
/// Ranges that these come from.
pub(super) const MAX_PREFIX_PARTS: u64 = 1 << 17;
/// Base-2 logarithm of the zstd window, which covers a frame and its prefix.
pub(super) const WINDOW_LOG: u32 = 26;

/// Entries of all old tars that a maker indexes, and of the new tar that it looks up; each takes up to 250 bytes of memory.
pub(super) const MAX_ENTRIES: usize = 1 << 20;

/// Bytes of memory for the windows of both tables, the replay with its threads, and buffers.
pub(super) const OTHER_MEMORY: u64 = 32 << 20;

/// Bytes of old layers that all frames together refer to, given the sizes of the tar and of the old layers: reading them
/// takes no longer than the rest.
pub(super) fn max_prefix_bytes(tar: u64, old: impl Iterator<Item = u64>) -> u64 {
    old.fold(tar, u64::saturating_add).saturating_mul(4)
}

/// Deflate expands no byte to more than 1032.
pub(super) fn max_tar_bytes(blob_bytes: u64) -> u64 {
    blob_bytes.saturating_mul(1032).saturating_add(1 << 20)
}
