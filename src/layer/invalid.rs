//! The error for a layer that is malformed.

use std::io;

/// Creates an error whose text continues the name of the layer: "has too many entries".
pub(super) fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
