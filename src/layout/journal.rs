//! Remembers which blobs a power failure may have damaged, so that no blob needs an fsync of its own.
//!
//! A rename can reach the disk before the bytes do: after a power failure a blob can stand under its digest empty or as
//! zeros. So before the first rename of a run every digest that it may rename is written to `unsynced/<boot>.<random>`
//! and made durable. A journal of another boot says which blobs to hash again; one of this boot says nothing, because
//! the page cache is whole. Its owner holds a lock on it.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind as Io, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::rehash::{ByteProgress, RehashResult, rehash};
use super::{LayoutInner, blobs, create, io_error, sync_dir};
use crate::boot::boot_id;
use crate::digest::Digest;
use crate::error::Result;
use crate::lock::{self, LockMode, LockWait};

/// Journals of this boot that may gather before their blobs are synced and they are removed.
const MAX_JOURNALS: usize = 64;

/// The boot that a journal is named after when its blobs are to be looked at whatever boot it is.
const NO_BOOT: &str = "doubted";

/// The journal of a run.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    digests: HashSet<Digest>,
}

impl Journal {
    fn begin(root: &Path, private: bool, boot: &str, digests: HashSet<Digest>) -> Result<Self> {
        let folder = root.join("unsynced");
        // Whoever shares the layout must know what another's run left in doubt.
        let (folder_mode, mode) = if private { (0o700, 0o600) } else { (0o777, 0o666) };
        create::folder(&folder, folder_mode)?;
        let path = folder.join(format!("{boot}.{:016x}", fastrand::u64(..)));
        let create = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
        let file = create.map_err(|error| io_error("create", &path, error))?;
        lock::try_lock(&file, LockMode::Exclusive, &path)?;
        let mut journal = Self { file, path, digests: HashSet::new() };
        journal.append(digests)?;
        sync_dir(&folder)?;
        sync_dir(root)?;
        Ok(journal)
    }

    fn append(&mut self, digests: impl IntoIterator<Item = Digest>) -> Result<()> {
        let new: Vec<Digest> =
            digests.into_iter().filter(|digest| !self.digests.contains(digest)).collect();
        let mut text = new.iter().map(Digest::as_str).collect::<Vec<_>>().join("\n");
        text.push('\n');
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|error| io_error("write", &self.path, error))?;
        self.digests.extend(new);
        Ok(())
    }
}

impl LayoutInner {
    /// Makes durable that these digests may be renamed in this run; those that are there already never will be.
    pub(super) fn record_in_journal(&self, digests: &[Digest]) -> Result<()> {
        if self.options.sync {
            // Each blob is made durable before its rename: nothing is ever in doubt.
            return Ok(());
        }
        let mut journal = self.journal.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut new = HashSet::new();
        for digest in digests {
            if blobs::blob_size(&self.root, digest)?.is_none() {
                new.insert(digest.clone());
            }
        }
        match &mut *journal {
            _ if new.is_empty() => Ok(()),
            Some(open) => {
                let written = open.append(new);
                if written.is_err() {
                    // Its last line may be torn, and the kernel tells of a lost write only once.
                    *journal = None;
                }
                written
            }
            None => {
                *journal = Some(Journal::begin(&self.root, self.options.private, &boot_id(), new)?);
                Ok(())
            }
        }
    }

    /// For a rename that nobody announced.
    pub(super) fn journal_before_rename(&self, digest: &Digest) -> Result<()> {
        let known = {
            let journal = self.journal.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            journal.as_ref().is_some_and(|journal| journal.digests.contains(digest))
        };
        if known { Ok(()) } else { self.record_in_journal(std::slice::from_ref(digest)) }
    }

