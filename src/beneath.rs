//! Opens paths below a directory by handle, so that neither a link nor a change by another process leads outside.

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

/// Follows no symbolic link, not even one that another process has just created.
pub(crate) const NO_SYMLINKS: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

/// Opens a path below the directory. A symbolic link in it is an error, except at its end with [`OFlags::PATH`].
pub(crate) fn open_below(
    directory: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    open(directory, path, flags, NO_SYMLINKS)
}

/// Opens a path as in a chroot: symbolic links to directories are followed and lead nowhere outside. One at the end of the
/// path is not followed.
pub(crate) fn open_in_root(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    open(root, path, flags, ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS))
}

fn open(
    directory: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat2(directory, path, flags, Mode::empty(), resolve)
}
