//! The root directory, with everything below it opened by handle. No path is ever joined to the root's path, so no
//! change by another process leads outside.

use std::ffi::CString;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat2, readlinkat};
use rustix::io::Errno;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::beneath::NO_SYMLINKS;
pub(super) use crate::beneath::open_below;
use crate::error::{Error, ErrorKind, Result};
use crate::image_layers::resolve::resolve;

/// Reads symbolic links that are not in an open root: the target of the link at this path, if there is one.
pub(super) type ReadLink<'a> = dyn FnMut(&[u8]) -> io::Result<Option<Vec<u8>>> + 'a;

/// An open directory that serves as `/`.
#[derive(Debug)]
pub struct RootDir(OwnedFd);

impl RootDir {
    /// Opens a directory. A symbolic link to one is an error.
    ///
    /// # Errors
    /// [`ErrorKind::Unpack`] with the path.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty());
        opened.map(Self).map_err(|error| {
            let cause = match error {
                Errno::NOTDIR if path.is_symlink() => io::Error::other("is a symbolic link"),
                error => error.into(),
            };
            Error::new(ErrorKind::Unpack, "unpack")
                .at(path.display().to_string())
                .with_source(cause)
        })
    }

    /// Takes a directory that is open for reading.
    pub fn from_handle(directory: OwnedFd) -> Self {
        Self(directory)
    }

    /// Opens a directory below the root for creating entries. The path has no symbolic links, `.` or `..`; the empty
    /// path is the root.
    pub(super) fn directory(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        open_below(self.0.as_fd(), path, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// Opens a directory below the root for reading.
    pub(super) fn readable(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        open_below(self.0.as_fd(), path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Resolves the symbolic links in a path, as in a chroot: none leads above the root. Missing components are kept,
    /// so the directory need not exist. `below` returns links of lower layers.
    pub(super) fn resolve(&self, path: &[u8], below: &mut ReadLink<'_>) -> io::Result<Vec<u8>> {
        resolve(path, |path| match open_below(self.0.as_fd(), path, OFlags::PATH) {
            // Fails for anything but a link. Opening the directory then reports what it is.
            Ok(here) => Ok(readlinkat(&here, "", Vec::new()).ok().map(CString::into_bytes)),
            Err(Errno::NOENT) => below(path),
            Err(error) => Err(error.into()),
        })
    }
}

impl AsFd for RootDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Creates a file. Fails if the name exists.
pub(super) fn create(directory: BorrowedFd<'_>, name: &[u8], mode: u32) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat2(directory, name, flags, Mode::from_raw_mode(mode), NO_SYMLINKS)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn symlink_resolves_as_in_chroot() {
        let dir = tempfile::tempdir().unwrap();
        let root = RootDir::open(dir.path()).unwrap();
        std::fs::create_dir_all(dir.path().join("usr/lib")).unwrap();
        for (link, target) in [
            ("lib", "usr/lib"),
            ("abs", "/usr"),
            ("up", "../../../../usr"),
            ("usr/back", "../abs/lib"),
            ("dead", "/gone/further"),
            ("loop", "loop"),
        ] {
            symlink(target, dir.path().join(link)).unwrap();
        }
        for (path, wanted) in [
            ("", ""),
            ("usr/lib", "usr/lib"),
            ("lib", "usr/lib"),
            ("abs/lib", "usr/lib"),
            ("up/lib", "usr/lib"),
            ("usr/back", "usr/lib"),
            ("dead/a", "gone/further/a"),
            ("new/dir", "new/dir"),
            ("abs/../lib/..", "usr"),
        ] {
            let resolved = root.resolve(path.as_bytes(), &mut |_| Ok(None)).unwrap();
            assert_eq!(String::from_utf8_lossy(&resolved), wanted, "{path}");
        }
        assert!(root.resolve(b"loop/a", &mut |_| Ok(None)).is_err());
        assert_eq!(root.directory(b"lib").unwrap_err(), Errno::NOTDIR);
        assert_eq!(root.directory(b"lib/x").unwrap_err(), Errno::LOOP);
        assert!(root.directory(b"../x").is_err() && root.directory(b"/usr").is_err());
        assert!(root.directory(b"").is_ok() && root.readable(b"usr/lib").is_ok());
    }
}
