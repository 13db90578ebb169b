//! Copies files up from a lower layer if the upper layer changes them: hard-linked files, and directories with new
//! entries.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};

use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Uid, chownat, fchmod, fchown, futimens,
    linkat, mknodat, readlinkat, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::merged::MergedEntry;
use crate::layer::split;
use crate::unpack::deferred::times;
use crate::unpack::remove::set_mode;
use crate::unpack::root::{create, open_below};
use crate::unpack::user::ProcessUser;
use crate::unpack::xattrs;

/// Copies a file that is not a directory. Returns the number of bytes.
pub(super) fn copy(
    lower: &MergedEntry,
    path: &[u8],
    to: &OwnedFd,
    name: &[u8],
    user: ProcessUser,
) -> io::Result<u64> {
    let stat = &lower.stat;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind == FileType::RegularFile {
        return copy_file(lower, path, to, name, user);
    }
    if kind == FileType::Symlink {
        let parent = lower.layer.directory(split(path).0)?;
        let target = readlinkat(&parent, split(path).1, Vec::new())?;
        symlinkat(&target, to, name)?;
    } else {
        mknodat(to, name, kind, Mode::from_raw_mode(stat.st_mode & 0o777), stat.st_rdev)?;
        set_mode(&open_below(to.as_fd(), name, OFlags::PATH)?, stat.st_mode & 0o7777)?;
    }
    set_owner(user, stat, |uid, gid| chownat(to, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW))?;
    utimensat(to, name, &times(mtime(stat)), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(0)
}

fn copy_file(
    lower: &MergedEntry,
    path: &[u8],
    to: &OwnedFd,
    name: &[u8],
    user: ProcessUser,
) -> io::Result<u64> {
    let stat = &lower.stat;
    let mut from = match open_below(lower.layer.as_fd(), path, OFlags::RDONLY) {
        // A file that not even its owner may read. Layers are never modified, so a hard link can serve both.
        Err(Errno::ACCESS) => {
            let parent = lower.layer.directory(split(path).0)?;
            linkat(&parent, split(path).1, to, name, AtFlags::empty())?;
            return Ok(0);
        }
        other => File::from(other?),
    };
    let mut file = File::from(create(to.as_fd(), name, stat.st_mode & 0o777)?);
    let size = from.metadata()?.len();
    copy_bytes(&mut from, &mut file, size)?;
    copy_metadata(&from, &file, stat, user)?;
    fchmod(&file, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    futimens(&file, &times(mtime(stat)))?;
    Ok(size)
}

/// Copies data and keeps holes: a small layer may have sparse files of many gigabytes.
fn copy_bytes(from: &mut File, to: &mut File, size: u64) -> io::Result<()> {
    let mut offset = 0;
    loop {
        let start = match rustix::fs::seek(&*from, rustix::fs::SeekFrom::Data(offset)) {
            Ok(start) => start,
            // The rest is a hole.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(&*from, rustix::fs::SeekFrom::Hole(start))?;
        from.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(start))?;
        io::copy(&mut from.take(end - start), to)?;
        offset = end;
    }
    to.set_len(size)?;
    to.flush()
}

/// Copies owner and attributes of the lower directory.
pub(super) fn copy_directory_metadata(
    lower: &MergedEntry,
    path: &[u8],
    to: &OwnedFd,
    user: ProcessUser,
) -> io::Result<()> {
    copy_metadata(&lower.layer.readable(path)?, to, &lower.stat, user)
}

fn copy_metadata(
    from: impl rustix::fd::AsFd,
    to: impl rustix::fd::AsFd,
    stat: &Stat,
    user: ProcessUser,
) -> io::Result<()> {
    set_owner(user, stat, |uid, gid| fchown(&to, uid, gid))?;
    xattrs::copy(from, to)?;
    Ok(())
}

/// Sets the owner with `chown`. Owners that cannot be set were reported when the lower file was created.
fn set_owner(
    user: ProcessUser,
    stat: &Stat,
    chown: impl FnOnce(Option<Uid>, Option<Gid>) -> Result<(), Errno>,
) -> Result<(), Errno> {
    if !user.is_root() {
        return Ok(());
    }
    match chown(Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid))) {
        Err(Errno::INVAL | Errno::PERM) => Ok(()),
        other => other,
    }
}

pub(super) fn mtime(stat: &Stat) -> Timespec {
    Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec.cast_signed() }
}
