//! An OCI image layout on disk, which is also the local store. Spec: image-spec `image-layout.md`.
//!
//! ```text
//! oci-layout            {"imageLayoutVersion":"1.0.0"}; locked by a process that changes index.json
//! index.json            the images, with their names
//! blobs/sha256/<hex>    verified bytes, renamed here once complete
//! ingest/sha256-<hex>   partial blobs; each is locked by its writer (with gaps: see `partial`)
//! sessions/<hex>        received bytes of a blob whose digest is not known yet (see `session`)
//! served/               which repositories have which blobs, if the layout is served (see `links`)
//! overlays.json         overlay directories that images were unpacked to
//! cached/               tags of other registries, if the layout is served as their cache (see `cached_tags`)
//! diff_ids              layers that match the diff_id in their config (see `diff_ids`)
//! ledger.jsonl          what runs moved, if the layout is the user's store (see [`ledger`])
//! unsynced/<boot>.<id>  digests that a power failure may have damaged (see `journal`)
//! ```
//!
//! Other tools can read it unchanged. Locks are `flock(2)` and end with their process; there are no lock files.

mod blobs;
mod by_id;
mod cached_tags;
mod create;
mod default_path;
mod diff_ids;
mod digest_scan;
mod edit;
mod entry;
mod evict;
#[cfg(test)]
mod generated;
mod index;
mod ingest;
mod inventory;
mod io;
mod journal;
pub mod ledger;
mod links;
mod names;
mod needed;
mod options;
mod origins;
mod overlays;
mod parallel;
mod partial;
mod prune;
mod reach;
mod records;
mod referrers;
mod rehash;
mod removal;
mod remove;
mod repair;
mod session;
mod source;
mod target;
mod uploads;
mod usage;
mod verify;
mod version;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::by_id::IdMatch;
pub use self::cached_tags::CachedTag;
pub use self::edit::NameEdit;
pub use self::entry::{INDEX_ANNOTATION, IndexEntry, ORIGIN_ANNOTATION};
use self::index::IndexFile;
use self::io::{io_error, sync_dir};
use self::journal::RunJournal;
pub use self::options::LayoutOptions;
pub use self::prune::{PruneFilter, PruneOptions, PruneReport};
pub use self::referrers::SUBJECT_ANNOTATION;
pub use self::removal::RemovalReport;
pub use self::repair::LayoutRepair;
pub use self::session::{IngestSession, ResumeResult, SessionId};
pub use self::usage::{ImageUsage, LayoutUsage, RegistryUsage};
pub use self::verify::{BadBlob, BlobFault, VerifyOptions, VerifyReport};
pub use self::version::IndexVersion;
use crate::content::{Endpoint, EndpointKind};
use crate::control::Control;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::lock::{self, LockMode, LockWait};
use crate::oci_layout_file;

/// An open layout. While it is open, other processes do not prune it.
#[derive(Clone, Debug)]
pub struct Layout(Arc<LayoutInner>);

#[derive(Debug)]
struct LayoutInner {
    root: PathBuf,
    options: LayoutOptions,
    /// The directory of the layout, with a shared lock on it.
    dir: File,
    /// Blobs that this run may rename; see [`journal`].
    journal: RunJournal,
    endpoint: Endpoint,
    /// Ends the waits for locks.
    control: Control,
}

impl Layout {
    /// Opens an existing layout, to read it or to change its names. Blocks, like all methods without a future; waits up to
    /// [`LayoutOptions::lock_timeout`] for a process that has it for itself.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no layout, [`ErrorKind::Store`] if it is damaged or of another version.
    pub fn open(root: &Path) -> Result<Self> {
        Self::open_with_control(root, &Control::default())
    }

