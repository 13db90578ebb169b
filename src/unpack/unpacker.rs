//! Applies layers to a root, one after the other: where entries go, and what has to go first. Spec: image-spec
//! `layer.md`, "Applying Changesets".

use std::io::{self, BufRead};
use std::sync::Arc;

use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, Timespec, fstat, mkdirat, unlinkat};
use rustix::io::Errno;

use super::aside::Aside;
use super::changeset::Changeset;
use super::deferred::{DeferredDirs, DirMetadata};
use super::directories::{OpenDir, OpenDirCache};
use super::layer_paths::LayerPaths;
use super::overlay::OverlayState;
use super::read_ahead_dir::ReadAheadDir;
use super::remove::{allow, clear};
use super::root::{RootDir, open_below};
use super::user::ProcessUser;
use super::{MARKER, failed};
use crate::error::Result;
use crate::image_layers::resolve::{PATH_MAX, push};
use crate::image_layers::skipped::{SkipLog, SkipReason, Skipped};
use crate::layer::{Entries, EntryKind, LayerEntry, split};

/// Mode of directories that no layer has an entry for.
const IMPLICIT_DIR_MODE: u32 = 0o755;

/// How layers are applied.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnpackOptions {
    /// Keeps set-id bits where the user is not root: they then lend the rights of this user.
    pub preserve: bool,
    /// Gives the root the mode and time that a directory has which no layer has an entry for, unless one has.
    pub new_root: bool,
}

/// Totals of what was unpacked.
#[derive(Clone, Debug, Default)]
pub struct Unpacked {
    /// Entries of all layers, whiteouts too.
    pub entries: u64,
    /// Regular files among them.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Metadata that could not be kept, once for each reason.
    pub left_out: Vec<Skipped>,
}

impl Unpacked {
    /// Takes another one into account.
    pub(super) fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.files += other.files;
        self.bytes += other.bytes;
        for left_out in other.left_out {
            match self.left_out.iter_mut().find(|known| known.cause == left_out.cause) {
                Some(known) => known.entries += left_out.entries,
                None => self.left_out.push(left_out),
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
    pub(super) later: DeferredDirs,
    /// What the present layer made; nothing where there is no lower one whose files it could hide.
    pub(super) made: Option<LayerPaths>,
    /// Devices that could not be made.
    pub(super) missing_devices: LayerPaths,
    /// Whether the root is another user's, who lets all write to it: a mount point, as a rule.
    pub(super) foreign: bool,
    /// Whether nothing was in the root.
    pub(super) root_was_empty: bool,
    /// Where files of layers wait that are applied later.
    pub(super) stage: Option<Arc<ReadAheadDir>>,
    /// What the present layer has that is not shown, where it has anything of that kind.
    pub(super) aside: Option<Aside>,
    /// The layers below, where they have roots of their own.
    pub(super) overlay: Option<OverlayState>,
    pub(super) done: Unpacked,
    pub(super) left_out: SkipLog,
}

impl Unpacker {
    /// Whatever is in the root counts as a lower layer.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Unpack`] where the root cannot be read.
    pub fn new(root: RootDir, options: UnpackOptions) -> Result<Self> {
        let bare = is_empty(&root).map_err(|error| failed("unpack", "root", error))?;
        let user = ProcessUser::of_process();
        let foreign = user.lacks(&root).map_err(|error| failed("unpack", "root", error.into()))?;
        let mut later = DeferredDirs::default();
        if options.new_root {
            later.set(b"", implicit_dir());
        }
        Ok(Self {
            root,
            options,
            user,
            directories: OpenDirCache::default(),
            later,
            made: None,
            missing_devices: LayerPaths::default(),
            foreign,
            root_was_empty: bare,
            stage: None,
            aside: None,
            overlay: None,
            done: Unpacked::default(),
            left_out: SkipLog::default(),
        })
    }

    /// Applies a layer, up to the end of its tar; `name` is for errors.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Unpack`] naming layer and entry.
    pub fn apply<R: BufRead>(&mut self, name: &str, layer: &mut Entries<R>) -> Result<()> {
        self.apply_changes(name, layer)
    }

    pub(super) fn apply_changes(&mut self, name: &str, layer: &mut impl Changeset) -> Result<()> {
        self.made = (!self.root_was_empty || self.overlay.is_some()).then(LayerPaths::default);
        let mut last = String::new();
        loop {
            let entry = match layer.next_entry() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) => return Err(failed(name, &last, error)),
            };
            let result = self.entry(&entry, layer);
            last = String::from_utf8_lossy(&entry.path).into_owned();
            result.map_err(|error| failed(name, &last, error))?;
            if self.later.is_full() {
                self.apply_deferred(name)?;
            }
        }
        self.root_was_empty = false;
        self.aside = None;
        self.write_whiteouts(name)
    }

    /// Gives directories their times and modes; nothing may be applied afterwards.
    pub fn finish(mut self) -> Result<Unpacked> {
        self.apply_deferred("unpack")?;
        self.done.left_out = self.left_out.into_list();
        Ok(self.done)
    }

    fn apply_deferred(&mut self, name: &str) -> Result<()> {
        self.directories.clear();
        let settled = self.later.apply(&self.root);
        settled.map_err(|(path, error)| failed(name, &String::from_utf8_lossy(&path), error))
    }

