//! Layers as files: applies them to a root, as root with owners and devices, else with what a user can have.
//!
//! Hostile layers change nothing outside the root: everything happens by handles of directories in it.
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

mod aside;
pub(crate) mod blobs;
mod changeset;
mod create_entry;
mod deferred;
mod directories;
mod inflate;
mod layer_paths;
mod layer_queue;
pub mod overlay;
mod parallel;
mod read_ahead;
mod read_ahead_dir;
mod remove;
pub(crate) mod resolve;
mod root;
mod root_builder;
pub(crate) mod skipped;
mod staging_dir;
mod stop;
mod unpacker;
mod user;
pub(crate) mod xattrs;

use std::io;

pub use self::blobs::{LayerBlob, OpenBlob};
pub use self::root::RootDir;
pub use self::root_builder::{BuildOptions, RootBuilder};
pub use self::skipped::{SkipReason, Skipped};
pub use self::stop::Stop;
pub use self::unpacker::{UnpackOptions, Unpacked, Unpacker};
use crate::error::{Error, ErrorDetail, ErrorKind};
use crate::layer::is_unsupported;

/// In the root of a tree that is not whole, where it is made in its place.
const MARKER: &[u8] = b".rpull-incomplete";

/// What went wrong with an entry of a layer; errors of whoever gave the bytes stay what they are.
pub(crate) fn failed(layer: &str, entry: &str, error: io::Error) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(error) if error.kind() == ErrorKind::Interrupted => return error,
        Ok(error) => return error.at(layer),
        Err(error) => error,
    };
    if is_unsupported(&error) {
        return Error::new(ErrorKind::Unsupported, layer).with_reason(error.to_string());
    }
    let full =
        error.kind() == io::ErrorKind::StorageFull || error.kind() == io::ErrorKind::QuotaExceeded;
    Error::new(ErrorKind::Unpack, layer)
        .at(entry)
        .with_detail(full.then_some(ErrorDetail::UnpackDiskFull))
        .with_source(error)
}
