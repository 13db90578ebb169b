//! Applies a layer to an overlay directory: writes whiteouts, and copies up files of lower layers that it changes. Only
//! these operations wait for the lower layers.

use std::collections::BTreeSet;
use std::io;

use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{AtFlags, FileType, OFlags, fstat, readlinkat, statat};
use rustix::io::Errno;

use super::copy_up::{copy, copy_directory_metadata, mtime};
use super::merged::MergedEntry;
use super::state::directories_to;
use super::xattr::make_whiteout;
use crate::error::Result;
use crate::image_layers::skipped::SkipReason;
use crate::layer::{LayerEntry, split};
use crate::unpack::deferred::DirMetadata;
use crate::unpack::directories::OpenDir;
use crate::unpack::failed;
use crate::unpack::root::open_below;
use crate::unpack::unpacker::{IfMissing, Unpacker};

impl Unpacker {
    /// Like [`RootDir::resolve`](crate::unpack::root::RootDir::resolve), but also follows symbolic links of lower layers.
    pub(in crate::unpack) fn resolve(&mut self, path: &[u8]) -> io::Result<Vec<u8>> {
        let overlay = &mut self.overlay;
        let mut lower_link = |path: &[u8]| {
            let Some(overlay) = overlay else { return Ok(None) };
            let Some(entry) = overlay.find(path)? else { return Ok(None) };
            if FileType::from_raw_mode(entry.stat.st_mode) != FileType::Symlink {
                return Ok(None);
            }
            let link = open_below(entry.layer.as_fd(), path, OFlags::PATH)?;
            Ok(Some(readlinkat(&link, "", Vec::new())?.into_bytes()))
        };
        self.root.resolve(path, &mut lower_link)
    }

    /// Whether the lower layers have a directory at this path.
    pub(in crate::unpack) fn has_lower_directory(&mut self, path: &[u8]) -> io::Result<bool> {
        let Some(overlay) = &mut self.overlay else { return Ok(false) };
        Ok(overlay.find(path)?.is_some_and(|entry| entry.is_directory()))
    }

    /// Returns the directory of the lower layers at this path.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotADirectory`] if they have something else there.
    pub(in crate::unpack) fn lower_directory(
        &mut self,
        path: &[u8],
    ) -> io::Result<Option<MergedEntry>> {
        let Some(overlay) = &mut self.overlay else { return Ok(None) };
        match overlay.find(path)? {
            Some(entry) if !entry.is_directory() => Err(Errno::NOTDIR.into()),
            entry => Ok(entry),
        }
    }

    /// Copies the metadata of a lower directory to the new one at the same path. Returns its mode and time.
    pub(in crate::unpack) fn copy_dir_metadata(
        &self,
        path: &[u8],
        lower: &MergedEntry,
    ) -> io::Result<DirMetadata> {
        copy_directory_metadata(lower, path, &self.root.readable(path)?, self.user)?;
        Ok(DirMetadata { mtime: mtime(&lower.stat), mode: Some(lower.stat.st_mode & 0o7777) })
    }

    /// Hides the entries of lower layers at this path, or in this directory.
    pub(in crate::unpack) fn mark_whiteout(&mut self, path: &[u8]) -> io::Result<()> {
        self.overlay.as_mut().map_or(Ok(()), |overlay| overlay.add_whiteout(path))
    }

    pub(in crate::unpack) fn mark_root_explicit(&mut self) {
        if let Some(overlay) = &mut self.overlay {
            overlay.root_is_explicit = true;
        }
    }

    /// Whether this layer or a lower one has an entry of this name.
    pub(in crate::unpack) fn exists_in_merged(
        &mut self,
        parent: &OpenDir,
        name: &[u8],
    ) -> io::Result<bool> {
        if exists(parent, name) {
            return Ok(true);
        }
        let Some(overlay) = &mut self.overlay else { return Ok(false) };
        Ok(overlay.find(&parent.joined(name))?.is_some())
    }