    fn entry(&mut self, entry: &LayerEntry, layer: &mut impl Changeset) -> io::Result<()> {
        self.done.entries += 1;
        if entry.is_leftover() {
            return self.put_aside(entry, layer);
        }
        match entry.kind {
            EntryKind::Whiteout => return self.apply_whiteout(&entry.path),
            EntryKind::Opaque => return self.apply_opaque(&entry.path),
            EntryKind::Directory if entry.path.is_empty() => return self.set_root_metadata(entry),
            _ => {}
        }
        let (parent, name) = split(&entry.path);
        let parent = self.parent(parent)?;
        if let Some(made) = &mut self.made {
            let mut path = parent.path.clone();
            push(&mut path, name);
            made.note(&path);
            made.note_all(&parent.path);
        }
        if parent.path.len() + 1 + name.len() > PATH_MAX {
            return Err(Errno::NAMETOOLONG.into());
        }
        self.create(&parent, name, entry, layer)
    }

    /// The directory that a path leads to, made where there is none.
    pub(super) fn parent(&mut self, path: &[u8]) -> io::Result<Arc<OpenDir>> {
        match self.directories.get(path) {
            Some(directory) => Ok(directory),
            None => self.find(path, true)?.ok_or_else(|| Errno::NOENT.into()),
        }
    }

    /// The directory that a path leads to; where there is none, it is made or there is nothing.
    pub(super) fn find(&mut self, path: &[u8], make: bool) -> io::Result<Option<Arc<OpenDir>>> {
        if let Some(directory) = self.directories.get(path) {
            return Ok(Some(directory));
        }
        let Some((without_links, handle)) = self.open(path, make)? else { return Ok(None) };
        let stat = fstat(&handle)?;
        let mtime = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec.cast_signed() };
        let is_foreign = self.foreign && without_links.is_empty();
        if !is_foreign {
            self.later.keep(&without_links, mtime);
        }
        if !self.user.is_root() && !is_foreign && stat.st_mode & 0o700 != 0o700 {
            allow(&handle)?;
            self.later.keep_mode(&without_links, stat.st_mode & 0o7777);
        }
        let group = (stat.st_mode & 0o2000 != 0).then_some(stat.st_gid);
        let directory = Arc::new(OpenDir { path: without_links, handle, group });
        self.directories.keep(path, &directory);
        Ok(Some(directory))
    }

    /// Opens a directory, and tells its path without links.
    fn open(&mut self, path: &[u8], make: bool) -> io::Result<Option<(Vec<u8>, OwnedFd)>> {
        // Links are rare, and only where this fails is it worth looking for them.
        if let Ok(handle) = self.root.directory(path) {
            return Ok(Some((path.to_vec(), handle)));
        }
        let resolved = match self.resolve(path) {
            // As below a directory that is not there.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory && !make => return Ok(None),
            other => other?,
        };
        let handle = match self.root.directory(&resolved) {
            Err(Errno::NOENT) if make || self.has_directory_below(&resolved)? => {
                self.make_all(&resolved)?
            }
            Err(Errno::NOENT | Errno::NOTDIR) if !make => return Ok(None),
            other => other?,
        };
        Ok(Some((resolved, handle)))
    }

    /// Makes a directory and all that are missing above it.
    fn make_all(&mut self, path: &[u8]) -> io::Result<OwnedFd> {
        let mut handle = self.root.directory(b"")?;
        let mut made = Vec::new();
        for name in path.split(|&byte| byte == b'/') {
            push(&mut made, name);
            let open = || open_below(handle.as_fd(), name, OFlags::PATH | OFlags::DIRECTORY);
            handle = match open() {
                Err(Errno::NOENT) => {
                    let below = self.directory_below(&made)?;
                    mkdirat(&handle, name, Mode::from_raw_mode(IMPLICIT_DIR_MODE))?;
                    let like = |seen| self.copy_dir_metadata(&made, &seen);
                    let last = below.map_or_else(|| Ok(implicit_dir()), like)?;
                    self.later.set(&made, last);
                    open()?
                }
                other => other?,
            };
        }
        Ok(handle)
    }

    /// Removes whatever is in the way of something new.
    pub(super) fn remove(&mut self, parent: &OpenDir, name: &[u8]) -> io::Result<()> {
        let mut path = parent.path.clone();
        push(&mut path, name);
        match unlinkat(&parent.handle, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {
                let later = &mut self.later;
                clear(&self.root, &path, &|_| false, &mut |gone| later.forget(gone))?;
            }
            other => other?,
        }
        self.directories.forget(&path);
        Ok(())
    }

    /// Forgets what could not be kept of an entry, and tells.
    pub(super) fn take_left_out(&mut self) -> SkipLog {
        std::mem::take(&mut self.left_out)
    }

    pub(super) fn skip(&mut self, cause: SkipReason, entry: &LayerEntry) {
        self.left_out.note(cause, &entry.path);
    }
}

fn implicit_dir() -> DirMetadata {
    DirMetadata { mtime: Timespec { tv_sec: 0, tv_nsec: 0 }, mode: Some(IMPLICIT_DIR_MODE) }
}

/// Whether there is nothing in it but what says that it is not whole.
fn is_empty(root: &RootDir) -> io::Result<bool> {
    for child in Dir::read_from(root.as_fd())? {
        let child = child?;
        if !matches!(child.file_name().to_bytes(), b"." | b".." | MARKER) {
            return Ok(false);
        }
    }
    Ok(true)
}
