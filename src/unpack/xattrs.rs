//! Sets the extended attributes of image entries on disk.

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;

use crate::image_layers::skipped::SkipReason;
use crate::image_layers::xattr_filter::{CAPABILITY, is_allowed};

/// Maximum size of the attribute names of one file and of one value, in bytes; the kernel has the same limit.
const MAX_XATTR_BYTES: usize = 64 << 10;

/// Sets an attribute. Returns the reason if it cannot be kept.
pub(super) fn set(file: impl AsFd, name: &[u8], value: &[u8]) -> Result<Option<SkipReason>, Errno> {
    if !is_allowed(name) {
        return Ok(Some(SkipReason::ForeignAttribute));
    }
    match fsetxattr(file, name, value, XattrFlags::empty()) {
        Ok(()) => Ok(None),
        Err(Errno::PERM) if name == CAPABILITY => Ok(Some(SkipReason::Capability)),
        // In directories with a sticky bit only the owner may set them.
        Err(Errno::NOTSUP | Errno::PERM) => Ok(Some(SkipReason::UnsupportedAttribute)),
        // This does not mean that the disk is full: attributes have limited space of their own. A full disk would fail
        // for file content, too.
        Err(Errno::NOSPC | Errno::TOOBIG | Errno::RANGE) => Ok(Some(SkipReason::LargeAttribute)),
        Err(error) => Err(error),
    }
}

/// Removes attributes that a lower layer set and this entry does not have.
pub(super) fn remove_except(file: impl AsFd, wanted: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Errno> {
    let file = file.as_fd();
    for name in names(file)? {
        if !wanted.iter().any(|(known, _)| *known == name) {
            fremovexattr(file, &name[..])?;
        }
    }
    Ok(())
}

/// Copies the attributes of one file to another. Skipped ones were reported when the first file was created.
pub(super) fn copy(from: impl AsFd, to: impl AsFd) -> Result<(), Errno> {
    let (from, to) = (from.as_fd(), to.as_fd());
    for name in names(from)? {
        let mut value = vec![0; MAX_XATTR_BYTES];
        let length = fgetxattr(from, &name[..], &mut value[..])?;
        value.truncate(length);
        set(to, &name, &value)?;
    }
    Ok(())
}

/// Names of the attributes that an image may set.
fn names(file: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = vec![0; MAX_XATTR_BYTES];
    let length = match flistxattr(file, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let names = names.get(..length).unwrap_or_default().split(|&byte| byte == 0);
    Ok(names.filter(|name| is_allowed(name)).map(<[u8]>::to_vec).collect())
}
