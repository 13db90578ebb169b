//! Deletes unreferenced blobs (garbage collection), while no other process has the layout open.

use std::collections::HashSet;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::io::files;
use super::reach::Reachable;
use super::{IndexEntry, Layout, blobs, cached_tags, io_error, links, partial};
use crate::digest::{Digest, VERIFIABLE_ALGORITHMS};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::lock::{self, LockMode};
use crate::setters::setters;

/// Age after which a partial or session is not resumed any more.
pub(super) const PARTIAL_AGE: Duration = Duration::from_secs(24 * 3600);

/// Options of [`Layout::prune`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PruneOptions {
    /// Delete nothing, only report.
    pub plan: bool,
    /// Delete all partials without a writer, not only old ones.
    pub partials: bool,
    /// Delete only some of what is unreferenced.
    pub filter: PruneFilter,
}

/// Narrows what is pruned. Every condition must hold; without any, everything matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruneFilter {
    /// Only files that were last written longer ago than this: when they arrived.
    pub older_than: Option<Duration>,
    /// Only files of at least this many bytes.
    pub min_size: u64,
    /// Only blobs whose digest begins with one of these texts, with or without the algorithm; any if it is empty.
    pub digests: Vec<String>,
}

impl PruneFilter {
    setters! {
        optional older_than: Duration;
        value min_size: u64;
        value digests: Vec<String>;
    }

    /// Whether everything matches.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a file matches. `digest` is that of a blob or of a partial; other files have none.
    fn matches(&self, path: &Path, size: u64, digest: Option<&Digest>) -> bool {
        let begins = |digest: &Digest| {
            let begin = |text: &String| {
                digest.as_str().starts_with(text) || digest.encoded().starts_with(text)
            };
            self.digests.iter().any(begin)
        };
        let is_old =
            |age: Duration| path.symlink_metadata().is_ok_and(|found| is_older(&found, age));
        size >= self.min_size
            && (self.digests.is_empty() || digest.is_some_and(begins))
            && self.older_than.is_none_or(is_old)
    }
}

impl PruneOptions {
    setters! {
        flag plan;
        flag partials;
        value filter: PruneFilter;
    }
}

/// What was deleted, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PruneReport {
    /// Number of unreferenced blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Number of partials deleted: those older than a day, or all.
    pub partials: u64,
    /// Their bytes.
    pub partial_bytes: u64,
}

impl Layout {
    /// Deletes blobs that are not reachable from an entry, and partials. A referrer that was copied with its subject
    /// is deleted when its subject is no longer reachable.
    ///
    /// Waits until no other process has the layout open.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] if an entry cannot be read: its blobs would look unreferenced.
    pub fn prune(&self, options: PruneOptions) -> Result<PruneReport> {
        if options.plan {
            return self.sweep(options);
        }
        self.0.lock_dir(LockMode::Exclusive)?;
        let report = self.sweep(options);
        self.0.lock_dir(LockMode::Shared)?;
        report
    }

    fn sweep(&self, options: PruneOptions) -> Result<PruneReport> {
        let PruneOptions { plan, partials, filter } = options;
        let mut report = PruneReport::default();
        for dir in ["ingest", "sessions", links::DIR_NAME, cached_tags::DIR_NAME] {
            check_not_symlink(&self.root().join(dir))?;
        }
        let (reachable, orphaned) = self.reachable_and_orphaned(self.all_entries()?)?;
        let mut blobs = self.unreferenced_blobs(&reachable)?;
        blobs.retain(|blob| filter.matches(&blob.path, blob.size, Some(&blob.digest)));
        for blob in blobs {
            report.blobs += 1;
            report.bytes += blob.size;
            if !plan {
                remove(&blob.path)?;
            }
        }
        // Only now: on a full disk there was no space for another index.json before.
        if !plan && !orphaned.is_empty() {
            self.remove_all(orphaned.iter().map(String::as_str))?;
        }
        if !plan {
            self.remove_stale_links()?;
            self.remove_stale_cached_tags()?;
        }
        let sessions = files(&self.root().join("sessions"))?;
        for (path, size) in partial::partials(self.root())?.into_iter().chain(sessions) {
            let is_meant = filter.matches(&path, size, partial_digest(&path).as_ref());
            if is_meant && (is_old(&path) || (partials && is_unlocked(&path))) {
                report.partials += 1;
                report.partial_bytes += size;
                if !plan {
                    partial::remove(&path)?;
                }
            }
        }
        Ok(report)
    }

    /// Everything reachable from these entries.
    pub(super) fn reachable_from(&self, entries: &[IndexEntry]) -> Result<HashSet<Digest>> {
        let mut reachable = HashSet::new();
        for entry in entries {
            let found = Reachable::from_entry(self.root(), entry);
            if let Some(line) = found.unreadable_lines(entry).next() {
                return Err(Error::new(ErrorKind::Store, "prune")
                    .at(self.root().display().to_string())
                    .with_reason(format!("{line}; nothing was deleted"))
                    .with_detail(ErrorDetail::UnreadableManifest));
            }
            reachable.extend(found.retained);
        }
        Ok(reachable)
    }

