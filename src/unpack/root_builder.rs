//! Builds a root: next to its final path until it is complete, or in place if it is a mount point.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{
    AtFlags, Dir, FlockOperation, Mode, OFlags, RenameFlags, StatxAttributes, StatxFlags, fchmod,
    flock, fstat, fsync, renameat, renameat_with, statx, syncfs, unlinkat,
};
use rustix::io::Errno;

use super::remove::clear;
use super::root::{RootDir, create, open_below};
use super::staging_dir::{StagingDir, remove_stale};
use super::unpacker::{UnpackOptions, Unpacked, Unpacker};
use super::{INCOMPLETE_FILE_NAME, failed};
use crate::control::Control;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Error, ErrorDetail, Result};
use crate::image_layers::LayerBlob;
use crate::setters::setters;

/// The directory that `mkfs` creates in an empty file system.
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// How the layers of an image become files.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct BuildOptions {
    /// Keep set-user-ID and set-group-ID bits even if not root.
    pub preserve: bool,
    /// Sync everything to disk before the root becomes visible.
    pub sync: bool,
}

impl BuildOptions {
    setters! {
        flag preserve;
        flag sync;
    }
}

/// A root that is being built. Dropping it removes what was built so far.
#[derive(Debug)]
pub struct RootBuilder {
    path: PathBuf,
    root: OwnedFd,
    site: BuildSite,
    published: bool,
}

#[derive(Debug)]
enum BuildSite {
    InPlace,
    Staged {
        parent: RootDir,
        name: Vec<u8>,
        staging: StagingDir,
        /// Whether an empty directory has the name.
        replaces: bool,
    },
}

impl RootBuilder {
    /// Starts building a root at this path, which must be missing or an empty directory. Removes what killed processes
    /// left next to it.
    ///
    /// # Errors
    /// [`ErrorKind::Unpack`] with the path.
    pub fn begin(path: &Path) -> Result<Self> {
        // Without a trailing slash, which would follow a symbolic link.
        let path: PathBuf = path.components().collect();
        let (root, site) = prepare_site(&path).map_err(|error| unpack_error(&path, error))?;
        // A default ACL would change every mode.
        _ = rustix::fs::fremovexattr(&root, "system.posix_acl_default").is_ok();
        Ok(Self { root, site, published: false, path })
    }

    /// Applies layers, base first, and makes the root visible once it is complete and `settled` has confirmed the
    /// layers. Returns the uncompressed size of each.
    ///
    /// # Errors
    /// Like [`Unpacker::apply_parallel`], and any error of `settled`.
    pub fn apply(
        mut self,
        layers: Vec<LayerBlob<'_>>,
        options: BuildOptions,
        control: &Control,
        settled: impl FnOnce() -> Result<()>,
    ) -> Result<(Unpacked, Vec<u64>)> {
        let unpack = UnpackOptions { preserve: options.preserve, new_root: self.is_new() };
        let mut unpacker = Unpacker::new(self.root()?, unpack)?;
        let sizes = unpacker.apply_parallel(layers, control)?;
        let receipt = unpacker.finish()?;
        settled()?;
        let published = self.publish(options);
        published.map_err(|error| unpack_error(&self.path, error))?;
        Ok((receipt, sizes))
    }

    fn root(&self) -> Result<RootDir> {
        self.root
            .try_clone()
            .map(RootDir::from_handle)
            .map_err(|error| unpack_error(&self.path, error))
    }

    /// Whether the root is new. If not, it keeps its mode unless a layer has an entry for it.
    fn is_new(&self) -> bool {
        matches!(self.site, BuildSite::Staged { .. })
    }

    /// Makes the complete tree visible; with [`BuildOptions::sync`] only after it is on disk.
    fn publish(&mut self, options: BuildOptions) -> io::Result<()> {
        if options.sync {
            syncfs(&self.root)?;
        }
        match &self.site {
            BuildSite::InPlace => unlinkat(&self.root, INCOMPLETE_FILE_NAME, AtFlags::empty())?,
            BuildSite::Staged { staging, .. } if !self.is_in_place(staging)? => {
                return Err(io::Error::other("was replaced by another process during the unpack"));
            }
            BuildSite::Staged { parent, name, staging, replaces } => {
                let (dir, tree) = staging.rename_source();
                let former_mode = self.make_writable()?;
                if *replaces {
                    // Fails if it is no longer empty.
                    renameat(dir, tree, parent, &name[..])?;
                } else {
                    renameat_with(dir, tree, parent, &name[..], RenameFlags::NOREPLACE)?;
                }
                if let Some(mode) = former_mode {
                    fchmod(&self.root, mode)?;
                    if options.sync {
                        fsync(&self.root)?;
                    }
                }
                // The empty staging directory does no harm; the next run removes it.
                _ = staging.remove(parent).is_ok();
            }
        }
        self.published = true;
        if options.sync {
            match &self.site {
                BuildSite::InPlace => fsync(&self.root)?,
                BuildSite::Staged { parent, .. } => fsync(parent)?,
            }
        }
        Ok(())
    }

