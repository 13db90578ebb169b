//! The directory of an engine, which is read and never written or locked.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;

use crate::beneath::open_below;
use crate::error::{Error, ErrorKind, Result};
use crate::size::size;

/// Flags of a file. Without waiting: what another process put in its place may be a pipe.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK);

/// Flags of a directory.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// An open directory with everything below it opened by handle. Symbolic links below it are refused.
#[derive(Debug)]
pub(super) struct EngineDir {
    handle: OwnedFd,
    path: PathBuf,
}

impl EngineDir {
    /// Opens the directory; it may be a symbolic link. `location` is for the errors.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it does not exist.
    pub(super) fn open(path: &Path, location: &str) -> Result<Self> {
        let opened = rustix::fs::open(path, DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let handle = opened.map_err(|error| match error {
            Errno::NOENT => Error::new(ErrorKind::NotFound, "directory")
                .at(location)
                .with_reason("does not exist"),
            error => failed("open", path, error.into()),
        })?;
        Ok(Self { handle, path: path.to_owned() })
    }

    /// The path of something below the directory.
    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a regular file; `None` if it does not exist.
    pub(super) fn file(&self, name: &str) -> Result<Option<File>> {
        let file = match open_below(self.handle.as_fd(), name.as_bytes(), FILE) {
            Ok(opened) => File::from(opened),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.failed("open", name, link_refused(error))),
        };
        let found = file.metadata().map_err(|error| self.failed("read", name, error))?;
        if !found.is_file() {
            return Err(self.failed("read", name, io::Error::other("is not a regular file")));
        }
        Ok(Some(file))
    }

    /// Reads a small file; `None` if it does not exist.
    pub(super) fn small(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.file(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let read = file.take(limit + 1).read_to_end(&mut bytes);
        read.map_err(|error| self.failed("read", name, error))?;
        if bytes.len() as u64 > limit {
            let reason = format!("is larger than the limit of {}", size(limit));
            return Err(self.corrupt(name, &reason));
        }
        Ok(Some(bytes))
    }

    /// Opens a directory; `None` if it does not exist.
    pub(super) fn directory(&self, name: &str) -> Result<Option<OwnedFd>> {
        match open_below(self.handle.as_fd(), name.as_bytes(), DIRECTORY) {
            Ok(opened) => Ok(Some(opened)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.failed("open", name, link_refused(error))),
        }
    }

    /// The names in a directory, sorted; `None` if it does not exist. Names that are not UTF-8 are left out: engines write
    /// none.
    pub(super) fn names(&self, name: &str) -> Result<Option<Vec<String>>> {
        let Some(directory) = self.directory(name)? else { return Ok(None) };
        let mut names = names_in(directory.as_fd())
            .map_err(|error| self.failed("read", name, error.into()))?
            .into_iter()
            .filter_map(|name| name.into_string().ok())
            .collect::<Vec<_>>();
        names.sort();
        Ok(Some(names))
    }

    /// The error of a failed operation on something below the directory.
    pub(super) fn failed(&self, verb: &str, name: &str, error: io::Error) -> Error {
        failed(verb, &self.path(name), error)
    }

    /// The error of something below the directory that is there and cannot be used.
    pub(super) fn corrupt(&self, name: &str, reason: &str) -> Error {
        Error::new(ErrorKind::Store, "read")
            .at(self.path(name).display().to_string())
            .with_reason(reason)
    }
}

/// The names in an open directory, without `.` and `..`.
pub(super) fn names_in(directory: BorrowedFd<'_>) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    Ok(names)
}

/// The error for a path with a symbolic link.
pub(super) fn link_refused(error: Errno) -> io::Error {
    match error {
        Errno::LOOP => io::Error::other("is or has a symbolic link, which is not followed"),
        error => error.into(),
    }
}

fn failed(verb: &str, path: &Path, error: io::Error) -> Error {
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    let error =
        Error::new(ErrorKind::Store, verb).at(path.display().to_string()).with_source(error);
    if denied {
        error.with_hint("run it as root: only root can read an engine's files")
    } else {
        error
    }
}
