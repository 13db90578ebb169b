//! The directory that a tree is made in, and everything below it by handles: no path is ever joined to the root's, and
//! nothing that changes under rpull's feet leads outside.

use std::ffi::CString;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2, readlinkat};
use rustix::io::Errno;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::{Error, ErrorKind, Result};
use crate::image_layers::resolve::resolve;

/// Not even a link that was planted a moment ago is followed.
const NO_SYMLINKS: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

/// What links say that are in no root that is open: the text of the one at this path, where there is one.
pub(super) type ReadLink<'a> = dyn FnMut(&[u8]) -> io::Result<Option<Vec<u8>>> + 'a;

/// An open directory that is taken for `/`.
#[derive(Debug)]
pub struct RootDir(OwnedFd);

impl RootDir {
    /// Opens a directory; a link to one is refused.
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

    /// A directory below, to make things in. The path has neither links nor dots in it; empty is the root.
    pub(super) fn directory(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        open_below(self.0.as_fd(), path, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// The same to be read.
    pub(super) fn readable(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        open_below(self.0.as_fd(), path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// The path of the directory that `path` leads to, as in a chroot: links are followed, and none leads above the
    /// root. What is not there stands for itself, so the directory need not exist; `below` tells of links that are not
    /// in this root but under it.
    pub(super) fn resolve(&self, path: &[u8], below: &mut ReadLink<'_>) -> io::Result<Vec<u8>> {
        resolve(path, |path| match open_below(self.0.as_fd(), path, OFlags::PATH) {
            // Of anything but a link this fails, and whoever opens the directory sees what it is.
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

/// Opens what is below the directory, not what a link at the end of the path leads to.
pub(super) fn open_below(
    directory: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat2(directory, path, flags, Mode::empty(), NO_SYMLINKS)
}

/// Makes a file that is not there yet.
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
