//! Creates one entry in an open directory with few system calls: a small regular file costs `openat2`, `write`,
//! `futimens` and `close`, and a `renameat2` if it was read ahead.

use std::fs::File;
use std::io::{self, BufRead, Seek as _, SeekFrom, Write as _};

use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Uid, chownat, fchmod, fchown, futimens, linkat, makedev,
    mkdirat, mknodat, statat, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::changeset::Changeset;
use super::deferred::{DirMetadata, times, timespec};
use super::directories::OpenDir;
use super::remove::{open_writable, set_mode};
use super::root::{create, open_below};
use super::unpacker::{IfMissing, Unpacker};
use super::xattrs;
use crate::image_layers::skipped::SkipReason;
use crate::layer::{AufsFile, Entries, EntryKind, LayerEntry, is_aufs_metadata, split};

/// Set-user-id and set-group-id.
const SET_ID: u32 = 0o6000;

impl Unpacker {
    pub(super) fn create(
        &mut self,
        parent: &OpenDir,
        name: &[u8],
        entry: &LayerEntry,
        layer: &mut impl Changeset,
    ) -> io::Result<()> {
        match entry.kind {
            EntryKind::File => {
                layer.write_file(self, parent, name, entry)?;
                self.totals.files += 1;
                self.totals.bytes += entry.size;
                Ok(())
            }
            EntryKind::Directory => self.directory(parent, name, entry),
            EntryKind::Symlink => self.symlink(parent, name, entry),
            EntryKind::Hardlink => self.hardlink(parent, name, entry),
            EntryKind::Character | EntryKind::Block | EntryKind::Fifo => {
                self.special_file(parent, name, entry)
            }
            // Markers create nothing.
            EntryKind::Whiteout | EntryKind::Opaque => Ok(()),
        }
    }

    pub(super) fn file<R: BufRead>(
        &mut self,
        parent: &OpenDir,
        name: &[u8],
        entry: &LayerEntry,
        layer: &mut Entries<R>,
    ) -> io::Result<()> {
        let mode = self.mode(entry);
        let at_first = mode & 0o777;
        let mut file =
            File::from(self.replace_existing(parent, name, || {
                create(parent.handle.as_fd(), name, at_first)
            })?);
        let mut end = 0;
        while let Some((offset, bytes)) = layer.next_data()? {
            if offset != end {
                file.seek(SeekFrom::Start(offset))?;
            }
            file.write_all(bytes)?;
            end = offset + bytes.len() as u64;
        }
        if end != entry.size {
            file.set_len(entry.size)?;
        }
        // Owners first: `chown` clears set-id bits and capabilities, as writing does.
        let change = self.user.ownership_change((entry.uid, entry.gid), parent.group);
        let mode = self.change_owner(change, mode, entry, |uid, gid| fchown(&file, uid, gid))?;
        for (name, value) in &entry.xattrs {
            if let Some(cause) = xattrs::set(&file, name, value)? {
                self.skip(cause, entry);
            }
        }
        if mode != self.user.creation_mode(mode) {
            fchmod(&file, Mode::from_raw_mode(mode))?;
        }
        futimens(&file, &times(timespec(entry.mtime)))?;
        Ok(())
    }

