//! An unnamed temporary file for input that cannot be read twice.

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// The file, which is removed with the process.
pub(super) struct Spool {
    file: File,
    length: u64,
}

/// A failure to write the spool, as opposed to a failure to read its input.
#[derive(Debug)]
pub(super) struct SpoolError(pub(super) io::Error);

impl Spool {
    /// # Errors
    /// As for all of a spool, a [`SpoolError`] inside.
    pub(super) fn new_in(dir: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(dir).map_err(SpoolError::wrap)?;
        Ok(Self { file, length: 0 })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.length += bytes.len() as u64;
        self.file.write_all(bytes).map_err(SpoolError::wrap)
    }

    /// Bytes written.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn into_file(self) -> File {
        self.file
    }
}

impl SpoolError {
    fn wrap(error: io::Error) -> io::Error {
        io::Error::other(Self(error))
    }

    /// The spool error inside `error`, if any.
    pub(super) fn in_error(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SpoolError {}
