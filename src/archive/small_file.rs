//! Files of an archive that are read whole, and what is told of those that cannot be.

use std::ops::Range;

use super::tarball::{EntryError, TarIndex};
use crate::error::{Error, ErrorKind, Result};

/// The largest JSON file of an archive that is read, in bytes; containerd has the same limit.
pub(super) const MAX_JSON_BYTES: u64 = 20 << 20;

/// A small file of the archive, by the name that is the only thing that vouches for it; `None` where it is not there.
pub(super) fn small_file(tar: &TarIndex, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
    match tar.find_unique(name) {
        Ok(span) => small(tar, name, span, limit).map(Some),
        Err(EntryError::Missing) => Ok(None),
        Err(EntryError::Unusable(reason)) => Err(unusable(name, reason)),
    }
}

/// The bytes of a small file that was found.
pub(super) fn small(tar: &TarIndex, name: &str, span: Range<u64>, limit: u64) -> Result<Vec<u8>> {
    if span.end - span.start > limit {
        return Err(unusable(name, &format!("is larger than the limit of {limit} bytes")));
    }
    tar.bytes(span).map_err(|error| {
        Error::new(ErrorKind::Store, format!("read {name} of the archive")).with_source(error)
    })
}

/// The error for a file that is there and of no use.
pub(super) fn unusable(name: &str, reason: &str) -> Error {
    Error::new(ErrorKind::Store, format!("`{name}` of the archive")).with_reason(reason)
}

/// The error for a file that cannot be had.
pub(super) fn missing_file(name: &str, error: EntryError) -> Error {
    match error {
        EntryError::Missing => unusable(name, "is missing"),
        EntryError::Unusable(reason) => unusable(name, reason),
    }
}

/// The error for an archive without the file that makes it one.
pub(super) fn lacking(file: &str) -> Error {
    Error::new(ErrorKind::Store, "archive").with_reason(format!("has no {file}"))
}
