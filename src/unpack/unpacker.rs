//! The state of applying layers to a root. Finds or creates the parent directory of an entry, and removes what an entry
//! replaces.

use std::io;
use std::sync::Arc;

use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, Timespec, fstat, mkdirat, unlinkat};
use rustix::io::Errno;

use super::aufs_dir::AufsDir;
use super::deferred::{DeferredDirs, DirMetadata};
use super::directories::{OpenDir, OpenDirCache};
use super::layer_paths::LayerPaths;
use super::overlay::OverlayState;
use super::read_ahead_dir::ReadAheadDir;
use super::remove::{allow, clear};
use super::root::{RootDir, open_below};
use super::user::ProcessUser;
use super::{INCOMPLETE_FILE_NAME, failed};
use crate::error::Result;
use crate::image_layers::resolve::push;
use crate::image_layers::skipped::{SkipLog, SkipReason, Skipped};
use crate::layer::LayerEntry;
use crate::setters::setters;

/// Mode of directories that no layer has an entry for.
const IMPLICIT_DIR_MODE: u32 = 0o755;

/// How layers are applied.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct UnpackOptions {
    /// Keep set-user-ID and set-group-ID bits even if not root. Such files then run with the rights of this user.
    pub preserve: bool,
    /// Give the root the mode and time of an implicit directory, unless a layer has an entry for it.
    pub new_root: bool,
}

impl UnpackOptions {
    setters! {
        flag preserve;
        flag new_root;
    }
}

/// Totals of what was unpacked.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Unpacked {
    /// Entries of all layers, whiteouts too.
    pub entries: u64,
    /// Regular files among them.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Metadata that could not be kept, once for each reason.
    pub skipped: Vec<Skipped>,
}

impl Unpacked {
    /// Adds the totals of another layer.
    pub(super) fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.files += other.files;
        self.bytes += other.bytes;
        for skipped in other.skipped {
            match self.skipped.iter_mut().find(|other| other.cause == skipped.cause) {
                Some(other) => other.entries += skipped.entries,
                None => self.skipped.push(skipped),
            }
        }
    }
}

/// Applies layers to a root, base first.
#[derive(Debug)]
pub struct Unpacker {
    pub(super) root: RootDir,
    pub(super) options: UnpackOptions,
    pub(super) user: ProcessUser,
    pub(super) directories: OpenDirCache,
    pub(super) deferred: DeferredDirs,
    /// Paths that the current layer created; `None` if there is no lower layer whose files it could hide.
    pub(super) layer_paths: Option<LayerPaths>,
    /// Devices that could not be created.
    pub(super) missing_devices: LayerPaths,
    /// Whether the root belongs to another user and is writable for all: usually a mount point.
    pub(super) foreign: bool,
    /// Whether the root was empty.
    pub(super) root_was_empty: bool,
    /// Files of upper layers that were read ahead.
    pub(super) read_ahead_dir: Option<Arc<ReadAheadDir>>,
    /// Files of the current layer under names reserved by AUFS.
    pub(super) aufs_dir: Option<AufsDir>,
    /// The lower layers, if each has a directory of its own.
    pub(super) overlay: Option<OverlayState>,
    pub(super) totals: Unpacked,
    pub(super) skipped: SkipLog,
}

/// What to do if a directory is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IfMissing {
    Create,
    ReturnNone,
}

impl Unpacker {
    /// Creates an unpacker. Existing files in the root count as a lower layer.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Unpack`] if the root cannot be read.
    pub fn new(root: RootDir, options: UnpackOptions) -> Result<Self> {
        let root_was_empty = is_empty(&root).map_err(|error| failed("unpack", "root", error))?;
        let user = ProcessUser::of_process();
        let foreign =
            user.is_foreign(&root).map_err(|error| failed("unpack", "root", error.into()))?;
        let mut deferred = DeferredDirs::default();
        if options.new_root {
            deferred.set(b"", implicit_dir());
        }
        Ok(Self {
            root,
            options,
            user,
            directories: OpenDirCache::default(),
            deferred,
            layer_paths: None,
            missing_devices: LayerPaths::default(),
            foreign,
            root_was_empty,
            read_ahead_dir: None,
            aufs_dir: None,
            overlay: None,
            totals: Unpacked::default(),
            skipped: SkipLog::default(),
        })
    }

    /// Sets the times and modes of directories, and returns the totals.
    pub fn finish(mut self) -> Result<Unpacked> {
        self.apply_deferred("unpack")?;
        self.totals.skipped = self.skipped.into_list();
        Ok(self.totals)
    }

    pub(super) fn apply_deferred(&mut self, name: &str) -> Result<()> {
        self.directories.clear();
        let applied = self.deferred.apply(&self.root);
        applied.map_err(|(path, error)| failed(name, &String::from_utf8_lossy(&path), error))
    }