    /// Copies the target of a hard link if a lower layer has it.
    pub(in crate::unpack) fn copy_up(&mut self, parent: &OpenDir, name: &[u8]) -> io::Result<()> {
        let Some(overlay) = &mut self.overlay else { return Ok(()) };
        if exists(parent, name) {
            return Ok(());
        }
        let path = parent.joined(name);
        let Some(lower) = overlay.find(&path)? else { return Ok(()) };
        if lower.is_directory() {
            return Err(io::Error::other("is a hard link to a directory"));
        }
        self.totals.bytes += copy(&lower, &path, &parent.handle, name, self.user)?;
        Ok(())
    }

    /// Replaces a device that overlayfs takes for a whiteout by a whiteout, as the image intends.
    pub(in crate::unpack) fn device_as_whiteout(
        &mut self,
        parent: &OpenDir,
        name: &[u8],
        entry: &LayerEntry,
    ) -> io::Result<()> {
        if exists(parent, name) {
            self.remove(parent, name)?;
        }
        self.skip(SkipReason::WhiteoutDevice, entry);
        let path = parent.joined(name);
        self.missing_devices.add(&path);
        self.mark_whiteout(&path)
    }

    /// Finishes a layer: writes its whiteouts, which needs all of its entries.
    pub(in crate::unpack) fn write_whiteouts(&mut self, name: &str) -> Result<()> {
        self.write_all_whiteouts()
            .map_err(|(path, error)| failed(name, &String::from_utf8_lossy(&path), error))
    }

    fn write_all_whiteouts(&mut self) -> Result<(), (Vec<u8>, io::Error)> {
        let at_root = |error| (Vec::new(), error);
        let Some(overlay) = &mut self.overlay else { return Ok(()) };
        overlay.expand_root_opaque().map_err(at_root)?;
        let whiteouts = std::mem::take(&mut overlay.whiteouts);
        // Without an entry for the root, the layer shows that of the lower layers.
        let lower_root = if overlay.root_is_explicit { Ok(None) } else { overlay.root() };
        if let Some(lower) = lower_root.map_err(at_root)? {
            let metadata = self.copy_dir_metadata(b"", &lower).map_err(at_root)?;
            self.deferred.set(b"", metadata);
        }
        for path in &whiteouts {
            self.write_whiteout(path, &whiteouts).map_err(|error| (path.clone(), error))?;
        }
        Ok(())
    }

    /// Writes one of the layer's whiteouts.
    fn write_whiteout(&mut self, path: &[u8], whiteouts: &BTreeSet<Vec<u8>>) -> io::Result<()> {
        let Some(overlay) = &mut self.overlay else { return Ok(()) };
        let namespace = overlay.namespace;
        // A whiteout without a lower entry would be visible in listings.
        if overlay.find(path)?.is_none() {
            return Ok(());
        }
        match open_below(self.root.as_fd(), path, OFlags::PATH) {
            Ok(entry) if is_directory(&entry)? => {
                Ok(namespace.mark_opaque(self.root.readable(path)?)?)
            }
            // The existing entry hides the lower one, or a non-directory in its path does.
            Ok(_) | Err(Errno::NOTDIR | Errno::LOOP) => Ok(()),
            // The whiteout of a parent hides this path too.
            Err(Errno::NOENT) if directories_to(path).any(|parent| whiteouts.contains(parent)) => {
                Ok(())
            }
            Err(Errno::NOENT) => {
                let (parent, name) = split(path);
                match self.find(parent, IfMissing::ReturnNone)? {
                    Some(parent) => make_whiteout(&parent.handle, name).map_err(whiteout_error),
                    None => Ok(()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Explains a whiteout that could not be created. Old kernels forbid it in user namespaces, and so do some sandboxes.
fn whiteout_error(error: Errno) -> io::Error {
    match error {
        Errno::PERM => io::Error::other(
            "cannot create its whiteout: this kernel or sandbox refuses device 0:0",
        ),
        error => error.into(),
    }
}

fn exists(parent: &OpenDir, name: &[u8]) -> bool {
    statat(&parent.handle, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

fn is_directory(handle: &OwnedFd) -> io::Result<bool> {
    Ok(FileType::from_raw_mode(fstat(handle)?.st_mode) == FileType::Directory)
}
