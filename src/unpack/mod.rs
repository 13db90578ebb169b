//! Unpacks layers into a root directory: with owners and devices if run as root, otherwise with what a user may create.
//!
//! Malicious layers cannot change anything outside the root: every operation goes through handles of directories in it.
//!
//! ```no_run
//! use rpull::layer::{Compression, Entries, EntryLimits, decompress};
//! use rpull::unpack::{RootDir, UnpackOptions, Unpacker};
//!
//! # fn example(layer: std::fs::File) -> Result<(), Box<dyn std::error::Error>> {
//! let mut unpacker = Unpacker::new(RootDir::open("/tmp/root".as_ref())?, UnpackOptions::default())?;
//! let tar = std::io::BufReader::new(decompress(Compression::Gzip, layer)?);
//! unpacker.apply("the base", &mut Entries::new(tar, EntryLimits::default()))?;
//! println!("{} files", unpacker.finish()?.files);
//! # Ok(())
//! # }
//! ```

mod apply;
mod aufs_dir;
mod aufs_files;
mod changeset;
mod create_entry;
mod deferred;
mod directories;
mod entry_batch;
mod layer_paths;
mod layer_queue;
pub mod overlay;
mod parallel;
mod read_ahead;
mod read_ahead_dir;
mod remove;
mod root;
mod root_builder;
mod staging_dir;
mod unpacker;
mod user;
mod whiteout;
mod xattrs;

pub use self::parallel::WAITING_BYTES;
pub use self::root::RootDir;
pub use self::root_builder::{BuildOptions, RootBuilder};
pub use self::unpacker::{UnpackOptions, Unpacked, Unpacker};
pub use self::user::clear_umask;
use crate::image_layers::failed;
pub use crate::image_layers::{LayerBlob, LayerOpener, SkipReason, Skipped};

/// Marks the root of an incomplete tree that is built in place.
const INCOMPLETE_FILE_NAME: &[u8] = b".rpull-incomplete";
