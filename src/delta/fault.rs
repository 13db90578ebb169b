//! The errors of this module.

use std::io;

use crate::error::{Error, ErrorDetail, ErrorKind};
use crate::free_space::is_disk_full;

/// Names the work in errors of `make`.
pub(super) const WHAT: &str = "make delta";
/// Names the work in errors of `apply`.
pub(super) const WHAT_APPLY: &str = "apply delta";

/// The delta contradicts itself, or exceeds a limit.
pub(super) fn invalid_delta(reason: &str) -> Error {
    Error::new(ErrorKind::InvalidDocument, "delta").with_reason(reason)
}

/// The delta is valid, but does not belong to these layers.
pub(super) fn does_not_fit(reason: &str) -> Error {
    Error::new(ErrorKind::Mismatch, "delta does not fit").with_reason(reason)
}

pub(super) fn file_error(error: io::Error) -> Error {
    let full = is_disk_full(&error);
    Error::new(ErrorKind::Store, "temporary file")
        .with_detail(full.then_some(ErrorDetail::SpoolDiskFull))
        .with_source(error)
}
