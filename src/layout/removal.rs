//! Removes names together with the blobs that only they reference, or says what that would free.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use super::remove::is_disk_full;
use super::{IndexEntry, Layout, io_error};
use crate::error::Result;
use crate::lock::LockMode;

/// What was deleted, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RemovalReport {
    /// Number of blobs that nothing else references.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl IndexEntry {
    /// The name to remove the entry by: its first one, else its digest.
    pub fn key(&self) -> &str {
        self.names.first().map_or(self.descriptor.digest.as_str(), String::as_str)
    }
}

impl Layout {
    /// Computes what [`Layout::remove_and_free`] would delete, and deletes nothing.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Store`] if an entry cannot be read.
    pub fn plan_removal(&self, keys: &BTreeSet<String>) -> Result<RemovalReport> {
        Ok(self.removal(keys)?.report)
    }

    /// Removes the entries with these keys ([`IndexEntry::key`]), their referrers that lose their subject, and the blobs
    /// that nothing else references. Blobs that were unreferenced before stay for [`Layout::prune`].
    ///
    /// Waits until no other process has the layout open. If it is killed, the names are gone, and the next prune deletes
    /// what is left of the blobs.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Store`] if an entry cannot be read. Nothing is removed then.
    pub fn remove_and_free(&self, keys: &BTreeSet<String>) -> Result<RemovalReport> {
        self.0.lock_dir(LockMode::Exclusive)?;
        let removed = self.remove_locked(keys);
        self.0.lock_dir(LockMode::Shared)?;
        removed
    }

    fn remove_locked(&self, keys: &BTreeSet<String>) -> Result<RemovalReport> {
        let Removal { names, blobs, report } = self.removal(keys)?;
        let remove_names = || self.remove_all(names.iter().map(String::as_str));
        let remove_blobs = || {
            blobs.iter().try_for_each(|path| {
                std::fs::remove_file(path).map_err(|error| io_error("remove", path, error))
            })
        };
        match remove_names() {
            // Even a smaller index.json needs space.
            Err(error) if is_disk_full(&error) => {
                remove_blobs()?;
                remove_names()?;
            }
            removed => {
                removed?;
                remove_blobs()?;
            }
        }
        Ok(report)
    }

    fn removal(&self, keys: &BTreeSet<String>) -> Result<Removal> {
        let entries = self.all_entries()?;
        let (before, _) = self.reachable_and_orphaned(entries.clone())?;
        let kept = entries.into_iter().filter(|entry| !keys.contains(entry.key()));
        let (after, orphaned) = self.reachable_and_orphaned(kept.collect())?;
        let mut removal =
            Removal { names: keys.iter().cloned().chain(orphaned).collect(), ..Removal::default() };
        for blob in self.unreferenced_blobs(&after)? {
            if before.contains(&blob.digest) {
                removal.report.blobs += 1;
                removal.report.bytes += blob.size;
                removal.blobs.push(blob.path);
            }
        }
        Ok(removal)
    }
}

/// What to remove.
#[derive(Default)]
struct Removal {
    names: BTreeSet<String>,
    blobs: Vec<PathBuf>,
    report: RemovalReport,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::PruneOptions;
    use super::super::generated::{blob_sizes, generated, write_blob, write_layout};
    use super::*;
    use crate::control::Control;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn removal_plan_equals_effect(images in generated(), chosen in any::<u8>()) {
            let dir = tempfile::tempdir().unwrap();
            let layout = write_layout(dir.path(), &images);
            write_blob(dir.path(), "", b"unreferenced");
            let unreferenced =
                || layout.prune(PruneOptions { plan: true, ..PruneOptions::default() }).unwrap();
            let keys: BTreeSet<String> = layout.entries().unwrap().iter().enumerate()
                .filter(|(at, _)| chosen >> at & 1 == 1)
                .map(|(_, entry)| entry.key().to_owned())
                .collect();
            let (before, pruned) = (blob_sizes(dir.path()), unreferenced());
            let plan = layout.plan_removal(&keys).unwrap();
            prop_assert_eq!(&blob_sizes(dir.path()), &before, "a plan deletes nothing");
            prop_assert_eq!(layout.remove_and_free(&keys).unwrap(), plan);
            let after = blob_sizes(dir.path());
            let freed = before.values().sum::<u64>() - after.values().sum::<u64>();
            prop_assert_eq!(freed, plan.bytes);
            prop_assert_eq!((before.len() - after.len()) as u64, plan.blobs);
            prop_assert_eq!(unreferenced(), pruned, "others stay for prune");
            let names: Vec<_> = layout.entries().unwrap().iter().map(|e| e.key().to_owned()).collect();
            prop_assert!(names.iter().all(|name| !keys.contains(name)));
            let verified = layout.verify(&[], &Control::default()).unwrap();
            prop_assert!(verified.bad.is_empty(), "{:?}", verified.bad);
        }
    }
}
