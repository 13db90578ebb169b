//! The file that an archive is written to, with the errors of archives.

use std::fs::File;
use std::io::ErrorKind as Io;
use std::path::Path;

use crate::atomic_file::{AtomicFile, Fsync};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::free_space::is_disk_full;
use crate::symlinks::resolve_symlinks;

/// An archive that has no name until it is complete.
pub(crate) struct ArchiveFile(AtomicFile<'static>);

/// The error of a failed file operation while writing.
pub(crate) fn io_error(verb: &str, path: &Path, error: impl Into<std::io::Error>) -> Error {
    let (what, error) = (format!("{verb} the archive"), error.into());
    let matter = match error.kind() {
        _ if is_disk_full(&error) => Some(ErrorDetail::ArchiveDiskFull),
        Io::BrokenPipe => Some(ErrorDetail::BrokenPipe),
        _ => None,
    };
    Error::new(ErrorKind::Store, what)
        .at(path.display().to_string())
        .with_detail(matter)
        .with_source(error)
}

impl ArchiveFile {
    /// Creates an archive that will be published as `path`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if `path` exists and must not be replaced by a file.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        match path.metadata() {
            Ok(found) if !found.is_file() => {
                return Err(Error::new(ErrorKind::InvalidInput, "archive")
                    .at(path.display().to_string())
                    .with_reason("already exists and is not a regular file"));
            }
            // Includes a link that the system refuses to follow: another user's in a world-writable directory.
            Err(error) if error.kind() == Io::PermissionDenied => {
                return Err(io_error("write", path, error));
            }
            _ => {}
        }
        let path = resolve_symlinks(path).map_err(|error| io_error("write", path, error))?;
        let created = AtomicFile::create(&path, 0o666);
        created.map(Self).map_err(|error| io_error("create", &path, error))
    }

    /// The open file.
    pub(crate) fn file(&self) -> &File {
        self.0.file()
    }

    /// Gives the archive its name, replacing an existing file; with `sync` it survives a power failure.
    pub(crate) fn publish(self, sync: bool) -> Result<()> {
        let path = self.0.path().to_owned();
        let durability = if sync { Fsync::FileAndDir } else { Fsync::None };
        self.0.publish(durability).map_err(|error| io_error("write", &path, error))
    }
}
