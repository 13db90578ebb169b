//! Records which blobs a power failure may have damaged, so that no blob needs its own fsync.
//!
//! A rename can reach the disk before the bytes do: after a power failure a blob can exist under its digest empty or as
//! zeros. So before the first rename of a run all digests that it may rename are written to `unsynced/<boot>.<random>`
//! and synced. A journal of another boot lists the blobs to hash again. One of this boot can be ignored: the page
//! cache is intact. The run that owns a journal holds a lock on it.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind as Io, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::io::{io_error, sync_dir};
use super::options::LayoutOptions;
use super::rehash::{RehashResult, rehash};
use super::{blobs, create};
use crate::boot::boot_id;
use crate::control::{Control, PhaseCounter};
use crate::digest::Digest;
use crate::error::Result;
use crate::lock::{self, LockMode, LockWait};
use crate::progress::Phase;

/// Number of journals of this boot after which their blobs are synced and the journals removed.
const MAX_JOURNALS: usize = 64;

/// Boot name of a journal whose blobs must be checked after any boot.
const NO_BOOT: &str = "doubted";

/// The journal of this run. It is created for the first digest that may be renamed.
#[derive(Debug)]
pub(super) struct RunJournal {
    root: PathBuf,
    options: LayoutOptions,
    open: Mutex<Option<Journal>>,
}

/// A journal file with the lock on it.
#[derive(Debug)]
struct Journal {
    file: File,
    path: PathBuf,
    digests: HashSet<Digest>,
}

