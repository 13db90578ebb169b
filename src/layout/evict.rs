//! Deletes blobs that no name needs while the layout is in use as a cache, least recently used ones first.

use std::fs::{File, FileTimes};
use std::path::Path;
use std::time::SystemTime;

use super::prune::BlobFile;
use super::{Layout, blobs, io_error};
use crate::digest::Digest;
use crate::error::Result;
use crate::lock::{self, LockMode};

impl Layout {
    /// Bytes of all blobs together.
    pub fn blob_bytes(&self) -> Result<u64> {
        Ok(self.all_blobs()?.iter().map(|blob| blob.size).sum())
    }

    /// Records that a blob was used now, for [`Layout::evict`]. Without permission nothing is recorded.
    pub fn mark_used(&self, digest: &Digest) {
        let times = FileTimes::new().set_accessed(SystemTime::now());
        let path = blobs::blob_path(self.root(), digest);
        let file = path.ok().and_then(|path| blobs::open_regular(&path).ok());
        if let Some(Err(error)) = file.map(|file: File| file.set_times(times)) {
            tracing::debug!("failed to record the use of {digest}: {error}");
        }
    }

    /// Deletes blobs that no entry needs, by last use, until all blobs together have at most `max_bytes`. Returns the remaining
    /// bytes; `None` if another process has the layout open, and may rely on its blobs.
    ///
    /// Reads all manifests of the layout, and blocks.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Store`] if an entry cannot be read: its blobs would look unneeded.
    pub fn evict(&self, max_bytes: u64) -> Result<Option<u64>> {
        let is_alone = lock::try_lock(&self.0.dir, LockMode::Exclusive, self.root())?;
        let left = if is_alone { self.evict_locked(max_bytes).map(Some) } else { Ok(None) };
        // A failed attempt may have lost the shared lock, too.
        self.0.lock_dir(LockMode::Shared)?;
        left
    }

    fn evict_locked(&self, max_bytes: u64) -> Result<u64> {
        let mut left = self.blob_bytes()?;
        if left <= max_bytes {
            return Ok(left);
        }
        let (needed, _) = self.reachable_and_orphaned(self.all_entries()?)?;
        let mut blobs = self.unreferenced_blobs(&needed)?;
        blobs.sort_by_cached_key(|blob| last_use(&blob.path));
        for BlobFile { path, size, .. } in blobs {
            if left <= max_bytes {
                break;
            }
            std::fs::remove_file(&path).map_err(|error| io_error("remove", &path, error))?;
            left -= size;
        }
        Ok(left)
    }
}

/// The later of both times: a file that was never read has the access time of its creation, or none.
fn last_use(path: &Path) -> Option<SystemTime> {
    let found = path.symlink_metadata().ok()?;
    found.accessed().ok().max(found.modified().ok())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::generated::{blob_sizes, generated, write_blob, write_layout};
    use super::*;
    use crate::control::Control;
    use proptest::prelude::*;

    /// Writes blobs of 100 bytes that were used one hour after the other.
    fn write_unneeded(root: &Path, count: u8) -> Vec<Digest> {
        let start = SystemTime::now() - Duration::from_secs(1_000_000);
        let write = |number: u8| {
            let bytes = [number; 100];
            write_blob(root, "", &bytes);
            let digest = Digest::sha256(&bytes);
            let time = start + Duration::from_secs(3600 * u64::from(number));
            let file = File::open(blobs::blob_path(root, &digest).unwrap()).unwrap();
            file.set_times(FileTimes::new().set_accessed(time).set_modified(start)).unwrap();
            digest
        };
        (0..count).map(write).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn evict_deletes_unneeded_by_last_use_and_nothing_else(images in generated(), max in 0_u64..2000) {
            let dir = tempfile::tempdir().unwrap();
            let layout = write_layout(dir.path(), &images);
            layout.prune(crate::layout::PruneOptions::default()).unwrap();
            let needed = layout.blob_bytes().unwrap();
            let unneeded = write_unneeded(dir.path(), 8);
            layout.mark_used(&unneeded[0]);
            let left = layout.evict(max).unwrap().unwrap();
            prop_assert_eq!(left, blob_sizes(dir.path()).values().sum::<u64>());
            let kept = max.saturating_sub(needed).min(800) / 100;
            prop_assert_eq!(left, needed + kept * 100);
            // The first was used last.
            let order: Vec<&Digest> = unneeded.iter().skip(1).chain(&unneeded[..1]).collect();
            for (at, digest) in order.iter().enumerate() {
                prop_assert_eq!(layout.stat_blob(digest).is_ok(), at as u64 + kept >= 8);
            }
            prop_assert!(layout.verify(&[], &Control::default()).unwrap().bad.is_empty());
        }
    }

    #[test]
    fn evict_waits_for_no_other_process() {
        let dir = tempfile::tempdir().unwrap();
        let layout = write_layout(dir.path(), &[]);
        write_unneeded(dir.path(), 2);
        let other = Layout::open(dir.path()).unwrap();
        assert_eq!(layout.evict(0).unwrap(), None);
        drop(other);
        assert_eq!(layout.evict(0).unwrap(), Some(0));
    }
}
