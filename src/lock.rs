//! Waits for `flock(2)` locks, and says who has them.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};

/// Between two tries to get a lock.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// After so much waiting it is told who is waited for.
const WARN_AFTER: Duration = Duration::from_secs(2);

/// Whether the process was asked to end.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Ends every wait for a lock in this process, now and later: it was asked to end, and a thread that waits cannot hear of
/// that otherwise.
#[cfg(feature = "cli")]
pub(crate) fn end_all_waits() {
    ENDING.store(true, Ordering::Relaxed);
}

/// With others, or alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockMode {
    Shared,
    Exclusive,
}

/// What is waited for, for messages, and how long.
pub(crate) struct LockWait<'a> {
    pub(crate) what: &'a str,
    pub(crate) place: &'a Path,
    pub(crate) patience: Duration,
}

/// Takes the lock if it is free.
pub(crate) fn try_lock(file: &File, mode: LockMode, place: &Path) -> Result<bool> {
    let taken = match mode {
        LockMode::Shared => file.try_lock_shared(),
        LockMode::Exclusive => file.try_lock(),
    };
    match taken {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(Error::new(ErrorKind::Store, "lock")
            .at(place.display().to_string())
            .with_source(error)),
    }
}

/// Takes the lock, waiting for others to leave it.
///
/// # Errors
/// [`ErrorKind::Store`] naming the holder when patience ends, or where the file system has no locks;
/// [`ErrorKind::Interrupted`] where the process was asked to end.
pub(crate) fn lock(file: &File, mode: LockMode, waiting: &LockWait<'_>) -> Result<()> {
    let mut clock = WaitTimer::new();
    while !try_lock(file, mode, waiting.place)? {
        clock.tick(file, waiting, None)?;
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

/// Measures how long a holder has done nothing, and tells people about it once.
pub(crate) struct WaitTimer {
    began: Instant,
    moved: Instant,
    progress: Option<u64>,
    told: bool,
}

impl WaitTimer {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { began: now, moved: now, progress: None, told: false }
    }

    /// Notes that the lock is still taken; `progress` is anything that changes while its holder works, where there is
    /// such a thing.
    pub(crate) fn tick(
        &mut self,
        file: &File,
        waiting: &LockWait<'_>,
        progress: Option<u64>,
    ) -> Result<()> {
        if ENDING.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Interrupted, waiting.what).with_reason("interrupted"));
        }
        if progress != self.progress {
            self.progress = progress;
            self.moved = Instant::now();
        }
        if !self.told && self.began.elapsed() >= WARN_AFTER {
            self.told = true;
            tracing::warn!("waiting for {} to release {}", holder(file), waiting.what);
        }
        if self.moved.elapsed() < waiting.patience {
            return Ok(());
        }
        let (holder, seconds) = (holder(file), waiting.patience.as_secs());
        let why = match progress {
            Some(_) => format!("locked by {holder}, no progress for {seconds} s"),
            None => format!("still locked by {holder} after {seconds} s"),
        };
        Err(Error::new(ErrorKind::Store, waiting.what)
            .at(waiting.place.display().to_string())
            .with_reason(why))
    }
}

/// `process 123 (rpull)`: who has a lock on this file, as far as the kernel tells.
fn holder(file: &File) -> String {
    let found = file.metadata().ok().and_then(|found| {
        let device = found.dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let inode = format!("{major:02x}:{minor:02x}:{}", found.ino());
        pid_of(&std::fs::read_to_string("/proc/locks").ok()?, &inode)
    });
    let Some(pid) = found else { return "another process".to_owned() };
    match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("process {pid} ({})", name.trim()),
        Err(_) => format!("process {pid}"),
    }
}

/// Reads `1: FLOCK  ADVISORY  WRITE 123 fe:00:4711 0 EOF`; lines with `->` are of those who wait.
fn pid_of(locks: &str, inode: &str) -> Option<u32> {
    let lines = locks.lines().filter(|line| !line.contains("->"));
    let of_file = lines
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>())
        .find(|words| words.contains(&inode))?;
    of_file.get(4)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_timeout_names_holder() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = [(); 2].map(|()| File::open(folder.path()).unwrap());
        assert!(try_lock(&first, LockMode::Exclusive, folder.path()).unwrap());
        let waiting = LockWait {
            what: "the store",
            place: folder.path(),
            patience: Duration::from_millis(50),
        };
        let error = lock(&second, LockMode::Shared, &waiting).unwrap_err().to_string();
        assert!(
            error.contains(&format!("still locked by process {}", std::process::id())),
            "{error}"
        );
        drop(first);
        lock(&second, LockMode::Shared, &waiting).unwrap();
    }

    #[test]
    fn lock_holder_excludes_waiting_processes() {
        let locks = "1: -> FLOCK  ADVISORY  WRITE 7 fe:00:12 0 EOF\n1: FLOCK  ADVISORY  READ 9 fe:00:12 0 EOF\n";
        assert_eq!(pid_of(locks, "fe:00:12"), Some(9));
        assert_eq!(pid_of(locks, "fe:00:1"), None);
    }
}
