//! A hidden directory in the root for files of layers that cannot be applied yet, because lower layers are not.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, mkdirat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use super::remove::clear;
use super::root::{RootDir, open_below};
use crate::layer::is_below;

/// Bytes of waiting entries beyond which no further layer is started.
const MAX_PENDING_BYTES: usize = 8 << 20;

/// The directory. Its files are numbered; dropping it removes them.
#[derive(Debug)]
pub(super) struct ReadAheadDir {
    root: RootDir,
    name: Vec<u8>,
    directory: OwnedFd,
    last: AtomicU64,
    /// Bytes of waiting entries.
    pending_bytes: AtomicUsize,
}

impl ReadAheadDir {
    /// Creates the directory under a name that no entry can have.
    pub(super) fn begin(root: &RootDir) -> io::Result<Self> {
        let root = RootDir::from_handle(root.as_fd().try_clone_to_owned()?);
        let name = format!(".rpull-stage-{:016x}", fastrand::u64(..)).into_bytes();
        mkdirat(&root, &name[..], Mode::RWXU)?;
        let directory = open_below(root.as_fd(), &name, OFlags::RDONLY | OFlags::DIRECTORY)?;
        Ok(Self {
            root,
            name,
            directory,
            last: AtomicU64::new(0),
            pending_bytes: AtomicUsize::new(0),
        })
    }

    /// Returns its path in the root.
    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Returns a handle for creating files in it.
    pub(super) fn root(&self) -> io::Result<RootDir> {
        self.directory.try_clone().map(RootDir::from_handle)
    }

    /// Returns the number of the next file.
    pub(super) fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn has_capacity(&self) -> bool {
        self.pending_bytes.load(Ordering::Relaxed) < MAX_PENDING_BYTES
    }

    /// Adds to the bytes of waiting entries.
    pub(super) fn add_pending(&self, bytes: usize) {
        self.pending_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Subtracts from the bytes of waiting entries.
    pub(super) fn remove_pending(&self, bytes: usize) {
        self.pending_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether the path is this directory or in it.
    pub(super) fn has(&self, path: &[u8]) -> bool {
        is_below(path, &self.name)
    }

    /// Moves a file out of the directory. The new path must not exist.
    pub(super) fn move_out(&self, file: u64, to: impl AsFd, name: &[u8]) -> Result<(), Errno> {
        let (file, to) = (file.to_string(), to.as_fd());
        match renameat_with(&self.directory, &file, to, name, RenameFlags::NOREPLACE) {
            // Not every file system supports this flag. A check before the rename is enough, because no other process
            // creates files here.
            Err(Errno::INVAL) => match statat(to, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => Err(Errno::EXIST),
                Err(Errno::NOENT) => renameat(&self.directory, &file, to, name),
                Err(error) => Err(error),
            },
            other => other,
        }
    }

    fn remove(&self) -> io::Result<()> {
        match unlinkat(&self.root, &self.name[..], AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY) => clear(&self.root, &self.name, &|_| false, &mut |_| {}),
            other => Ok(other?),
        }
    }
}

impl Drop for ReadAheadDir {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!("{} is left: {error}", String::from_utf8_lossy(&self.name));
        }
    }
}