    /// Opens the directory at a path. Creates missing ones.
    pub(super) fn parent(&mut self, path: &[u8]) -> io::Result<Arc<OpenDir>> {
        match self.directories.get(path) {
            Some(directory) => Ok(directory),
            None => self.find(path, IfMissing::Create)?.ok_or_else(|| Errno::NOENT.into()),
        }
    }

    /// Opens the directory at a path.
    pub(super) fn find(
        &mut self,
        path: &[u8],
        if_missing: IfMissing,
    ) -> io::Result<Option<Arc<OpenDir>>> {
        if let Some(directory) = self.directories.get(path) {
            return Ok(Some(directory));
        }
        let Some((without_links, handle)) = self.open(path, if_missing)? else { return Ok(None) };
        let stat = fstat(&handle)?;
        let mtime = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec.cast_signed() };
        let is_foreign = self.foreign && without_links.is_empty();
        if !is_foreign {
            self.deferred.set_time_if_absent(&without_links, mtime);
        }
        if !self.user.is_root() && !is_foreign && stat.st_mode & 0o700 != 0o700 {
            allow(&handle)?;
            self.deferred.set_mode_if_absent(&without_links, stat.st_mode & 0o7777);
        }
        let group = (stat.st_mode & 0o2000 != 0).then_some(stat.st_gid);
        let directory = Arc::new(OpenDir { path: without_links, handle, group });
        self.directories.insert(path, &directory);
        Ok(Some(directory))
    }

    /// Opens a directory. Returns its path without symbolic links, too.
    fn open(
        &mut self,
        path: &[u8],
        if_missing: IfMissing,
    ) -> io::Result<Option<(Vec<u8>, OwnedFd)>> {
        let creates = if_missing == IfMissing::Create;
        // Links are rare: look for them only if this fails.
        if let Ok(handle) = self.root.directory(path) {
            return Ok(Some((path.to_vec(), handle)));
        }
        let resolved = match self.resolve(path) {
            // The same as below a missing directory.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory && !creates => {
                return Ok(None);
            }
            other => other?,
        };
        let handle = match self.root.directory(&resolved) {
            Err(Errno::NOENT) if creates || self.has_lower_directory(&resolved)? => {
                self.create_all(&resolved)?
            }
            Err(Errno::NOENT | Errno::NOTDIR) if !creates => return Ok(None),
            other => other?,
        };
        Ok(Some((resolved, handle)))
    }

    /// Creates a directory and its missing parents.
    fn create_all(&mut self, path: &[u8]) -> io::Result<OwnedFd> {
        let mut handle = self.root.directory(b"")?;
        let mut created = Vec::new();
        for name in path.split(|&byte| byte == b'/') {
            push(&mut created, name);
            let open = || open_below(handle.as_fd(), name, OFlags::PATH | OFlags::DIRECTORY);
            handle = match open() {
                Err(Errno::NOENT) => {
                    let lower = self.lower_directory(&created)?;
                    mkdirat(&handle, name, Mode::from_raw_mode(IMPLICIT_DIR_MODE))?;
                    let copy_up = |lower| self.copy_dir_metadata(&created, &lower);
                    let metadata = lower.map_or_else(|| Ok(implicit_dir()), copy_up)?;
                    self.deferred.set(&created, metadata);
                    open()?
                }
                other => other?,
            };
        }
        Ok(handle)
    }

    /// Removes an entry that a new one replaces.
    pub(super) fn remove(&mut self, parent: &OpenDir, name: &[u8]) -> io::Result<()> {
        let mut path = parent.path.clone();
        push(&mut path, name);
        match unlinkat(&parent.handle, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {
                let deferred = &mut self.deferred;
                clear(&self.root, &path, &|_| false, &mut |removed| deferred.remove(removed))?;
            }
            other => other?,
        }
        self.directories.remove(&path);
        Ok(())
    }

    /// Takes the log of what was skipped since the last call.
    pub(super) fn take_skipped(&mut self) -> SkipLog {
        std::mem::take(&mut self.skipped)
    }

    pub(super) fn skip(&mut self, cause: SkipReason, entry: &LayerEntry) {
        self.skipped.note(cause, &entry.path);
    }
}

fn implicit_dir() -> DirMetadata {
    DirMetadata { mtime: Timespec { tv_sec: 0, tv_nsec: 0 }, mode: Some(IMPLICIT_DIR_MODE) }
}

/// Whether a root has no entry but the marker of an incomplete tree.
fn is_empty(root: &RootDir) -> io::Result<bool> {
    for child in Dir::read_from(root.as_fd())? {
        let child = child?;
        if !matches!(child.file_name().to_bytes(), b"." | b".." | INCOMPLETE_FILE_NAME) {
            return Ok(false);
        }
    }
    Ok(true)
}
