//! Waits for `flock(2)` locks, and identifies their holders.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::control::Control;
use crate::error::{Error, ErrorKind, Result};

/// Time between two attempts to take a lock.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Wait after which a warning names the holder.
const WARN_AFTER: Duration = Duration::from_secs(2);

/// Shared with other holders, or exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockMode {
    Shared,
    Exclusive,
}

/// What to wait for, how long, and what ends the wait earlier.
pub(crate) struct LockWait<'a> {
    pub(crate) what: &'a str,
    pub(crate) path: &'a Path,
    pub(crate) timeout: Duration,
    pub(crate) control: &'a Control,
}

/// Takes the lock if it is free.
pub(crate) fn try_lock(file: &File, mode: LockMode, path: &Path) -> Result<bool> {
    let taken = match mode {
        LockMode::Shared => file.try_lock_shared(),
        LockMode::Exclusive => file.try_lock(),
    };
    match taken {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(Error::new(ErrorKind::Store, "lock")
            .at(path.display().to_string())
            .with_source(error)),
    }
}

/// Takes the lock, waiting until it is free.
///
/// # Errors
/// [`ErrorKind::Store`] with the holder after the timeout, or if the file system has no locks;
/// [`ErrorKind::Interrupted`] if the control is cancelled meanwhile.
pub(crate) fn lock(file: &File, mode: LockMode, waiting: &LockWait<'_>) -> Result<()> {
    lock_unless(file, mode, waiting, || false).map(drop)
}

/// As [`lock`], but returns `false` without the lock once there is no need for it.
pub(crate) fn lock_unless(
    file: &File,
    mode: LockMode,
    waiting: &LockWait<'_>,
    is_needless: impl Fn() -> bool,
) -> Result<bool> {
    let mut clock = WaitTimer::new();
    while !try_lock(file, mode, waiting.path)? {
        if is_needless() {
            return Ok(false);
        }
        clock.tick(file, waiting, None)?;
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(true)
}

/// Measures the wait for a lock, and warns once.
pub(crate) struct WaitTimer {
    began: Instant,
    last_progress: Instant,
    progress: Option<u64>,
    has_warned: bool,
}

impl WaitTimer {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { began: now, last_progress: now, progress: None, has_warned: false }
    }

    /// Records that the lock is still taken. `progress` is a value that changes while the holder works, if there is
    /// one: it restarts the timeout.
    pub(crate) fn tick(
        &mut self,
        file: &File,
        waiting: &LockWait<'_>,
        progress: Option<u64>,
    ) -> Result<()> {
        waiting.control.check(waiting.what)?;
        if progress != self.progress {
            self.progress = progress;
            self.last_progress = Instant::now();
        }
        if !self.has_warned && self.began.elapsed() >= WARN_AFTER {
            self.has_warned = true;
            tracing::warn!("waiting for {} to release {}", holder(file), waiting.what);
        }
        if self.last_progress.elapsed() < waiting.timeout {
            return Ok(());
        }
        let (holder, seconds) = (holder(file), waiting.timeout.as_secs());
        let reason = match progress {
            Some(_) => format!("locked by {holder}, no progress for {seconds} s"),
            None => format!("still locked by {holder} after {seconds} s"),
        };
        Err(Error::new(ErrorKind::Store, waiting.what)
            .at(waiting.path.display().to_string())
            .with_reason(reason))
    }
}

/// How often the locks of all processes are listed to find one.
const LISTINGS: usize = 5;

/// Returns the holder of a lock on this file as `process 123 (rpull)`, as far as the kernel tells.
fn holder(file: &File) -> String {
    let found = file.metadata().ok().and_then(|found| {
        let device = found.dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let inode = format!("{major:02x}:{minor:02x}:{}", found.ino());
        // While other processes lock and unlock, the kernel may leave out lines.
        (0..LISTINGS).find_map(|_| pid_of(&std::fs::read_to_string("/proc/locks").ok()?, &inode))
    });
    let Some(pid) = found else { return "another process".to_owned() };
    match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("process {pid} ({})", name.trim()),
        Err(_) => format!("process {pid}"),
    }
}

/// Parses `1: FLOCK  ADVISORY  WRITE 123 fe:00:4711 0 EOF`. Lines with `->` are waiting processes.
fn pid_of(locks: &str, inode: &str) -> Option<u32> {
    let lines = locks.lines().filter(|line| !line.contains("->"));
    let of_file = lines
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>())
        .find(|words| words.contains(&inode))?;
    of_file.get(4)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const NEVER: Duration = Duration::from_secs(3600);

    /// The time in which a wait that ends must have ended.
    const DEADLINE: Duration = Duration::from_secs(60);

    /// Waits for the lock on a thread of its own; the receiver gets how the wait ended.
    fn wait_for(path: &Path, control: &Control) -> mpsc::Receiver<Result<()>> {
        let (path, control, (ended, receiver)) =
            (path.to_owned(), control.clone(), mpsc::channel());
        std::thread::spawn(move || {
            let file = File::open(&path).unwrap();
            let (what, timeout) = ("the store", NEVER);
            let waiting = LockWait { what, path: &path, timeout, control: &control };
            ended.send(lock(&file, LockMode::Exclusive, &waiting)).unwrap();
        });
        receiver
    }

    #[test]
    fn lock_wait_ends_when_its_own_control_is_cancelled() {
        let dir = tempfile::tempdir().unwrap();
        let holder = File::open(dir.path()).unwrap();
        assert!(try_lock(&holder, LockMode::Exclusive, dir.path()).unwrap());
        let (cancelled, other) = (Control::default(), Control::default());
        let [first, second] = [&cancelled, &other].map(|control| wait_for(dir.path(), control));
        cancelled.cancel.cancel();
        let error = first.recv_timeout(DEADLINE).unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        assert_eq!(error.to_string(), "the store: interrupted");
        drop(holder);
        second.recv_timeout(DEADLINE).unwrap().unwrap();
    }

    #[test]
    fn lock_timeout_names_holder() {
        let dir = tempfile::tempdir().unwrap();
        let [first, second] = [(); 2].map(|()| File::open(dir.path()).unwrap());
        assert!(try_lock(&first, LockMode::Exclusive, dir.path()).unwrap());
        let (timeout, control) = (Duration::from_millis(50), &Control::default());
        let waiting = LockWait { what: "the store", path: dir.path(), timeout, control };
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
