//! The user of this process, and the owner and mode that the kernel gives to its new files.

use rustix::fd::AsFd;
use rustix::fs::{Gid, Mode, Uid, fchmod, fstat};
use rustix::io::Errno;

/// The process's user.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProcessUser {
    uid: u32,
    gid: u32,
    /// Bits that the kernel takes out of every new mode.
    umask: u32,
}

impl ProcessUser {
    pub(super) fn of_process() -> Self {
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            umask: umask(),
        }
    }

    /// Whether owners and devices can be made.
    pub(super) fn is_root(self) -> bool {
        self.uid == 0
    }

    /// Whether a directory is another user's, so that this one cannot say what it is.
    pub(super) fn lacks(self, directory: impl AsFd) -> Result<bool, Errno> {
        let found = fstat(&directory)?;
        if found.st_uid == self.uid {
            return Ok(false);
        }
        // Root can, unless the owner has no id in this user namespace.
        match fchmod(&directory, Mode::from_raw_mode(found.st_mode & 0o7777)) {
            Ok(()) => Ok(false),
            Err(Errno::PERM) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The mode without what would not come through when something is made.
    pub(super) fn creation_mode(self, mode: u32) -> u32 {
        mode & 0o777 & !self.umask
    }

    /// What must change about the owner of something new, where its directory gives it this group.
    pub(super) fn ownership_change(
        self,
        (uid, gid): (u32, u32),
        group: Option<u32>,
    ) -> Option<(Option<Uid>, Option<Gid>)> {
        let uid = (uid != self.uid).then(|| Uid::from_raw(uid));
        let gid = (gid != group.unwrap_or(self.gid)).then(|| Gid::from_raw(gid));
        (uid.is_some() || gid.is_some()).then_some((uid, gid))
    }

    /// Whether it is theirs.
    pub(super) fn is(self, owner: (u32, u32)) -> bool {
        owner == (self.uid, self.gid)
    }
}

/// The process's umask, read where reading it does not change it for other threads.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    // Where it cannot be read, any bit may be taken out.
    line.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok()).unwrap_or(0o777)
}