    /// Ends a run: with `sync` everything in doubt is made durable, else only when many journals have gathered.
    pub(super) fn finish_journal(&self) -> Result<()> {
        drop(self.journal.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
        let boot = boot_id();
        let mut journals = list(&self.root)?;
        journals.retain(|path| boot_of(path) == Some(&boot));
        if !self.options.sync && journals.len() < MAX_JOURNALS {
            return Ok(());
        }
        for path in journals {
            make_durable(&self.root, &path)?;
        }
        Ok(())
    }
}

/// Says of blobs that they must be hashed again before they count.
pub(super) fn mark_suspect(root: &Path, digests: impl IntoIterator<Item = Digest>) -> Result<()> {
    let private = root.metadata().is_ok_and(|found| found.mode() & 0o777 == 0o700);
    Journal::begin(root, private, NO_BOOT, digests.into_iter().collect()).map(drop)
}

/// Hashes again what another boot left in doubt; what is damaged is removed, so that it is fetched anew.
pub(super) fn recover(
    root: &Path,
    patience: Duration,
    watch: &(dyn Fn(u64, u64) -> bool + Sync),
) -> Result<()> {
    let boot = boot_id();
    let mut journals = list(root)?;
    journals.retain(|path| boot_of(path) != Some(&boot));
    let total = journals.iter().map(|path| bytes_of(root, path)).sum();
    let done = AtomicU64::new(0);
    let watch = |bytes| watch(done.fetch_add(bytes, Ordering::Relaxed) + bytes, total);
    journals.iter().try_for_each(|path| recheck(root, path, patience, &watch))
}

/// What the blobs of a journal have together.
fn bytes_of(root: &Path, path: &Path) -> u64 {
    let listed = blobs::open_regular(path).ok().and_then(|mut file| read(&mut file, path).ok());
    let sizes = listed.into_iter().flatten().map(|digest| blobs::blob_size(root, &digest));
    sizes.filter_map(|size| size.ok().flatten()).sum()
}

fn recheck(root: &Path, path: &Path, patience: Duration, watch: ByteProgress<'_>) -> Result<()> {
    let mut file = match blobs::open_regular(path) {
        Ok(file) => file,
        Err(error) if error.kind() == Io::PermissionDenied => {
            tracing::warn!(
                "blobs in doubt cannot be checked: {}",
                io_error("open", path, error).chain()
            );
            return Ok(());
        }
        // Gone, or nobody's journal.
        Err(_) => return Ok(()),
    };
    // Another process may be at the same work; where it is done, the journal is gone.
    lock::lock(
        &file,
        LockMode::Exclusive,
        &LockWait { what: "the check after a restart", place: root, patience },
    )?;
    if file.metadata().map_err(|error| io_error("read", path, error))?.nlink() == 0 {
        return Ok(());
    }
    let digests = read(&mut file, path)?;
    tracing::info!("checking {} blobs that were written before the last restart", digests.len());
    for (digest, verdict) in digests.iter().zip(rehash(root, &digests, watch)?) {
        if let RehashResult::Bad { why, .. } = verdict {
            remove(&blobs::blob_path(root, digest)?, &why)?;
        }
    }
    sync_blobs(root, &digests)?;
    std::fs::remove_file(path).map_err(|error| io_error("remove", path, error))
}

/// Removes what is not the blob whose name it has.
///
/// A folder with something in it stays, because nobody will take it for the blob: whoever needs that one is told.
fn remove(path: &Path, why: &str) -> Result<()> {
    let is_folder = path.symlink_metadata().is_ok_and(|found| found.is_dir());
    let removed = if is_folder { std::fs::remove_dir(path) } else { std::fs::remove_file(path) };
    match removed {
        Ok(()) => tracing::warn!("removed {}: {why}", path.display()),
        Err(error) if is_folder => tracing::warn!("{}", io_error("remove", path, error).chain()),
        Err(error) => return Err(io_error("remove", path, error)),
    }
    Ok(())
}

/// Syncs what a journal lists, and removes it where its run has ended.
fn make_durable(root: &Path, path: &Path) -> Result<()> {
    let Ok(mut file) = blobs::open_regular(path) else { return Ok(()) };
    let ended = lock::try_lock(&file, LockMode::Exclusive, path)?;
    sync_blobs(root, &read(&mut file, path)?)?;
    if ended {
        std::fs::remove_file(path).map_err(|error| io_error("remove", path, error))?;
    }
    Ok(())
}

fn sync_blobs(root: &Path, digests: &[Digest]) -> Result<()> {
    let mut folders = HashSet::new();
    for digest in digests {
        let path = blobs::blob_path(root, digest)?;
        if let Ok(file) = blobs::open_regular(&path) {
            if let Err(error) = file.sync_all() {
                // Asked again the kernel would say that all is well (see `ingest`); what is gone is fetched again.
                drop(std::fs::remove_file(&path));
                return Err(io_error("sync", &path, error));
            }
            folders.extend(path.parent().map(Path::to_owned));
        }
    }
    folders.iter().try_for_each(|folder| sync_dir(folder))
}

/// The digests that a journal lists. A last line that was cut off belongs to a rename that never came.
fn read(file: &mut File, path: &Path) -> Result<Vec<Digest>> {
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|error| io_error("read", path, error))?;
    Ok(text
        .lines()
        .filter_map(|line| line.parse().ok())
        .filter(|digest: &Digest| digest.algorithm().is_ok())
        .collect())
}

fn list(root: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.join("unsynced");
    match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == Io::NotFound => Ok(Vec::new()),
        Err(error) => Err(io_error("read", &folder, error)),
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
    }
}

fn boot_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.split('.').next()
}

#[cfg(test)]
mod tests {
    use super::super::{Layout, LayoutOptions};
    use super::*;

    #[test]
    fn journal_after_write_error_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::create(&folder.path().join("s"), LayoutOptions::default()).unwrap();
        let [one, two] = ["one", "two"].map(|text| Digest::sha256(text.as_bytes()));
        layout.0.record_in_journal(&[one]).unwrap();
        // As if the disk were full.
        let unwritable = |journal: &mut Journal| journal.file = File::open(&journal.path).unwrap();
        layout.0.journal.lock().unwrap().as_mut().map(unwritable).unwrap();
        assert!(layout.0.record_in_journal(std::slice::from_ref(&two)).is_err());
        layout.0.journal_before_rename(&two).unwrap();
        let journals = list(layout.root()).unwrap();
        let texts: Vec<String> =
            journals.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
        assert!(texts.contains(&format!("{two}\n")), "{texts:?}");
    }
}