    /// Makes the root writable for its owner: without that, only root can move a directory to another parent. Returns
    /// the mode to restore afterwards.
    fn make_writable(&self) -> io::Result<Option<Mode>> {
        let mode = fstat(&self.root)?.st_mode & 0o7777;
        if mode & 0o200 != 0 || rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        fchmod(&self.root, Mode::from_raw_mode(mode | 0o200))?;
        Ok(Some(Mode::from_raw_mode(mode)))
    }

    /// Whether the tree is still where it was created: another process may have replaced it.
    fn is_in_place(&self, staging: &StagingDir) -> io::Result<bool> {
        let (dir, tree) = staging.rename_source();
        let found = match open_below(dir, tree.as_bytes(), OFlags::PATH) {
            Err(Errno::NOENT) => return Ok(false),
            other => fstat(other?)?,
        };
        let root = fstat(&self.root)?;
        Ok((found.st_dev, found.st_ino) == (root.st_dev, root.st_ino))
    }

    fn discard(&self) -> io::Result<()> {
        match &self.site {
            BuildSite::InPlace => {
                let root = RootDir::from_handle(self.root.try_clone()?);
                let is_kept = |path: &[u8]| {
                    path.is_empty() || path == INCOMPLETE_FILE_NAME || path == LOST_AND_FOUND
                };
                clear(&root, b"", &is_kept, &mut |_| {})?;
                unlinkat(&self.root, INCOMPLETE_FILE_NAME, AtFlags::empty())?;
                Ok(())
            }
            BuildSite::Staged { staging, .. } if !self.is_in_place(staging)? => {
                Err(io::Error::other("was moved by another process during the unpack"))
            }
            BuildSite::Staged { parent, staging, .. } => staging.remove(parent),
        }
    }
}

/// The directory contains an incomplete tree of a process that no longer runs.
#[derive(Debug)]
struct IncompleteRootError;

impl std::error::Error for IncompleteRootError {}

impl std::fmt::Display for IncompleteRootError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("contains an incomplete unpack")
    }
}

fn unpack_error(path: &Path, error: io::Error) -> Error {
    let is_incomplete =
        error.get_ref().and_then(|inner| inner.downcast_ref::<IncompleteRootError>()).is_some();
    let error = failed("unpack", &path.display().to_string(), error);
    if is_incomplete { error.with_detail(Some(ErrorDetail::IncompleteRoot)) } else { error }
}

impl Drop for RootBuilder {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = self.discard()
        {
            tracing::warn!(
                "failed to remove what was unpacked beside {}: {error}",
                self.path.display()
            );
        }
    }
}

fn prepare_site(path: &Path) -> io::Result<(OwnedFd, BuildSite)> {
    let replaces = match path.symlink_metadata() {
        Ok(found) if found.is_dir() => true,
        Ok(found) if found.is_symlink() => return Err(io::Error::other("is a symbolic link")),
        Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    if replaces {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let existing = rustix::fs::open(path, flags, Mode::empty())?;
        let is_mounted = is_mounted(&existing)?;
        let in_place = is_mounted || path.file_name().is_none();
        if in_place
            && flock(&existing, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK)
        {
            return Err(io::Error::other("another process is unpacking into it"));
        }
        check_empty(&existing, if is_mounted { &[LOST_AND_FOUND] } else { &[] })?;
        if in_place {
            create(existing.as_fd(), INCOMPLETE_FILE_NAME, 0o600)?;
            return Ok((existing, BuildSite::InPlace));
        }
    }
    let name = path.file_name().ok_or(io::ErrorKind::NotFound)?.as_encoded_bytes().to_vec();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::open(parent.unwrap_or(Path::new(".")), flags, Mode::empty())?;
    let parent = RootDir::from_handle(parent);
    remove_stale(&parent)?;
    let staging = StagingDir::create(&parent)?;
    Ok((staging.tree()?, BuildSite::Staged { parent, name, staging, replaces }))
}

fn is_mounted(directory: &OwnedFd) -> io::Result<bool> {
    let found = statx(directory, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
    Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Checks that a directory has only entries of these names.
fn check_empty(directory: &OwnedFd, allowed: &[&[u8]]) -> io::Result<()> {
    let mut is_empty = true;
    for child in Dir::read_from(directory)? {
        let child = child?;
        match child.file_name().to_bytes() {
            INCOMPLETE_FILE_NAME => return Err(io::Error::other(IncompleteRootError)),
            b"." | b".." => {}
            name => is_empty &= allowed.contains(&name),
        }
    }
    if is_empty { Ok(()) } else { Err(io::ErrorKind::DirectoryNotEmpty.into()) }
}
