//! Directories and small files of a layout, and the error of a failed file operation.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;

use crate::atomic_file::{self, Fsync};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::free_space::is_disk_full;

/// The error of a failed file operation of the layout.
pub(super) fn io_error(verb: &str, path: &Path, error: std::io::Error) -> Error {
    let full = is_disk_full(&error);
    let failed = Error::new(ErrorKind::Store, verb).at(path.display().to_string());
    failed.with_detail(full.then_some(ErrorDetail::StoreDiskFull)).with_source(error)
}

/// Makes renames into this directory survive a power failure.
pub(super) fn sync_dir(path: &Path) -> Result<()> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(|error| io_error("sync", path, error))
}

/// Replaces a file: after a power failure the old or the new one exists.
pub(super) fn replace_durably(root: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = root.join(name);
    atomic_file::replace(CWD, &path, bytes, Fsync::File)
        .map_err(|error| io_error("write", &path, error))
}

/// The regular files of a directory, with their sizes.
pub(super) fn files(dir: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| io_error("read", dir, error))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| io_error("read", dir, error))?;
        match entry.metadata() {
            Ok(known) if known.is_file() => found.push((entry.path(), known.len())),
            _ => {}
        }
    }
    Ok(found)
}
