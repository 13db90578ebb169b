//! The errors of this module.

use std::io;

use crate::error::{Error, ErrorKind};

/// The blob is not gzip, or gzip that cannot be written again bit for bit.
pub(super) fn not_rebuildable(reason: &str) -> Error {
    Error::new(ErrorKind::Unsupported, "cannot rebuild blob").with_reason(reason)
}

pub(super) fn invalid_record(reason: &str) -> Error {
    Error::new(ErrorKind::InvalidDocument, "rebuild record").with_reason(reason)
}

/// The record was made of other plain bytes.
pub(super) fn other_plain_bytes(reason: &str) -> Error {
    Error::new(ErrorKind::Mismatch, "rebuild record does not fit").with_reason(reason)
}

pub(super) fn read_error(error: io::Error) -> Error {
    Error::new(ErrorKind::Store, "cannot read").with_source(error)
}

pub(super) fn write_error(error: io::Error) -> Error {
    Error::new(ErrorKind::Store, "cannot write rebuilt blob").with_source(error)
}

pub(super) fn worker_failed() -> Error {
    Error::new(ErrorKind::Store, "cannot rebuild blob").with_reason("a thread ended early")
}
