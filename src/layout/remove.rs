//! Removes names, even on a full disk without space for a new index.json beside the old one.

use std::cmp::Reverse;
use std::path::PathBuf;

use super::reach::Reachable;
use super::{Layout, io_error};
use crate::error::{Error, Result};
use crate::free_space;
use crate::lock::LockMode;

impl Layout {
    /// Removes a name. Returns whether it existed.
    ///
    /// Blobs stay until [`Layout::prune`]. On a full disk, blobs that only this image references are deleted at once,
    /// because even a smaller index.json needs space.
    pub fn remove(&self, name: &str) -> Result<bool> {
        match self.remove_name(name) {
            Err(error) if is_disk_full(&error) => self.remove_on_full_disk(name, error),
            other => other,
        }
    }

    /// Removes several names at once. Missing ones are ignored.
    pub fn remove_all<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<()> {
        self.0.change_index(|index| {
            names.into_iter().try_fold(false, |changed, name| Ok(index.remove(name)? || changed))
        })
    }

    fn remove_name(&self, name: &str) -> Result<bool> {
        let mut found = false;
        self.0.change_index(|index| {
            found = index.remove(name)?;
            if !found && let Some(entry) = index.find(name)? {
                found = index.remove(entry.matching_name(name).unwrap_or_default())?;
            }
            Ok(found)
        })?;
        Ok(found)
    }

    /// Like [`Layout::remove`], but deletes blobs that only this image references until index.json can be written.
    ///
    /// If it is killed in between, the image lacks a layer: `rm` can still remove it, and a pull completes it.
    fn remove_on_full_disk(&self, name: &str, full: Error) -> Result<bool> {
        self.0.lock_dir(LockMode::Exclusive)?;
        let removed = self.remove_freeing_space(name, full);
        self.0.lock_dir(LockMode::Shared)?;
        removed
    }

    fn remove_freeing_space(&self, name: &str, mut full: Error) -> Result<bool> {
        for path in self.exclusive_blobs(name)? {
            std::fs::remove_file(&path).map_err(|error| io_error("remove", &path, error))?;
            match self.remove_name(name) {
                Err(error) if is_disk_full(&error) => full = error,
                other => return other,
            }
        }
        Err(full)
    }

    /// Unreferenced blobs first, then those of this image, largest first.
    fn exclusive_blobs(&self, name: &str) -> Result<Vec<PathBuf>> {
        // An image with another name keeps its blobs.
        let (to_remove, to_keep): (Vec<_>, Vec<_>) = self
            .all_entries()?
            .into_iter()
            .partition(|entry| entry.names.first().is_some_and(|first| first == name));
        let mut blobs = self.unreferenced_blobs(&self.reachable_from(&to_keep)?)?;
        let mut own = Vec::new();
        for entry in &to_remove {
            own.extend(Reachable::from_entry(self.root(), entry).retained);
        }
        blobs.sort_by_key(|blob| (own.contains(&blob.digest), Reverse(blob.size)));
        Ok(blobs.into_iter().map(|blob| blob.path).collect())
    }
}

/// Whether the error means that the disk has no space or no inodes left.
pub(super) fn is_disk_full(error: &Error) -> bool {
    let cause = std::error::Error::source(error);
    cause
        .and_then(|cause| cause.downcast_ref::<std::io::Error>())
        .is_some_and(free_space::is_disk_full)
}
