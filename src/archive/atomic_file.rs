//! A file that gets its name when it is complete. Until then it has none, if the file system supports that, so that
//! even a killed process leaves nothing behind.

use std::fs::{File, OpenOptions, Permissions};
use std::io::ErrorKind as Io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, OFlags, linkat};
use tempfile::TempPath;

use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::symlinks::{parent_dir, resolve_symlinks};

/// A file being written.
pub(crate) struct AtomicFile {
    path: PathBuf,
    file: File,
    /// Its temporary name, if the file system does not support unnamed files.
    temporary: Option<TempPath>,
}

/// The error of a failed file operation while writing.
pub(crate) fn io_error(verb: &str, path: &Path, error: impl Into<std::io::Error>) -> Error {
    let (what, error) = (format!("{verb} the archive"), error.into());
    let matter = match error.kind() {
        Io::StorageFull => Some(ErrorDetail::ArchiveDiskFull),
        Io::BrokenPipe => Some(ErrorDetail::BrokenPipe),
        _ => None,
    };
    Error::new(ErrorKind::Store, what)
        .at(path.display().to_string())
        .with_detail(matter)
        .with_source(error)
}

impl AtomicFile {
    /// Creates a file that will be published as `path`.
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
        let nameless = i32::try_from((OFlags::TMPFILE | OFlags::CLOEXEC).bits());
        let nameless = nameless.map_err(std::io::Error::other).and_then(|flags| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).mode(0o666).custom_flags(flags).open(parent_dir(&path))
        });
        // Some file systems do not support it, and without /proc the file could never get a name.
        if let Ok(file) = nameless
            && Path::new("/proc/self/fd").is_dir()
        {
            return Ok(Self { path, file, temporary: None });
        }
        let made = tempfile::Builder::new()
            .prefix(".rpull-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(parent_dir(&path))
            .map_err(|error| io_error("create", &path, error))?;
        let (file, temporary) = made.into_parts();
        Ok(Self { path, file, temporary: Some(temporary) })
    }

    /// The open file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name, replacing an existing file.
    pub(crate) fn publish(self, sync: bool) -> Result<()> {
        let Self { path, file, temporary } = self;
        let io_failure = |error| io_error("write", &path, error);
        if sync {
            file.sync_all().map_err(io_failure)?;
        }
        let temporary = match temporary {
            Some(temporary) => temporary,
            None => link(&file, parent_dir(&path)).map_err(io_failure)?,
        };
        temporary.persist(&path).map_err(|error| io_failure(error.error))?;
        if sync {
            File::open(parent_dir(&path)).and_then(|dir| dir.sync_all()).map_err(io_failure)?;
        }
        Ok(())
    }
}

/// Links an unnamed file under a new name: a link cannot replace an existing file, a rename can.
fn link(file: &File, dir: &Path) -> std::io::Result<TempPath> {
    let open = format!("/proc/self/fd/{}", file.as_raw_fd());
    let linked = tempfile::Builder::new()
        .prefix(".rpull-")
        .make_in(dir, |path| Ok(linkat(CWD, open.as_str(), CWD, path, AtFlags::SYMLINK_FOLLOW)?))?;
    Ok(linked.into_temp_path())
}
