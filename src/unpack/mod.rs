//! Layers as files: applies them to a root, as root with owners and devices, else with what a user can have.
//!
//! Hostile layers change nothing outside the root: everything happens by handles of directories in it.
//!
//! ```no_run
//! use rpull::layer::{Compression, Entries, Limits, decompress};
//! use rpull::unpack::{Options, Root, Unpacker};
//!
//! # fn example(layer: std::fs::File) -> Result<(), Box<dyn std::error::Error>> {
//! let mut unpacker = Unpacker::new(Root::open("/tmp/root".as_ref())?, Options::default())?;
//! let tar = std::io::BufReader::new(decompress(Compression::Gzip, layer)?);
//! unpacker.apply("the base", &mut Entries::new(tar, Limits::default()))?;
//! println!("{} files", unpacker.finish()?.files);
//! # Ok(())
//! # }
//! ```

mod apply;
mod aside;
pub(crate) mod attributes;
mod beside;
pub(crate) mod blobs;
mod building;
mod changeset;
mod directories;
mod inflate;
mod later;
pub(crate) mod left_out;
mod made;
mod make;
pub mod overlay;
mod remove;
pub(crate) mod resolve;
mod root;
mod stage;
mod staged;
mod stop;
mod unpacker;
mod user;
mod waiting;

use std::io;

pub use self::blobs::{LayerBlob, OpenBlob};
pub use self::building::Building;
pub use self::left_out::{Cause, LeftOut};
pub use self::root::Root;
pub use self::stop::Stop;
pub use self::unpacker::{Options, Unpacked, Unpacker};
use crate::error::{Error, ErrorKind, Matter};
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
        return Error::new(ErrorKind::Unsupported, layer).because(error.to_string());
    }
    let full =
        error.kind() == io::ErrorKind::StorageFull || error.kind() == io::ErrorKind::QuotaExceeded;
    Error::new(ErrorKind::Unpack, layer)
        .at(entry)
        .about(full.then_some(Matter::RootDiskFull))
        .caused_by(error)
}
