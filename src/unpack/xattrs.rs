//! Extended attributes: what an image may set on a disk, and what it may not.

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;

use super::skipped::SkipReason;

const CAPABILITY: &[u8] = b"security.capability";

/// Bytes of the names of all attributes of one file, which the kernel limits so.
const NAMES: usize = 64 << 10;

/// Whether an image may say something about it. `trusted.*` and `user.overlay.*` steer overlay file systems, and other
/// attributes belong to the system that the image was made on.
pub(crate) fn is_allowed(name: &[u8]) -> bool {
    (name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")) || name == CAPABILITY
}

/// Sets one, or tells why not.
pub(super) fn set(file: impl AsFd, name: &[u8], value: &[u8]) -> Result<Option<SkipReason>, Errno> {
    if !is_allowed(name) {
        return Ok(Some(SkipReason::ForeignAttribute));
    }
    match fsetxattr(file, name, value, XattrFlags::empty()) {
        Ok(()) => Ok(None),
        Err(Errno::PERM) if name == CAPABILITY => Ok(Some(SkipReason::Capability)),
        // Directories with a sticky bit take them from their owner only.
        Err(Errno::NOTSUP | Errno::PERM) => Ok(Some(SkipReason::UnsupportedAttribute)),
        // Not for want of a disk: attributes have a block or a share of their own. A disk that is full is so for bytes too.
        Err(Errno::NOSPC | Errno::TOOBIG | Errno::RANGE) => Ok(Some(SkipReason::LargeAttribute)),
        Err(error) => Err(error),
    }
}

/// Removes those that a lower layer set and this one does not have.
pub(super) fn remove_except(file: impl AsFd, wanted: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Errno> {
    let file = file.as_fd();
    for name in names(file)? {
        if !wanted.iter().any(|(known, _)| *known == name) {
            fremovexattr(file, &name[..])?;
        }
    }
    Ok(())
}

/// Gives a file those that another one has; what cannot be kept was told of when that one was made.
pub(super) fn copy(from: impl AsFd, to: impl AsFd) -> Result<(), Errno> {
    let (from, to) = (from.as_fd(), to.as_fd());
    for name in names(from)? {
        let mut value = vec![0; NAMES];
        let length = fgetxattr(from, &name[..], &mut value[..])?;
        value.truncate(length);
        set(to, &name, &value)?;
    }
    Ok(())
}

/// The names of those that an image may say something about.
fn names(file: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = vec![0; NAMES];
    let length = match flistxattr(file, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let names = names.get(..length).unwrap_or_default().split(|&byte| byte == 0);
    Ok(names.filter(|name| is_allowed(name)).map(<[u8]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xattr_privileged_namespaces_are_refused() {
        for name in ["user.a", "user.overlayfs", "user.", "security.capability"] {
            assert!(is_allowed(name.as_bytes()), "{name}");
        }
        for name in [
            "trusted.overlay.opaque",
            "trusted.a",
            "user.overlay.opaque",
            "security.selinux",
            "security.capability2",
            "security.ima",
            "system.posix_acl_access",
            "system.nfs4_acl",
            "USER.a",
            "",
        ] {
            assert!(!is_allowed(name.as_bytes()), "{name}");
        }
    }
}
