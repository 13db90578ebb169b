//! Files that get their name when they are complete: until then an existing file stays as it is.
//!
//! Everything that replaces a file does it here: archives, `index.json`, `images.json`, credentials, output of the command
//! line. Blobs of a layout replace nothing, and are resumed under a name of their own.
//!
//! A process killed while writing leaves an existing file untouched. It also leaves a file behind, `.rpull-` with a random
//! suffix, if the file system does not support unnamed files, or if it is killed between the two system calls that replace an
//! existing file: a link cannot replace one, a rename needs a name. Such a file is not removed later, because nothing tells
//! that its writer is gone.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fsync, linkat, openat, renameat, unlinkat};
use rustix::io::Errno;

use crate::symlinks::parent_dir;

/// A file being written, without its final name. It is removed when dropped.
pub(crate) struct AtomicFile<'dir> {
    /// What the paths are relative to.
    dir: BorrowedFd<'dir>,
    path: PathBuf,
    file: File,
    /// Its temporary path; `None` while it is unnamed.
    temporary: Option<PathBuf>,
}

/// What survives a power failure after [`AtomicFile::publish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fsync {
    /// Nothing is synced: the name may lead to a file with missing bytes.
    None,
    /// The name leads to the former file or to the new one, each complete.
    File,
    /// The name leads to the new file.
    FileAndDir,
}

impl AtomicFile<'static> {
    /// Creates a file that will be published as `path`. A symbolic link there is replaced itself.
    ///
    /// It is unnamed if the file system supports that. Otherwise it has a random name in the same directory.
    pub(crate) fn create(path: &Path, mode: u32) -> io::Result<Self> {
        let unnamed = i32::try_from((OFlags::TMPFILE | OFlags::CLOEXEC).bits());
        let unnamed = unnamed.map_err(io::Error::other).and_then(|flags| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).mode(mode).custom_flags(flags).open(parent_dir(path))
        });
        // Some file systems do not support it, and without /proc the file could never get a name.
        let (file, temporary) = match unnamed {
            Ok(file) if Path::new("/proc/self/fd").is_dir() => (file, None),
            _ => {
                let named = tempfile::Builder::new()
                    .prefix(".rpull-")
                    .permissions(Permissions::from_mode(mode))
                    .tempfile_in(parent_dir(path))?;
                let (file, temporary) = named.keep()?;
                (file, Some(temporary))
            }
        };
        Ok(Self { dir: CWD, path: path.to_owned(), file, temporary })
    }

    /// The path that it will have.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl<'dir> AtomicFile<'dir> {
    /// Creates a file under a given temporary path, for directories in which every name has a meaning. Both paths are
    /// relative to `dir`.
    ///
    /// Removes an existing file of the temporary name: the leftover of a killed process, or a planted file. The caller
    /// ensures that no other process is writing it.
    pub(crate) fn create_as(
        dir: BorrowedFd<'dir>,
        path: &Path,
        temporary: PathBuf,
        mode: u32,
    ) -> io::Result<Self> {
        match unlinkat(dir, &temporary, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(dir, &temporary, flags, Mode::from_raw_mode(mode))?.into();
        Ok(Self { dir, path: path.to_owned(), file, temporary: Some(temporary) })
    }

    /// The open file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name, replacing an existing file.
    pub(crate) fn publish(mut self, durability: Fsync) -> io::Result<()> {
        if durability != Fsync::None {
            self.file.sync_all()?;
        }
        if self.temporary.is_some() || !self.link_new()? {
            self.replace()?;
        }
        if durability == Fsync::FileAndDir {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            fsync(openat(self.dir, parent_dir(&self.path), flags, Mode::empty())?)?;
        }
        Ok(())
    }

    /// Links the unnamed file as `path`. Returns whether that name was free.
    fn link_new(&self) -> io::Result<bool> {
        match self.link(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            other => other.map(|()| true),
        }
    }

    fn link(&self, path: &Path) -> io::Result<()> {
        let open = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        Ok(linkat(CWD, open.as_str(), self.dir, path, AtFlags::SYMLINK_FOLLOW)?)
    }

    /// Links the unnamed file under a random name.
    fn link_random(&self) -> io::Result<PathBuf> {
        let linked = tempfile::Builder::new()
            .prefix(".rpull-")
            .make_in(parent_dir(&self.path), |path| self.link(path))?;
        Ok(linked.keep()?.1)
    }

    fn replace(&mut self) -> io::Result<()> {
        let temporary = self.temporary.take().map_or_else(|| self.link_random(), Ok)?;
        renameat(self.dir, self.temporary.insert(temporary).as_path(), self.dir, &self.path)?;
        self.temporary = None;
        Ok(())
    }
}

impl Drop for AtomicFile<'_> {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = unlinkat(self.dir, temporary, AtFlags::empty());
        }
    }
}

/// Replaces a file by way of `PATH.new`. The caller ensures that no other process does the same.
pub(crate) fn replace(
    dir: BorrowedFd<'_>,
    path: &Path,
    bytes: &[u8],
    durability: Fsync,
) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let file = AtomicFile::create_as(dir, path, temporary.into(), 0o644)?;
    file.file().write_all(bytes)?;
    file.publish(durability)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(dir: &Path) -> usize {
        std::fs::read_dir(dir).unwrap().count()
    }

    #[test]
    fn atomic_file_replaces_existing_file_when_published() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        for fsync in [Fsync::None, Fsync::File, Fsync::FileAndDir] {
            let (before, new) = (std::fs::read(&path).ok(), format!("{fsync:?}"));
            let file = AtomicFile::create(&path, 0o600).unwrap();
            file.file().write_all(new.as_bytes()).unwrap();
            drop(AtomicFile::create(&path, 0o600).unwrap());
            assert_eq!(std::fs::read(&path).ok(), before);
            file.publish(fsync).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), new);
            assert_eq!(names(dir.path()), 1);
        }
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn atomic_file_with_temporary_name_replaces_leftover_and_symlink() {
        let dir = tempfile::tempdir().unwrap();
        let handle = File::open(dir.path()).unwrap();
        let (path, new) = (dir.path().join("a"), dir.path().join("a.new"));
        std::fs::write(dir.path().join("other"), "other").unwrap();
        symlink("other", &path).unwrap();
        symlink("other", &new).unwrap();
        let create =
            || AtomicFile::create_as(handle.as_fd(), Path::new("a"), "a.new".into(), 0o644);
        let file = create().unwrap();
        assert!(new.is_file() && !new.is_symlink());
        drop(file);
        assert!(!new.exists() && path.is_symlink());
        std::fs::write(&new, "leftover").unwrap();
        replace(handle.as_fd(), Path::new("a"), b"text", Fsync::FileAndDir).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "text");
        assert!(!path.is_symlink() && names(dir.path()) == 2);
        assert_eq!(std::fs::read_to_string(dir.path().join("other")).unwrap(), "other");
    }

    #[test]
    fn atomic_file_rename_error_removes_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, new) = (dir.path().join("a"), dir.path().join("a.new"));
        let unnamed = AtomicFile::create(&path, 0o600).unwrap();
        let named = AtomicFile::create_as(CWD, &path, new, 0o600).unwrap();
        std::fs::create_dir(&path).unwrap();
        for file in [unnamed, named] {
            assert!(file.publish(Fsync::File).is_err());
        }
        assert_eq!(names(dir.path()), 1);
    }
}
