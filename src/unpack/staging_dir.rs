//! Directories in which a tree is built before it is renamed into place. A lock distinguishes them from leftovers of
//! killed processes.
//!
//! The tree is `.rpull-unpack-<id>/.rpull-unpack-<id>`. Only a process of the same user can have created a directory
//! inside another one of the same name, so anything else with such a name is not a leftover.

use std::io;

use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, flock, fstat, mkdirat, statat, unlinkat};
use rustix::io::Errno;

use super::remove::clear;
use super::root::RootDir;

const PREFIX: &str = ".rpull-unpack-";

/// A directory in which a tree is built.
#[derive(Debug)]
pub(super) struct StagingDir {
    /// The name of the directory, and of the tree in it.
    name: String,
    dir: RootDir,
}

impl StagingDir {
    /// Creates a directory with an empty tree in it.
    pub(super) fn create(parent: &RootDir) -> io::Result<Self> {
        loop {
            let name = format!("{PREFIX}{:016x}", fastrand::u64(..));
            mkdirat(parent, &name, Mode::RWXU)?;
            // Until it is locked, another process may remove it as a leftover.
            match open_locked(parent, name.as_bytes(), LockPurpose::Build) {
                Ok(Some(dir)) => {
                    let staging = Self { name, dir: RootDir::from_handle(dir) };
                    mkdirat(&staging.dir, &staging.name, Mode::RWXU)
                        .inspect_err(|_| _ = staging.remove(parent).is_ok())?;
                    return Ok(staging);
                }
                Ok(None) | Err(Errno::NOENT) => {}
                Err(error) => {
                    _ = unlinkat(parent, &name, AtFlags::REMOVEDIR).is_ok();
                    return Err(error.into());
                }
            }
        }
    }

    /// Opens the tree.
    pub(super) fn tree(&self) -> io::Result<OwnedFd> {
        Ok(self.dir.readable(self.name.as_bytes())?)
    }

    /// Returns the directory that contains the tree, and the name of the tree in it.
    pub(super) fn rename_source(&self) -> (BorrowedFd<'_>, &str) {
        (self.dir.as_fd(), &self.name)
    }

    /// Removes the directory, and the tree if it is still in it.
    pub(super) fn remove(&self, parent: &RootDir) -> io::Result<()> {
        remove(parent, &self.dir, self.name.as_bytes())
    }
}

/// Removes leftovers of killed processes of this user from a directory.
pub(super) fn remove_stale(parent: &RootDir) -> io::Result<()> {
    let mut found = Vec::new();
    for child in Dir::read_from(parent.as_fd())? {
        let child = child?;
        let name = child.file_name().to_bytes();
        if name.strip_prefix(PREFIX.as_bytes()).is_some_and(|id| id.len() == 16) {
            found.push(name.to_vec());
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for name in found {
        let text = String::from_utf8_lossy(&name);
        let removed =
            if mounts.contains(&*text) { Ok(false) } else { remove_if_stale(parent, &name) };
        match removed {
            Ok(true) => tracing::info!("removed {text}, left by an interrupted unpack"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!("failed to remove {text}, left by an interrupted unpack: {error}");
            }
        }
    }
    Ok(())
}

/// Removes the directory if it is a leftover. Returns whether it was.
fn remove_if_stale(parent: &RootDir, name: &[u8]) -> io::Result<bool> {
    let dir = match open_locked(parent, name, LockPurpose::Removal) {
        Ok(Some(dir)) => RootDir::from_handle(dir),
        // In use, or not a directory that this user can read.
        Ok(None) | Err(_) => return Ok(false),
    };
    if fstat(&dir)?.st_uid != rustix::process::geteuid().as_raw() {
        return Ok(false);
    }
    for child in Dir::read_from(dir.as_fd())? {
        let child = child?;
        let child = child.file_name().to_bytes();
        if !matches!(child, b"." | b"..") && child != name {
            return Ok(false);
        }
    }
    remove(parent, &dir, name)?;
    Ok(true)
}

/// Why a staging directory is locked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LockPurpose {
    /// To build a tree in it, which also works on a file system without locks.
    Build,
    /// To remove it. Without locks, leftovers cannot be distinguished from live builds.
    Removal,
}

/// Opens and locks a directory. `None` if another process has locked it or it no longer exists.
fn open_locked(
    parent: &RootDir,
    name: &[u8],
    purpose: LockPurpose,
) -> Result<Option<OwnedFd>, Errno> {
    let dir = parent.readable(name)?;
    match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(_) if purpose == LockPurpose::Build => {}
        Err(error) => return Err(error),
    }
    let (found, opened) = (statat(parent, name, AtFlags::SYMLINK_NOFOLLOW), fstat(&dir)?);
    let inode = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    let is_same = found.is_ok_and(|found| inode(found) == inode(opened));
    Ok(is_same.then_some(dir))
}

fn remove(parent: &RootDir, dir: &RootDir, name: &[u8]) -> io::Result<()> {
    match clear(dir, name, &|_| false, &mut |_| {}) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => other?,
    }
    Ok(unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}
