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
mod full_disk;
mod index;
mod ingest;
mod inventory;
mod io;
mod journal;
mod links;
mod options;
mod origins;
mod overlays;
mod prune;
mod reach;
mod referrers;
mod rehash;
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
use std::sync::{Arc, Mutex};

pub use self::by_id::Identified;
pub use self::edit::NameEdit;
use self::index::IndexFile;
pub use self::index::{INDEX_ANNOTATION, IndexEntry, ORIGIN_ANNOTATION};
use self::io::{io_error, sync_dir};
use self::journal::Journal;
pub use self::options::LayoutOptions;
use self::origins::with_origins;
pub use self::prune::{PruneOptions, PruneReport};
pub use self::referrers::SUBJECT_ANNOTATION;
pub use self::session::{IngestSession, ResumeResult, SessionId};
pub use self::usage::{ImageUsage, LayoutUsage};
pub use self::verify::{BadBlob, VerifyReport};
pub use self::version::IndexVersion;
use crate::content::{Endpoint, EndpointKind};
use crate::digest::Digest;
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
    journal: Mutex<Option<Journal>>,
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
        Self::create_with_progress(root, options, &|_, _| true)
    }

    /// As [`Layout::create`]; `watch` is told how many bytes of how many were checked, and says whether to go on.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] where `watch` said to stop.
    pub fn create_with_progress(
        root: &Path,
        options: LayoutOptions,
        watch: &(dyn Fn(u64, u64) -> bool + Sync),
    ) -> Result<Self> {
        create::create(root, &options)?;
        let inner = LayoutInner::new(root, options)?;
        inner.lock_folder(LockMode::Shared)?;
        journal::recover(&inner.root, options.lock_timeout, watch)?;
        inner.write_list()?;
        Ok(Self(Arc::new(inner)))
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// What index.json lists, in its order; an entry that is damaged is left out with a warning.
    pub fn entries(&self) -> Result<Vec<IndexEntry>> {
        Ok(IndexFile::read(&self.0.root)?.readable())
    }

    /// Everything that index.json lists.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] where an entry is damaged.
    fn all_entries(&self) -> Result<Vec<IndexEntry>> {
        IndexFile::read(&self.0.root)?.entries().collect()
    }

    /// The entry of this name; of `NAME@DIGEST` only one that has the digest, or was chosen from the index that has it.
    pub fn entry(&self, name: &str) -> Result<Option<IndexEntry>> {
        let found = self.entries_of(name)?;
        let document = found.iter().position(|entry| entry.descriptor.media_type.is_document());
        Ok(found.into_iter().nth(document.unwrap_or(0)))
    }

    /// As [`Layout::entry`], where other tools gave several the name.
    fn entries_of(&self, name: &str) -> Result<Vec<IndexEntry>> {
        let mut found =
            IndexFile::read(&self.0.root)?.meant_by(name).collect::<Result<Vec<_>>>()?;
        found.retain(|entry| match index::split_pinned(name) {
            Some((_, pin)) if pin != entry.descriptor.digest => {
                self.index_listing(&pin, &entry.descriptor.digest).is_some()
            }
            _ => true,
        });
        Ok(found)
    }

    /// Gives the image of this name another name; a former holder of it loses it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is no such image.
    pub fn tag(&self, name: &str, new: &str) -> Result<()> {
        self.0.change_index(|index| {
            let mut entry = index.find(name)?.ok_or_else(|| self.0.not_found(name))?;
            entry.descriptor.annotations.remove(SUBJECT_ANNOTATION);
            index.set(new, entry.descriptor)
        })
    }

    /// Remembers that the image of this name, where it still has this digest, is in this `registry/repository` too.
    pub fn add_origin(&self, name: &str, digest: &Digest, origin: &str) -> Result<()> {
        self.0.change_index(|index| {
            let Some(entry) = index.find(name)? else { return Ok(false) };
            let Some(name) = entry.matching_name(name).map(str::to_owned) else { return Ok(false) };
            if entry.descriptor.digest != *digest {
                return Ok(false);
            }
            let entry = with_origins(index, &name, entry.descriptor, &[origin.to_owned()])?;
            index.set(&name, entry)
        })
    }

    /// Takes a name away; tells whether it was there.
    ///
    /// Blobs stay until [`Layout::prune`]. On a full disk some that only this image needs go at once, because even a
    /// smaller index.json needs space.
    pub fn remove(&self, name: &str) -> Result<bool> {
        match self.remove_name(name) {
            Err(error) if full_disk::is_disk_full(&error) => self.remove_on_full_disk(name, error),
            other => other,
        }
    }

    /// Takes several names away at once, where they are there.
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
}

impl LayoutInner {
    fn new(root: &Path, options: LayoutOptions) -> Result<Self> {
        let folder = File::open(root).map_err(|error| io_error("open", root, error))?;
        let location = format!("oci:{}", root.display());
        let endpoint = Endpoint { location, kind: EndpointKind::Layout, ..Endpoint::default() };
        Ok(Self { root: root.to_owned(), options, folder, journal: Mutex::default(), endpoint })
    }

    fn lock_folder(&self, mode: LockMode) -> Result<()> {
        let waiting =
            LockWait { what: "the store", place: &self.root, patience: self.options.lock_timeout };
        lock::lock(&self.folder, mode, &waiting)
    }

    /// Waits until no other process changes names.
    fn lock_names(&self) -> Result<File> {
        let path = self.root.join("oci-layout");
        let guard = File::open(&path).map_err(|error| io_error("open", &path, error))?;
        let waiting =
            LockWait { what: "index.json", place: &self.root, patience: self.options.lock_timeout };
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
