//! Reads small files of an archive, and builds the errors for those that cannot be read.

use std::ops::Range;

use super::tarball::{EntryError, TarIndex};
use crate::error::{Error, ErrorKind, Result};
use crate::size::size;

/// Maximum size of a JSON file in an archive, in bytes; containerd has the same limit.
pub(super) const MAX_JSON_BYTES: u64 = 20 << 20;

/// Reads a small file by its name; `None` if it does not exist. Its bytes are not verified by a digest.
pub(super) fn read_small_file(tar: &TarIndex, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
    match tar.find_unique(name) {
        Ok(span) => read_small(tar, name, span, limit).map(Some),
        Err(EntryError::Missing) => Ok(None),
        Err(EntryError::Unusable(reason)) => Err(unusable(name, reason)),
    }
}

/// Reads a small file whose position in the tar is known.
pub(super) fn read_small(
    tar: &TarIndex,
    name: &str,
    span: Range<u64>,
    limit: u64,
) -> Result<Vec<u8>> {
    if span.end - span.start > limit {
        return Err(unusable(name, &format!("is larger than the limit of {}", size(limit))));
    }
    tar.bytes(span).map_err(|error| {
        Error::new(ErrorKind::Store, format!("read {name} of the archive")).with_source(error)
    })
}

/// The error for an existing file that cannot be used.
pub(super) fn unusable(name: &str, reason: &str) -> Error {
    Error::new(ErrorKind::Store, format!("`{name}` of the archive")).with_reason(reason)
}

/// The error for a file that is missing or cannot be used.
pub(super) fn missing_file(name: &str, error: EntryError) -> Error {
    match error {
        EntryError::Missing => unusable(name, "is missing"),
        EntryError::Unusable(reason) => unusable(name, reason),
    }
}

/// The error for an archive without a required file.
pub(super) fn missing_required(file: &str) -> Error {
    Error::new(ErrorKind::Store, "archive").with_reason(format!("has no {file}"))
}
