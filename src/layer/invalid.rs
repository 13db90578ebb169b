//! Why a layer is refused.

use std::io;

/// Continues "the layer".
pub(super) fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