impl Journal {
    fn begin(root: &Path, private: bool, boot: &str, digests: HashSet<Digest>) -> Result<Self> {
        let dir = root.join("unsynced");
        // Journals of a shared layout are readable by all its users: they must know which blobs another run left unsynced.
        let (dir_mode, mode) = if private { (0o700, 0o600) } else { (0o777, 0o666) };
        create::create_dir(&dir, dir_mode)?;
        let path = dir.join(format!("{boot}.{:016x}", fastrand::u64(..)));
        let create = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
        let file = create.map_err(|error| io_error("create", &path, error))?;
        lock::try_lock(&file, LockMode::Exclusive, &path)?;
        let mut journal = Self { file, path, digests: HashSet::new() };
        journal.append(digests)?;
        sync_dir(&dir)?;
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

impl RunJournal {
    pub(super) fn new(root: &Path, options: LayoutOptions) -> Self {
        Self { root: root.to_owned(), options, open: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Journal>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records durably that this run may rename these digests. Existing blobs are never renamed.
    pub(super) fn record(&self, digests: &[Digest]) -> Result<()> {
        if self.options.sync {
            // Each blob is synced before its rename, so nothing has to be recorded.
            return Ok(());
        }
        let mut journal = self.lock();
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
                    // The last line may be torn, and the kernel reports a lost write only once.
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

    /// Records one rename that was not announced by the plan.
    pub(super) fn record_before_rename(&self, digest: &Digest) -> Result<()> {
        let known = {
            let journal = self.lock();
            journal.as_ref().is_some_and(|journal| journal.digests.contains(digest))
        };
        if known { Ok(()) } else { self.record(std::slice::from_ref(digest)) }
    }

    /// Ends a run. With `sync` all recorded blobs are synced, otherwise only once there are many journals.
    pub(super) fn finish(&self) -> Result<()> {
        drop(self.lock().take());
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

/// Marks blobs that must be hashed again before they count as present.
pub(super) fn mark_suspect(root: &Path, digests: impl IntoIterator<Item = Digest>) -> Result<()> {
    let private = root.metadata().is_ok_and(|found| found.mode() & 0o777 == 0o700);
    Journal::begin(root, private, NO_BOOT, digests.into_iter().collect()).map(drop)
}

/// Hashes the unsynced blobs of other boots again. Damaged ones are removed, so that they are fetched again.
pub(super) fn recover(root: &Path, timeout: Duration, control: &Control) -> Result<()> {
    let boot = boot_id();
    let mut journals = list(root)?;
    journals.retain(|path| boot_of(path) != Some(&boot));
    let total = journals.iter().map(|path| bytes_of(root, path)).sum();
    let counter = PhaseCounter::new(control, Phase::Recheck, total);
    journals.iter().try_for_each(|path| recheck(root, path, timeout, control, &counter))
}

/// Total size of the blobs of a journal.
fn bytes_of(root: &Path, path: &Path) -> u64 {
    let listed = blobs::open_regular(path).ok().and_then(|mut file| read(&mut file, path).ok());
    let sizes = listed.into_iter().flatten().map(|digest| blobs::blob_size(root, &digest));
    sizes.filter_map(|size| size.ok().flatten()).sum()
}

fn recheck(
    root: &Path,
    path: &Path,
    timeout: Duration,
    control: &Control,
    counter: &PhaseCounter,
) -> Result<()> {
    let mut file = match blobs::open_regular(path) {
        Ok(file) => file,
        Err(error) if error.kind() == Io::PermissionDenied => {
            tracing::warn!(
                "failed to re-check blobs after a restart: {}",
                io_error("open", path, error).chain()
            );
            return Ok(());
        }
        // Removed meanwhile, or not a journal.
        Err(_) => return Ok(()),
    };
    // Another process may do the same work and remove the journal when it is done.
    lock::lock(
        &file,
        LockMode::Exclusive,
        &LockWait { what: "the re-check after a restart", path: root, timeout, control },
    )?;
    if file.metadata().map_err(|error| io_error("read", path, error))?.nlink() == 0 {
        return Ok(());
    }
    let digests = read(&mut file, path)?;
    tracing::info!(
        "re-checking {} blobs that were not synced before the last restart",
        digests.len()
    );
    for (digest, verdict) in digests.iter().zip(rehash(root, &digests, counter)?) {
        if let RehashResult::Bad { reason, .. } = verdict {
            remove(&blobs::blob_path(root, digest)?, &reason)?;
        }
    }
    sync_blobs(root, &digests)?;
    std::fs::remove_file(path).map_err(|error| io_error("remove", path, error))
}

/// Removes a blob whose content does not match its digest.
///
/// A non-empty directory stays: it cannot be mistaken for the blob, and a pull that needs the blob reports it.
fn remove(path: &Path, reason: &str) -> Result<()> {
    let is_dir = path.symlink_metadata().is_ok_and(|found| found.is_dir());
    let removed = if is_dir { std::fs::remove_dir(path) } else { std::fs::remove_file(path) };
    match removed {
        Ok(()) => tracing::warn!("removed {}: {reason}", path.display()),
        Err(error) if is_dir => tracing::warn!("{}", io_error("remove", path, error).chain()),
        Err(error) => return Err(io_error("remove", path, error)),
    }
    Ok(())
}

/// Syncs the blobs of a journal, and removes the journal if its run has ended.
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
    let mut dirs = HashSet::new();
    for digest in digests {
        let path = blobs::blob_path(root, digest)?;
        if let Ok(file) = blobs::open_regular(&path) {
            if let Err(error) = file.sync_all() {
                // A second sync would report success (see `ingest`), so the blob is removed and fetched again.
                drop(std::fs::remove_file(&path));
                return Err(io_error("sync", &path, error));
            }
            dirs.extend(path.parent().map(Path::to_owned));
        }
    }
    dirs.iter().try_for_each(|dir| sync_dir(dir))
}

/// The digests of a journal. A torn last line belongs to a rename that never happened.
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
    let dir = root.join("unsynced");
    match std::fs::read_dir(&dir) {
        Err(error) if error.kind() == Io::NotFound => Ok(Vec::new()),
        Err(error) => Err(io_error("read", &dir, error)),
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
    }
}

fn boot_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.split('.').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journal_after_write_error_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunJournal::new(dir.path(), LayoutOptions::default());
        let [one, two] = ["one", "two"].map(|text| Digest::sha256(text.as_bytes()));
        run.record(&[one]).unwrap();
        // Simulates a full disk.
        let unwritable = |journal: &mut Journal| journal.file = File::open(&journal.path).unwrap();
        run.lock().as_mut().map(unwritable).unwrap();
        assert!(run.record(std::slice::from_ref(&two)).is_err());
        run.record_before_rename(&two).unwrap();
        let journals = list(dir.path()).unwrap();
        let texts: Vec<String> =
            journals.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
        assert!(texts.contains(&format!("{two}\n")), "{texts:?}");
    }
}
