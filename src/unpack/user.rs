//! The user of this process, and the owner and mode that the kernel gives to its new files.

use rustix::fd::AsFd;
use rustix::fs::{Gid, Mode, Uid, fchmod, fstat};
use rustix::io::Errno;

/// The process's user.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProcessUser {
    uid: u32,
    gid: u32,
    /// Bits that the kernel clears in the mode of new files.
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

    /// Whether this user can set owners and create devices.
    pub(super) fn is_root(self) -> bool {
        self.uid == 0
    }

    /// Whether a directory belongs to another user, so that this one cannot change its metadata.
    pub(super) fn is_foreign(self, directory: impl AsFd) -> Result<bool, Errno> {
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

    /// Returns the mode that a new file gets when it is created with this one.
    pub(super) fn creation_mode(self, mode: u32) -> u32 {
        mode & 0o777 & !self.umask
    }

    /// Returns how the owner of a new file must change; `group` is that of a set-group-ID parent directory.
    pub(super) fn ownership_change(
        self,
        (uid, gid): (u32, u32),
        group: Option<u32>,
    ) -> Option<(Option<Uid>, Option<Gid>)> {
        let uid = (uid != self.uid).then(|| Uid::from_raw(uid));
        let gid = (gid != group.unwrap_or(self.gid)).then(|| Gid::from_raw(gid));
        (uid.is_some() || gid.is_some()).then_some((uid, gid))
    }

    /// Whether this is the owner and group of the process.
    pub(super) fn matches(self, owner: (u32, u32)) -> bool {
        owner == (self.uid, self.gid)
    }
}

/// Sets the umask to 0, so that files are created with their final mode, without a `chmod`.
///
/// It is that of the process: whatever other threads create meanwhile, such as a pull that provides the layers, must be given a
/// private mode.
pub fn clear_umask() {
    rustix::process::umask(Mode::empty());
}

/// Returns the umask of the process, from a file: the system call would change it for other threads.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    // If the umask cannot be read, it may clear any bit.
    line.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok()).unwrap_or(0o777)
}