    /// Like [`Layout::open`], but `control` can end the wait for other processes, and all later waits of this layout.
    ///
    /// # Errors
    /// As [`Layout::open`], and [`ErrorKind::Interrupted`] if it was cancelled.
    pub fn open_with_control(root: &Path, control: &Control) -> Result<Self> {
        create::check(root)?;
        let inner = LayoutInner::new(root, LayoutOptions::default(), control)?;
        // A layout on a read-only file system, or one without locks, can still be read.
        match inner.lock_dir(LockMode::Shared) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                tracing::debug!("{}", error.chain());
            }
            other => other?,
        }
        Ok(Self(Arc::new(inner)))
    }

    /// Opens a layout for writing. Creates it if it does not exist.
    ///
    /// Blobs that were not synced before the last reboot are hashed first, which blocks. Damaged ones are removed.
    pub fn create(root: &Path, options: LayoutOptions) -> Result<Self> {
        Self::create_with_control(root, options, &Control::default())
    }

    /// Like [`Layout::create`], but `control` can watch and cancel the check, and end this wait for other processes and
    /// all later ones of this layout.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] if it was cancelled.
    pub fn create_with_control(
        root: &Path,
        options: LayoutOptions,
        control: &Control,
    ) -> Result<Self> {
        create::create(root, &options, control)?;
        let inner = LayoutInner::new(root, options, control)?;
        inner.lock_dir(LockMode::Shared)?;
        journal::recover(&inner.root, options.lock_timeout, control)?;
        inner.replace_null_list()?;
        Ok(Self(Arc::new(inner)))
    }

    /// The directory of the layout.
    pub fn root(&self) -> &Path {
        &self.0.root
    }
}

impl LayoutInner {
    fn new(root: &Path, options: LayoutOptions, control: &Control) -> Result<Self> {
        let dir = File::open(root).map_err(|error| io_error("open", root, error))?;
        let location = format!("oci:{}", root.display());
        let endpoint = Endpoint::new(location).kind(EndpointKind::Layout).dir(root);
        let journal = RunJournal::new(root, options);
        let (root, control) = (root.to_owned(), control.clone());
        Ok(Self { root, options, dir, journal, endpoint, control })
    }

    fn lock_dir(&self, mode: LockMode) -> Result<()> {
        lock::lock(&self.dir, mode, &self.lock_wait("the store", &self.control))
    }

    fn lock_wait<'a>(&'a self, what: &'a str, control: &'a Control) -> LockWait<'a> {
        LockWait { what, path: &self.root, timeout: self.options.lock_timeout, control }
    }

    /// Waits until no other process is changing names, and locks them.
    fn lock_names(&self, control: &Control) -> Result<File> {
        let path = self.root.join(oci_layout_file::NAME);
        let guard = File::open(&path).map_err(|error| io_error("open", &path, error))?;
        lock::lock(&guard, LockMode::Exclusive, &self.lock_wait("index.json", control))?;
        Ok(guard)
    }

    /// Reads index.json, calls `change`, and writes the result if it returned true. Only one process does so at a time.
    fn change_index(&self, change: impl FnOnce(&mut IndexFile) -> Result<bool>) -> Result<()> {
        self.change_index_unless_cancelled(&self.control, change)
    }

    /// Like [`LayoutInner::change_index`]; `control` ends the wait for other processes.
    fn change_index_unless_cancelled(
        &self,
        control: &Control,
        change: impl FnOnce(&mut IndexFile) -> Result<bool>,
    ) -> Result<()> {
        let _guard = self.lock_names(control)?;
        let mut index = IndexFile::read(&self.root)?;
        if change(&mut index)? {
            index.write(&self.root)?;
            if self.options.sync {
                sync_dir(&self.root)?;
            }
        }
        Ok(())
    }

    /// Replaces a `null` list in index.json by an empty one, before there are blobs.
    fn replace_null_list(&self) -> Result<()> {
        // Any problem with the file is reported where it is read.
        let is_small = |found: std::fs::Metadata| found.len() < 4096;
        if self.root.join("index.json").metadata().is_ok_and(is_small)
            && IndexFile::read(&self.root).is_ok_and(|index| index.is_null())
        {
            self.change_index(|index| Ok(index.is_null()))?;
        }
        Ok(())
    }

    /// The location, for messages.
    fn location(&self) -> &str {
        &self.endpoint.location
    }

    fn not_found(&self, name: &str) -> Error {
        Error::new(ErrorKind::NotFound, name)
            .at(self.root.display().to_string())
            .with_reason("not in the store")
            .with_detail(ErrorDetail::NotInStore)
    }
}
