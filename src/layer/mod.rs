//! A layer blob as a stream: what it is compressed with, and the entries of the tar inside. Nothing here writes files.
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
