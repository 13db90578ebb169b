//! The directory that `artifact pull` writes to.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, mkdirat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::path::Arg;

use super::title::Title;
use crate::cli::output::write_failed;
use crate::error::{Error, ErrorKind, Result};

/// How directories are opened: a symbolic link is not followed, because an earlier file of the artifact may be one.
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The directory for the files.
pub(super) struct OutputDir {
    path: PathBuf,
    handle: OwnedFd,
    /// Directories that this run created, parents first. Those that are still empty at its end are removed.
    created: Vec<PathBuf>,
}

impl OutputDir {
    /// Opens the directory, and creates it if it is missing.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let failed = |error: io::Error| write_failed(path, error);
        let mut created = Vec::new();
        match std::fs::metadata(path) {
            Ok(found) if !found.is_dir() => return Err(in_the_way(path, "is not a directory")),
            Ok(_) => {}
            Err(_) => {
                let is_missing = |path: &&Path| std::fs::symlink_metadata(path).is_err();
                created.extend(path.ancestors().take_while(is_missing).map(Path::to_owned));
                created.reverse();
                std::fs::create_dir_all(path).map_err(failed)?;
            }
        }
        let handle = File::open(path).map_err(failed)?.into();
        Ok(Self { path: path.to_owned(), handle, created })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file.
    pub(super) fn path_of(&self, title: &Title) -> PathBuf {
        self.path.join(title.to_string())
    }

    /// Checks that what is there leaves room for a file, or for a directory, of this title. Writes nothing.
    pub(super) fn check(&self, title: &Title, is_dir: bool) -> Result<()> {
        let (directories, name) = title.split();
        let mut parent = self.handle()?;
        let mut path = self.path.clone();
        for directory in directories {
            path.push(directory);
            parent = match openat(&parent, directory, DIRECTORY, Mode::empty()) {
                Ok(opened) => opened,
                Err(Errno::NOENT) => return Ok(()),
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    return Err(in_the_way(&path, "is not a directory"));
                }
                Err(error) => return Err(write_failed(&path, error.into())),
            };
        }
        let path = path.join(name);
        match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => match (is_dir, FileType::from_raw_mode(found.st_mode)) {
                (true, FileType::Directory) => Ok(()),
                (true, _) => Err(in_the_way(&path, "is not a directory")),
                (false, FileType::Directory) => Err(in_the_way(&path, "is a directory")),
                (false, _) => Ok(()),
            },
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(write_failed(&path, error.into())),
        }
    }

    /// Opens the directory of a title, and creates what is missing.
    pub(super) fn parent(&mut self, title: &Title) -> Result<OwnedFd> {
        let mut parent = self.handle()?;
        let mut path = self.path.clone();
        for name in title.split().0 {
            path.push(name);
            match mkdirat(&parent, name, Mode::from_raw_mode(0o777)) {
                Ok(()) => self.created.push(path.clone()),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(write_failed(&path, error.into())),
            }
            let opened = openat(&parent, name, DIRECTORY, Mode::empty());
            parent = opened.map_err(|error| write_failed(&self.path_of(title), error.into()))?;
        }
        Ok(parent)
    }

    /// Moves a complete directory to its title. Files that are there are replaced if the directory has one of their name, and
    /// stay otherwise.
    pub(super) fn publish(&mut self, staged: &Path, title: &Title) -> Result<()> {
        let parent = self.parent(title)?;
        let name = Path::new(title.split().1);
        place((CWD, staged), (parent.as_fd(), name), &self.path_of(title))
    }

    fn handle(&self) -> Result<OwnedFd> {
        self.handle.try_clone().map_err(|error| write_failed(&self.path, error))
    }
}

impl Drop for OutputDir {
    fn drop(&mut self) {
        for path in self.created.iter().rev() {
            // Fails for one with files.
            drop(std::fs::remove_dir(path));
        }
    }
}

/// Moves a file or a directory, the latter into an existing one. `path` is the new one, for errors.
fn place<From: Arg + Copy, To: Arg + Copy>(
    from: (BorrowedFd<'_>, From),
    to: (BorrowedFd<'_>, To),
    path: &Path,
) -> Result<()> {
    let failed = |error: Errno| write_failed(path, error.into());
    let rename = || renameat(from.0, from.1, to.0, to.1);
    match rename() {
        Ok(()) => return Ok(()),
        // A directory in place of a file or a symbolic link.
        Err(Errno::NOTDIR) => {
            unlinkat(to.0, to.1, AtFlags::empty()).map_err(failed)?;
            return rename().map_err(failed);
        }
        Err(Errno::EXIST | Errno::NOTEMPTY) => {}
        Err(Errno::ISDIR) => return Err(in_the_way(path, "is a directory")),
        Err(error) => return Err(failed(error)),
    }
    let from = openat(from.0, from.1, DIRECTORY, Mode::empty()).map_err(failed)?;
    let to = openat(to.0, to.1, DIRECTORY, Mode::empty()).map_err(failed)?;
    for name in names(&from).map_err(failed)? {
        let path = path.join(OsStr::from_bytes(name.to_bytes()));
        place((from.as_fd(), &*name), (to.as_fd(), &*name), &path)?;
    }
    Ok(())
}

fn names(directory: &OwnedFd) -> rustix::io::Result<Vec<CString>> {
    let is_dot_entry = |name: &CStr| matches!(name.to_bytes(), b"." | b"..");
    let listed = Dir::read_from(directory)?.map(|entry| Ok(entry?.file_name().to_owned()));
    let listed = listed.collect::<rustix::io::Result<Vec<CString>>>()?;
    Ok(listed.into_iter().filter(|name| !is_dot_entry(name)).collect())
}

fn in_the_way(path: &Path, reason: &str) -> Error {
    Error::new(ErrorKind::Store, path.display().to_string())
        .with_reason(format!("exists already, and {reason}"))
        .with_hint("remove it, or name another directory with `-o`")
}
