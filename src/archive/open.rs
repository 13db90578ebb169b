//! Opens the file of an archive: a plain tar is read in place; a compressed one or a pipe is first written to an
//! unnamed file, which is removed with the process.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use super::spool::{Spool, SpoolError};
use super::tarball::TarIndex;
use crate::control::{Control, CountedReader, PhaseCounter};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::free_space::is_disk_full;
use crate::layer::{Compression, decompress, is_unsupported, needs_higher_window_limit};
use crate::progress::Phase;

/// Opens the file, or standard input for `-`, as a tar with random access.
pub(super) fn open(path: &Path, location: &str, control: &Control) -> Result<TarIndex> {
    let io_failure =
        |error| Error::new(ErrorKind::Store, "read the archive").at(location).with_source(error);
    let mut file = if path.as_os_str() == "-" {
        io::stdin().as_fd().try_clone_to_owned().map(File::from).map_err(io_failure)?
    } else {
        File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::new(ErrorKind::NotFound, "archive")
                .at(location)
                .with_reason("does not exist"),
            _ => io_failure(error),
        })?
    };
    let found = file.metadata().map_err(io_failure)?;
    if found.is_dir() {
        return Err(Error::new(ErrorKind::Store, "archive")
            .at(location)
            .with_reason("is a directory")
            .with_hint("use `oci:PATH` for an image layout"));
    }
    let start = first_bytes(&file).map_err(io_failure)?;
    let compression = Compression::detect(&start).map_err(|unsupported| {
        let error = Error::new(ErrorKind::Unsupported, "archive")
            .at(location)
            .with_reason(unsupported.to_string());
        match unsupported.program() {
            Some(name) => error.with_hint(format!("decompress it with `{name} -d` first")),
            None => error,
        }
    })?;
    // Standard input may be a file too, and another process may have read from it before.
    if compression == Compression::Plain
        && found.is_file()
        && file.stream_position().ok() == Some(start.len() as u64)
    {
        return TarIndex::index(file, control).map_err(|error| unreadable(location, error));
    }
    let length = if found.is_file() { found.len() } else { 0 };
    let counter = PhaseCounter::new(control, Phase::Scan, length);
    let file = CountedReader::new(Cursor::new(start).chain(file), &counter);
    let inside = decompress(compression, file).map_err(io_failure)?;
    spool(inside, location)
}

/// Writes a tar to an unnamed file, with random access.
pub(super) fn spool(tar: impl Read, location: &str) -> Result<TarIndex> {
    let dir = std::env::temp_dir();
    let spool = Spool::new_in(&dir);
    let spooled = spool.and_then(|spool| TarIndex::spool(tar, spool));
    spooled.map_err(|error| match SpoolError::in_error(&error) {
        Some(SpoolError(error)) => {
            let full = is_disk_full(error);
            Error::new(ErrorKind::Store, "spool the archive")
                .at(dir.display().to_string())
                .with_detail(full.then_some(ErrorDetail::SpoolDiskFull))
                .with_reason(error.to_string())
        }
        None => unreadable(location, error),
    })
}

/// The error for a file that is not a tar or cannot be read.
fn unreadable(location: &str, error: io::Error) -> Error {
    if is_unsupported(&error) {
        return Error::new(ErrorKind::Unsupported, "archive")
            .at(location)
            .with_detail(needs_higher_window_limit(&error).then_some(ErrorDetail::ZstdWindow))
            .with_reason(error.to_string());
    }
    let what = match error.kind() {
        io::ErrorKind::InvalidData => "archive",
        _ => "read the archive",
    };
    Error::new(ErrorKind::Store, what).at(location).with_source(error)
}

fn first_bytes(mut file: &File) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    Read::by_ref(&mut file).take(Compression::DETECT_LEN as u64).read_to_end(&mut start)?;
    Ok(start)
}