    fn directory(&mut self, parent: &OpenDir, name: &[u8], entry: &LayerEntry) -> io::Result<()> {
        let mode = self.mode(entry);
        // The owner must be able to create entries in it.
        let at_first = Mode::from_raw_mode((mode & 0o777) | 0o700);
        let mut existed = false;
        let mut path = parent.path.clone();
        crate::image_layers::resolve::push(&mut path, name);
        match mkdirat(&parent.handle, name, at_first) {
            Err(Errno::EXIST) => {
                let found = statat(&parent.handle, name, AtFlags::SYMLINK_NOFOLLOW)?;
                existed = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
                if !existed {
                    self.remove(parent, name)?;
                    mkdirat(&parent.handle, name, at_first)?;
                    // The removed file hid a directory that a lower layer may have.
                    self.mark_whiteout(&path)?;
                }
            }
            other => other?,
        }
        let mode = if existed || !entry.xattrs.is_empty() {
            let handle = open_writable(&self.root, &path)?;
            self.set_dir_metadata(&handle, mode, entry)?
        } else {
            let change = self.user.ownership_change((entry.uid, entry.gid), parent.group);
            self.change_owner(change, mode, entry, |uid, gid| {
                chownat(&parent.handle, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            })?
        };
        let mode = self.readable(mode, entry);
        let is_final =
            !existed && parent.group.is_none() && self.user.creation_mode(mode | 0o700) == mode;
        let mode = (!is_final).then_some(mode);
        self.deferred.set(&path, DirMetadata { mtime: timespec(entry.mtime), mode });
        Ok(())
    }

    pub(super) fn set_root_metadata(&mut self, entry: &LayerEntry) -> io::Result<()> {
        self.mark_root_explicit();
        if self.foreign {
            self.skip(SkipReason::ForeignRoot, entry);
            return Ok(());
        }
        let mode = self.mode(entry);
        let handle = open_writable(&self.root, b"")?;
        let mode = self.set_dir_metadata(&handle, mode, entry)?;
        let mode = Some(self.readable(mode, entry));
        self.deferred.set(b"", DirMetadata { mtime: timespec(entry.mtime), mode });
        Ok(())
    }

    /// Sets owner and attributes of an existing directory to those of the entry. Returns the mode that it may get.
    fn set_dir_metadata(
        &mut self,
        directory: &OwnedFd,
        mode: u32,
        entry: &LayerEntry,
    ) -> io::Result<u32> {
        let change = (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)));
        let mode =
            self.change_owner(Some(change), mode, entry, |uid, gid| fchown(directory, uid, gid))?;
        xattrs::remove_except(directory, &entry.xattrs)?;
        for (name, value) in &entry.xattrs {
            if let Some(cause) = xattrs::set(directory, name, value)? {
                self.skip(cause, entry);
            }
        }
        Ok(mode)
    }

    pub(super) fn symlink(
        &mut self,
        parent: &OpenDir,
        name: &[u8],
        entry: &LayerEntry,
    ) -> io::Result<()> {
        self.replace_existing(parent, name, || symlinkat(&entry.link[..], &parent.handle, name))?;
        self.change_owner_at(parent, name, 0, entry)?;
        set_time(parent, name, entry)
    }

    fn hardlink(&mut self, parent: &OpenDir, name: &[u8], entry: &LayerEntry) -> io::Result<()> {
        if !is_aufs_metadata(&entry.link) {
            return self.link(parent, name, &entry.link, entry);
        }
        match self.link_to_aufs_file(parent, name, &entry.link)? {
            Some(AufsFile::Own(())) => Ok(()),
            Some(AufsFile::NameOf(other)) => self.link(parent, name, &other, entry),
            None => Err(missing()),
        }
    }

    /// Creates a hard link to the path `other`.
    fn link(
        &mut self,
        parent: &OpenDir,
        name: &[u8],
        other: &[u8],
        entry: &LayerEntry,
    ) -> io::Result<()> {
        let (other, other_name) = split(other);
        let other = self.find(other, IfMissing::ReturnNone)?.ok_or_else(missing)?;
        if self.missing_devices.has(&other.joined(other_name))
            && !self.exists_in_merged(&other, other_name)?
        {
            return self.skip_device(parent, name, entry);
        }
        if (&other.path, other_name) == (&parent.path, name) {
            // Creating it again would remove it.
            return if self.exists_in_merged(&other, other_name)? {
                Ok(())
            } else {
                Err(missing())
            };
        }
        self.copy_up(&other, other_name)?;
        let link = || linkat(&other.handle, other_name, &parent.handle, name, AtFlags::empty());
        self.replace_existing(parent, name, link).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing(),
            io::ErrorKind::PermissionDenied => {
                let found = statat(&other.handle, other_name, AtFlags::SYMLINK_NOFOLLOW);
                let is_directory = found.is_ok_and(|found| {
                    FileType::from_raw_mode(found.st_mode) == FileType::Directory
                });
                if is_directory { io::Error::other("is a hard link to a directory") } else { error }
            }
            _ => error,
        })
    }

    fn special_file(
        &mut self,
        parent: &OpenDir,
        name: &[u8],
        entry: &LayerEntry,
    ) -> io::Result<()> {
        let kind = match entry.kind {
            EntryKind::Character => FileType::CharacterDevice,
            EntryKind::Block => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        let device = makedev(entry.device.major, entry.device.minor);
        if self.overlay.is_some() && kind == FileType::CharacterDevice && device == 0 {
            return self.device_as_whiteout(parent, name, entry);
        }
        let mode = self.mode(entry);
        let at_first = Mode::from_raw_mode(mode & 0o777);
        let make = || mknodat(&parent.handle, name, kind, at_first, device);
        match self.replace_existing(parent, name, make) {
            // In some containers root cannot create devices.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return self.skip_device(parent, name, entry);
            }
            other => other?,
        }
        let mode = self.change_owner_at(parent, name, mode, entry)?;
        if mode != self.user.creation_mode(mode) {
            set_mode(&open_below(parent.handle.as_fd(), name, OFlags::PATH)?, mode)?;
        }
        set_time(parent, name, entry)
    }

    /// Skips a device, or a hard link to one, and removes what it would have replaced.
    fn skip_device(&mut self, parent: &OpenDir, name: &[u8], entry: &LayerEntry) -> io::Result<()> {
        match self.remove(parent, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        let path = parent.joined(name);
        self.missing_devices.add(&path);
        self.skip(SkipReason::Device, entry);
        self.mark_whiteout(&path)
    }

    /// Sets the owner of an entry that is not open and must not be opened.
    fn change_owner_at(
        &mut self,
        parent: &OpenDir,
        name: &[u8],
        mode: u32,
        entry: &LayerEntry,
    ) -> io::Result<u32> {
        let change = self.user.ownership_change((entry.uid, entry.gid), parent.group);
        self.change_owner(change, mode, entry, |uid, gid| {
            chownat(&parent.handle, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
        })
    }

    /// Creates an entry after removing an existing one of the same name.
    pub(super) fn replace_existing<T>(
        &mut self,
        parent: &OpenDir,
        name: &[u8],
        make: impl Fn() -> Result<T, Errno>,
    ) -> io::Result<T> {
        match make() {
            Err(Errno::EXIST) => {
                self.remove(parent, name)?;
                Ok(make()?)
            }
            other => Ok(other?),
        }
    }

    /// The mode to set: without set-id bits if they must not be kept.
    fn mode(&mut self, entry: &LayerEntry) -> u32 {
        if entry.mode & SET_ID == 0 || self.user.is_root() || self.options.preserve {
            return entry.mode;
        }
        self.skip(SkipReason::SetId, entry);
        entry.mode & !SET_ID
    }

    /// The mode to set for a directory. This user must be able to list it, because upper layers may change its content.
    fn readable(&mut self, mode: u32, entry: &LayerEntry) -> u32 {
        if mode & 0o500 == 0o500 || self.overlay.is_none() || self.user.is_root() {
            return mode;
        }
        self.skip(SkipReason::ClosedDirectory, entry);
        mode | 0o500
    }

    /// Changes the owner with `chown` if permitted. Returns the mode to set: without its owner, a set-id program would run
    /// with the rights of this user.
    fn change_owner(
        &mut self,
        change: Option<(Option<Uid>, Option<Gid>)>,
        mode: u32,
        entry: &LayerEntry,
        chown: impl Fn(Option<Uid>, Option<Gid>) -> Result<(), Errno>,
    ) -> io::Result<u32> {
        if !self.user.is_root() {
            if !self.user.matches((entry.uid, entry.gid)) {
                self.skip(SkipReason::Owner, entry);
            }
            return Ok(mode);
        }
        let Some((uid, gid)) = change else { return Ok(mode) };
        let cause = match chown(uid, gid) {
            Ok(()) => return Ok(mode),
            // The user namespace may map only one of the two.
            Err(Errno::INVAL) => {
                for (uid, gid) in [(uid, None), (None, gid)] {
                    match chown(uid, gid) {
                        Ok(()) | Err(Errno::INVAL | Errno::PERM) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                SkipReason::UnmappedOwner
            }
            // Root has no CAP_CHOWN in some containers, and on network file systems.
            Err(Errno::PERM) => SkipReason::Owner,
            Err(error) => return Err(error.into()),
        };
        self.skip(cause, entry);
        if mode & SET_ID == 0 || self.options.preserve {
            return Ok(mode);
        }
        self.skip(SkipReason::SetId, entry);
        Ok(mode & !SET_ID)
    }
}

fn set_time(parent: &OpenDir, name: &[u8], entry: &LayerEntry) -> io::Result<()> {
    let times = times(timespec(entry.mtime));
    Ok(utimensat(&parent.handle, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn missing() -> io::Error {
    io::Error::other("is a hard link to a file that does not exist")
}
