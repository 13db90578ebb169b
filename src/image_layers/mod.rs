//! The layers of an image as streams of entries, verified against the config. Nothing is written here; unpack and
//! flatten both read through it.

pub(crate) mod apply;
pub(crate) mod inflate;
pub(crate) mod layer_blob;
pub(crate) mod read;
pub(crate) mod resolve;
pub(crate) mod skipped;
pub(crate) mod xattr_filter;

use std::io;

pub use self::layer_blob::{LayerBlob, LayerOpener};
pub use self::skipped::{SkipReason, Skipped};
use crate::error::{Error, ErrorDetail, ErrorKind};
use crate::free_space::is_disk_full;
use crate::layer::{is_compressed_twice, is_unsupported, needs_higher_window_limit};

/// Creates the error for an entry of a layer. Errors of the reader that supplied the bytes keep their kind.
pub(crate) fn failed(layer: &str, entry: &str, error: io::Error) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(error) if error.kind() == ErrorKind::Interrupted => return error,
        Ok(error) => return error.at(layer),
        Err(error) => error,
    };
    if is_unsupported(&error) {
        return Error::new(ErrorKind::Unsupported, layer)
            .with_detail(needs_higher_window_limit(&error).then_some(ErrorDetail::ZstdWindow))
            .with_reason(error.to_string());
    }
    let detail = if is_compressed_twice(&error) {
        Some(ErrorDetail::CompressedTwice)
    } else {
        is_disk_full(&error).then_some(ErrorDetail::UnpackDiskFull)
    };
    Error::new(ErrorKind::Unpack, layer).at(entry).with_detail(detail).with_source(error)
}
