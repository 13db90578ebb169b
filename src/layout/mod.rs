//! An OCI image layout on disk, which is also the local store. Spec: image-spec `image-layout.md`.
//!
//! ```text
//! oci-layout            {"imageLayoutVersion":"1.0.0"}; a process that changes index.json holds a lock on it
//! index.json            what has a name
//! blobs/sha256/<hex>    verified bytes, renamed here when they are whole
//! ingest/sha256-<hex>   what has arrived of a blob; its writer holds a lock on it
//! sessions/<hex>        received bytes of a blob whose digest is not known yet (see `session`)
//! served/               which repositories have which blobs, where it is served (see `links`)
//! overlays.json         directories of layers that images were unpacked to
//! unsynced/<boot>.<id>  digests that a power failure may have damaged (see `journal`)
//! ```
//!
//! Other tools read it as it is. Locks are `flock(2)` and die with their process; there are no lock files.

mod blobs;
mod by_id;
mod create;
mod digest_scan;
mod edit;
mod entry;
mod index;
mod ingest;
mod inventory;
mod io;
mod journal;
mod links;
mod names;
mod options;
mod origins;
mod overlays;
mod prune;
mod reach;
mod referrers;
mod rehash;
mod remove;
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

pub use self::by_id::Identified;
pub use self::edit::NameEdit;
pub use self::entry::{INDEX_ANNOTATION, IndexEntry, ORIGIN_ANNOTATION};
use self::index::IndexFile;
use self::io::{io_error, sync_dir};
use self::journal::RunJournal;
pub use self::options::LayoutOptions;
pub use self::prune::{PruneOptions, PruneReport};
pub use self::referrers::SUBJECT_ANNOTATION;
pub use self::session::{IngestSession, ResumeResult, SessionId};
pub use self::usage::{ImageUsage, LayoutUsage};
pub use self::verify::{BadBlob, VerifyReport};
pub use self::version::IndexVersion;
use crate::content::{Endpoint, EndpointKind};
use crate::control::Control;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::lock::{self, LockMode, LockWait};

/// An open layout; while it is open, nothing in it is pruned by others.
#[derive(Clone, Debug)]
pub struct Layout(Arc<LayoutInner>);

#[derive(Debug)]
struct LayoutInner {
    root: PathBuf,
    options: LayoutOptions,
    /// The layout's folder, with a shared lock on it.
    folder: File,
    /// What this run has announced; see [`journal`].
    journal: RunJournal,
    endpoint: Endpoint,
}

impl Layout {
    /// Opens a layout that exists, to read it or to change its names.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no layout, [`ErrorKind::Store`] if it is damaged or of another version.
    pub fn open(root: &Path) -> Result<Self> {
        create::check(root)?;
        let inner = LayoutInner::new(root, LayoutOptions::default())?;
        // A layout on a read-only or lockless file system can be read all the same.
        match inner.lock_folder(LockMode::Shared) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                tracing::debug!("{}", error.chain());
            }
            other => other?,
        }
        Ok(Self(Arc::new(inner)))
    }

    /// Opens a layout to write to it; it is made where it does not exist.
    ///
    /// Blobs that the last boot left in doubt are checked first, and removed where they are damaged.
    pub fn create(root: &Path, options: LayoutOptions) -> Result<Self> {
        Self::create_with_control(root, options, &Control::default())
    }

    /// As [`Layout::create`]; the check can be watched and stopped.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] where it was cancelled.
    pub fn create_with_control(
        root: &Path,
        options: LayoutOptions,
        control: &Control,
    ) -> Result<Self> {
        create::create(root, &options)?;
        let inner = LayoutInner::new(root, options)?;
        inner.lock_folder(LockMode::Shared)?;
        journal::recover(&inner.root, options.lock_timeout, control)?;
        inner.write_list()?;
        Ok(Self(Arc::new(inner)))
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.0.root
    }
}

impl LayoutInner {
    fn new(root: &Path, options: LayoutOptions) -> Result<Self> {
        let folder = File::open(root).map_err(|error| io_error("open", root, error))?;
        let location = format!("oci:{}", root.display());
        let endpoint = Endpoint { location, kind: EndpointKind::Layout, ..Endpoint::default() };
        let journal = RunJournal::new(root, options);
        Ok(Self { root: root.to_owned(), options, folder, journal, endpoint })
    }

    fn lock_folder(&self, mode: LockMode) -> Result<()> {
        let waiting =
            LockWait { what: "the store", path: &self.root, timeout: self.options.lock_timeout };
        lock::lock(&self.folder, mode, &waiting)
    }

    /// Waits until no other process changes names.
    fn lock_names(&self) -> Result<File> {
        let path = self.root.join("oci-layout");
        let guard = File::open(&path).map_err(|error| io_error("open", &path, error))?;
        let waiting =
            LockWait { what: "index.json", path: &self.root, timeout: self.options.lock_timeout };
        lock::lock(&guard, LockMode::Exclusive, &waiting)?;
        Ok(guard)
    }

    /// Reads index.json, lets `change` work on it, and writes it where that says so; one process at a time.
    fn change_index(&self, change: impl FnOnce(&mut IndexFile) -> Result<bool>) -> Result<()> {
        let _guard = self.lock_names()?;
        let mut index = IndexFile::read(&self.root)?;
        if change(&mut index)? {
            index.write(&self.root)?;
            if self.options.sync {
                sync_dir(&self.root)?;
            }
        }
        Ok(())
    }

    /// Gives an index.json a list that has none, before there are blobs.
    fn write_list(&self) -> Result<()> {
        // Whatever is wrong with it is told where it is read.
        let is_small = |found: std::fs::Metadata| found.len() < 4096;
        if self.root.join("index.json").metadata().is_ok_and(is_small)
            && IndexFile::read(&self.root).is_ok_and(|index| index.is_null())
        {
            self.change_index(|index| Ok(index.is_null()))?;
        }
        Ok(())
    }

    /// Where this is, for people.
    fn place(&self) -> &str {
        &self.endpoint.location
    }

    fn not_found(&self, name: &str) -> Error {
        Error::new(ErrorKind::NotFound, name)
            .at(self.root.display().to_string())
            .with_reason("not in the store")
            .with_detail(ErrorDetail::NotInStore)
    }
}
