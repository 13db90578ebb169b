//! Directories and small files of a layout, and the error of a failed file operation.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorDetail, ErrorKind, Result};

/// The error of a failed file operation of the layout.
pub(super) fn io_error(verb: &str, path: &Path, error: std::io::Error) -> Error {
    let full = error.kind() == std::io::ErrorKind::StorageFull;
    let failed = Error::new(ErrorKind::Store, verb).at(path.display().to_string());
    failed.with_detail(full.then_some(ErrorDetail::StoreDiskFull)).with_source(error)
}

/// Makes renames into this folder survive a power failure.
pub(super) fn sync_dir(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| io_error("sync", path, error))
}

/// Writes `NAME.new`, syncs and renames it: after a power failure the old or the new file exists.
pub(super) fn replace_durably(root: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let (path, new) = (root.join(name), root.join(format!("{name}.new")));
    let write = || {
        // A leftover of a killed process, or a planted file.
        if let Err(error) = std::fs::remove_file(&new)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, &path)
    };
    write().map_err(|error| {
        // Even a few bytes count on a full disk.
        drop(std::fs::remove_file(&new));
        io_error("write", &path, error)
    })
}

/// The regular files of a directory, with their sizes.
pub(super) fn files(folder: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| io_error("read", folder, error))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| io_error("read", folder, error))?;
        match entry.metadata() {
            Ok(known) if known.is_file() => found.push((entry.path(), known.len())),
            _ => {}
        }
    }
    Ok(found)
}
