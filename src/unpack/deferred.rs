//! Times and modes of directories, which are set last: creating entries in a directory changes its time, and its mode
//! may forbid that.

use std::collections::BTreeMap;
use std::io;

use rustix::fs::{Mode, Timespec, Timestamps, fchmod, futimens};

use super::root::RootDir;
use crate::layer::Timestamp;

/// Maximum number of directories in memory. Beyond it all are applied, some of them again later.
const MAX_DIRECTORIES: usize = 100_000;

/// Time and mode of one directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct DirMetadata {
    pub(super) mtime: Timespec,
    /// `None` if it is set already.
    pub(super) mode: Option<u32>,
}

/// Directories by their paths without links.
#[derive(Debug, Default)]
pub(super) struct DeferredDirs(BTreeMap<Vec<u8>, DirMetadata>);

impl DeferredDirs {
    /// Records the metadata of an entry.
    pub(super) fn set(&mut self, path: &[u8], metadata: DirMetadata) {
        self.0.insert(path.to_vec(), metadata);
    }

    /// Records the time on disk, unless an entry has set one.
    pub(super) fn set_time_if_absent(&mut self, path: &[u8], mtime: Timespec) {
        if !self.0.contains_key(path) {
            self.set(path, DirMetadata { mtime, mode: None });
        }
    }

    /// Records the mode from before the directory was made writable.
    pub(super) fn set_mode_if_absent(&mut self, path: &[u8], mode: u32) {
        if let Some(metadata) = self.0.get_mut(path) {
            metadata.mode.get_or_insert(mode);
        }
    }

    /// Drops the record of a removed directory.
    pub(super) fn remove(&mut self, path: &[u8]) {
        self.0.remove(path);
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MAX_DIRECTORIES
    }

    /// Applies and drops all records, deepest first, because a mode may block access. An error has the path.
    pub(super) fn apply(&mut self, root: &RootDir) -> Result<(), (Vec<u8>, io::Error)> {
        while let Some((path, metadata)) = self.0.pop_last() {
            let apply = || {
                let directory = root.readable(&path)?;
                if let Some(mode) = metadata.mode {
                    fchmod(&directory, Mode::from_raw_mode(mode))?;
                }
                futimens(&directory, &times(metadata.mtime))
            };
            apply().map_err(|error| (path, error.into()))?;
        }
        Ok(())
    }
}

/// Access and modification time; images record only the latter.
pub(super) fn times(mtime: Timespec) -> Timestamps {
    Timestamps { last_access: mtime, last_modification: mtime }
}

pub(super) fn timespec(time: Timestamp) -> Timespec {
    Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() }
}
