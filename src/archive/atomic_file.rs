//! A file that gets its name when it is whole. Until then it has none where the file system allows that, so that even a
//! kill leaves nothing behind.

use std::fs::{File, OpenOptions, Permissions};
use std::io::ErrorKind as Io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, OFlags, linkat};
use tempfile::TempPath;

use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::symlinks::{parent_dir, resolve_symlinks};

/// An archive in the making.
pub(crate) struct AtomicFile {
    path: PathBuf,
    file: File,
    /// What it is called until then, where it cannot be without a name.
    temporary: Option<TempPath>,
}

/// The error of a file operation that writing needed.
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
    /// Starts a file that is to get this path.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] where something stands there that a file must not replace.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        match path.metadata() {
            Ok(found) if !found.is_file() => {
                return Err(Error::new(ErrorKind::InvalidInput, "archive")
                    .at(path.display().to_string())
                    .with_reason("already exists and is not a regular file"));
            }
            // This includes a link that the system refuses to follow: another user's in a directory that is writable for all.
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
        // Some file systems cannot; without /proc it would never get a name.
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

    /// Where it is written to.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives it its name; whatever had that is replaced.
    pub(crate) fn publish(self, sync: bool) -> Result<()> {
        let Self { path, file, temporary } = self;
        let fail = |error| io_error("write", &path, error);
        if sync {
            file.sync_all().map_err(fail)?;
        }
        let temporary = match temporary {
            Some(temporary) => temporary,
            None => link(&file, parent_dir(&path)).map_err(fail)?,
        };
        temporary.persist(&path).map_err(|error| fail(error.error))?;
        if sync {
            File::open(parent_dir(&path)).and_then(|folder| folder.sync_all()).map_err(fail)?;
        }
        Ok(())
    }
}

/// Links an unnamed file under a new name: a link cannot replace an existing file, a rename can.
fn link(file: &File, folder: &Path) -> std::io::Result<TempPath> {
    let open = format!("/proc/self/fd/{}", file.as_raw_fd());
    let linked = tempfile::Builder::new().prefix(".rpull-").make_in(folder, |path| {
        Ok(linkat(CWD, open.as_str(), CWD, path, AtFlags::SYMLINK_FOLLOW)?)
    })?;
    Ok(linked.into_temp_path())
}
