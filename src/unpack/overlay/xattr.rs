//! Whiteouts and opaque markers in the format of overlayfs. Kernel documentation: `overlayfs.rst`, "whiteouts and
//! opaque directories".

use rustix::fd::AsFd;
use rustix::fs::{
    AtFlags, FileType, Mode, Stat, Timespec, XattrFlags, fgetxattr, fsetxattr, mknodat, utimensat,
};
use rustix::io::Errno;

use crate::unpack::deferred::times;

/// The namespace of the extended attributes that overlayfs reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OverlayXattr {
    /// `trusted.overlay.*`: only root can set them, every mount reads them.
    Trusted,
    /// `user.overlay.*`: only mounts with `userxattr` read them.
    User,
}

impl OverlayXattr {
    /// Returns the namespace that works without mount options, if this process may use it. In a user namespace not even
    /// root may.
    pub(super) fn for_process(directory: impl AsFd) -> Self {
        let probe = fsetxattr(directory, "trusted.rpull.overlay", b"y", XattrFlags::empty());
        if probe.is_ok() { Self::Trusted } else { Self::User }
    }

    /// The mount option that makes overlayfs use this prefix.
    pub(super) fn option(self) -> &'static str {
        match self {
            Self::Trusted => "",
            Self::User => "userxattr,",
        }
    }

    fn opaque(self) -> &'static str {
        match self {
            Self::Trusted => "trusted.overlay.opaque",
            Self::User => "user.overlay.opaque",
        }
    }

    /// Makes a directory opaque: it hides all lower entries.
    pub(super) fn mark_opaque(self, directory: impl AsFd) -> Result<(), Errno> {
        fsetxattr(directory, self.opaque(), b"y", XattrFlags::empty())
    }

    pub(super) fn is_opaque(self, directory: impl AsFd) -> Result<bool, Errno> {
        let mut value = [0; 1];
        match fgetxattr(directory, self.opaque(), &mut value[..]) {
            Ok(_) => Ok(value == *b"y"),
            // Not set, or set to a longer value.
            Err(Errno::NODATA | Errno::NOTSUP | Errno::RANGE) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Creates a whiteout for this name. Device 0:0 needs no privileges.
pub(super) fn make_whiteout(directory: impl AsFd, name: &[u8]) -> Result<(), Errno> {
    let directory = directory.as_fd();
    mknodat(directory, name, FileType::CharacterDevice, Mode::empty(), 0)?;
    let epoch = Timespec { tv_sec: 0, tv_nsec: 0 };
    utimensat(directory, name, &times(epoch), AtFlags::SYMLINK_NOFOLLOW)
}

pub(super) fn is_whiteout(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice && found.st_rdev == 0
}