    /// The blobs that are not in `reachable`.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] if they are behind a link: they may be shared with other layouts.
    pub(super) fn unreferenced_blobs(&self, reachable: &HashSet<Digest>) -> Result<Vec<BlobFile>> {
        let blobs = self.root().join("blobs");
        check_not_symlink(&blobs)?;
        for algorithm in VERIFIABLE_ALGORITHMS {
            check_not_symlink(&blobs.join(algorithm))?;
        }
        let mut found = self.all_blobs()?;
        found.retain(|blob| !reachable.contains(&blob.digest));
        Ok(found)
    }

    /// Every existing blob.
    pub(super) fn all_blobs(&self) -> Result<Vec<BlobFile>> {
        let mut found = Vec::new();
        for algorithm in VERIFIABLE_ALGORITHMS {
            for (path, size) in files(&self.root().join("blobs").join(algorithm))? {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                // A file not named by a digest belongs to another program.
                if let Ok(digest) = format!("{algorithm}:{name}").parse() {
                    found.push(BlobFile { digest, path, size });
                }
            }
        }
        Ok(found)
    }
}

/// A blob in the layout.
pub(super) struct BlobFile {
    pub(super) digest: Digest,
    pub(super) path: PathBuf,
    pub(super) size: u64,
}

/// The digest of a partial, from its name: `sha256-<hex>` or `sha256-<hex>.<size>`.
fn partial_digest(path: &Path) -> Option<Digest> {
    path.file_stem()?.to_str()?.replacen('-', ":", 1).parse().ok()
}

fn check_not_symlink(dir: &Path) -> Result<()> {
    if !dir.is_symlink() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Store, "prune").at(dir.display().to_string()).with_reason(
        "is a symbolic link and may be shared with other layouts; nothing was deleted",
    ))
}

fn is_old(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| is_older(&found, PARTIAL_AGE))
}

/// Whether it was last modified longer ago than this.
pub(super) fn is_older(found: &Metadata, age: Duration) -> bool {
    let touched = found.modified().ok();
    let idle = touched.and_then(|touched| SystemTime::now().duration_since(touched).ok());
    idle.is_some_and(|idle| idle > age)
}

/// Whether no process is writing to it.
fn is_unlocked(path: &Path) -> bool {
    blobs::open_regular(path)
        .is_ok_and(|file| lock::try_lock(&file, LockMode::Exclusive, path).unwrap_or(false))
}

fn remove(path: &Path) -> Result<()> {
    std::fs::remove_file(path).map_err(|error| io_error("remove", path, error))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::generated::{blob_sizes, generated, write_blob, write_layout};
    use super::*;

    fn filter() -> impl Strategy<Value = PruneFilter> {
        let prefixes = proptest::collection::vec("[0-9a-f]|sha256:[0-7]", 0..4);
        let age = proptest::option::of(0_u64..3);
        (prefixes, 0_u64..100, age).prop_map(|(digests, min_size, hours)| PruneFilter {
            older_than: hours.map(|hours| Duration::from_secs(hours * 3600 + 1800)),
            min_size,
            digests,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn prune_plan_equals_effect_and_filter_narrows_it(images in generated(), filter in filter(), loose in 0_u8..12) {
            let dir = tempfile::tempdir().unwrap();
            let layout = write_layout(dir.path(), &images);
            for number in 0..loose {
                write_blob(dir.path(), "", &vec![number; 10 * usize::from(number)]);
            }
            for (at, name) in blob_sizes(dir.path()).keys().enumerate() {
                let path = dir.path().join("blobs/sha256").join(name);
                let ago = Duration::from_secs(at as u64 % 4 * 3600);
                std::fs::File::open(path).unwrap().set_modified(SystemTime::now() - ago).unwrap();
            }
            let options = |plan| PruneOptions { plan, partials: false, filter: filter.clone() };
            let all = layout.prune(PruneOptions { plan: true, ..PruneOptions::default() }).unwrap();
            let before = blob_sizes(dir.path());
            let plan = layout.prune(options(true)).unwrap();
            prop_assert_eq!(&blob_sizes(dir.path()), &before, "a plan deletes nothing");
            prop_assert_eq!(layout.prune(options(false)).unwrap(), plan);
            let after = blob_sizes(dir.path());
            prop_assert_eq!(before.values().sum::<u64>() - after.values().sum::<u64>(), plan.bytes);
            prop_assert_eq!((before.len() - after.len()) as u64, plan.blobs);
            prop_assert!(plan.bytes <= all.bytes && plan.blobs <= all.blobs);
            let rest = layout.prune(PruneOptions::default()).unwrap();
            prop_assert_eq!(plan.bytes + rest.bytes, all.bytes, "the filter only narrows");
        }
    }
}
