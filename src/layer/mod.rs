//! A layer blob as a stream: what it is compressed with, and the entries of the tar inside. Nothing here writes files.
//!
//! ```text
//! decompress    finds the compression, by `gzip` and `zstd_frames`; refuses bombs and `unsupported_format`
//! compress      the other direction
//! diff_id       hashes the tar while it is read
//! entries       the entries of the tar, one after the other; `located` says only where they are
//!   input         its blocks and bytes
//!   header        one header; `extensions` those before it, by `pax`, `pax_value` and `pax_sparse`
//!   raw_entry     all headers of one entry together, validated to an `entry`
//!   sparse        the stored extents of a sparse file
//!   aufs_files    entries under names that AUFS reserves
//! write         headers
//! toc           the table of contents of a layer whose files can be read alone
//! invalid       the error of a malformed layer
//! ```
//!
//! ```no_run
//! use rpull::layer::{Compression, DiffIdReader, Entries, EntryLimits, decompress};
//!
//! # fn example(blob: std::fs::File) -> std::io::Result<()> {
//! let tar = decompress(Compression::Gzip, blob)?;
//! let tar = std::io::BufReader::new(tar);
//! let mut entries = Entries::new(DiffIdReader::new(tar), EntryLimits::default());
//! while let Some(entry) = entries.next_entry()? {
//!     println!("{} {}", entry.size, String::from_utf8_lossy(&entry.path));
//! }
//! println!("diff_id {}", entries.drain()?.finish());
//! # Ok(())
//! # }
//! ```

mod aufs_files;
mod compress;
mod decompress;
mod diff_id;
mod entries;
mod entry;
mod extensions;
mod gzip;
mod header;
mod input;
mod invalid;
mod located;
pub(crate) mod pax;
mod pax_sparse;
mod pax_value;
mod raw_entry;
mod sparse;
#[cfg(feature = "cli")]
pub(crate) mod toc;
mod unsupported_format;
mod write;
mod zstd_frames;

pub(crate) use self::aufs_files::{AufsFile, AufsFiles};
pub use self::compress::Compressor;
pub use self::decompress::{
    BombGuard, Compression, decompress, decompress_detected, decompress_with_guard,
};
pub(crate) use self::decompress::{is_compressed_twice, is_unsupported};
pub use self::diff_id::{DiffIdReader, diff_id_of};
pub use self::entries::{Entries, EntryLimits};
pub use self::entry::{Device, EntryKind, LayerEntry, Timestamp};
pub(crate) use self::entry::{WHITEOUT, is_aufs_metadata, is_below, split};
pub(crate) use self::located::{Content, Located};
pub use self::unsupported_format::UnsupportedFormat;
pub use self::write::header;
pub(crate) use self::write::name_in_tar;
pub(crate) use self::zstd_frames::needs_higher_window_limit;
pub use self::zstd_frames::{DEFAULT_WINDOW_BYTES, MAX_WINDOW_BYTES, limit_zstd_window};
