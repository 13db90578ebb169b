//! Handles Ctrl-C, SIGTERM and SIGHUP: the first signal stops gracefully, the second one at once. A signal that the
//! parent process set to be ignored stays ignored, as POSIX shells do for `rpull … &` in a script.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::blocking::run_cancellable;
use crate::control::Control;
use crate::error::{Error, ErrorKind, Result};

/// Exit code for the received signal: 128 + its number.
static EXIT_CODE: AtomicU8 = AtomicU8::new(INTERRUPTED);

/// Exit code for SIGINT.
const INTERRUPTED: u8 = 130;

/// Exit code for SIGTERM.
const TERMINATED: u8 = 143;

/// Exit code for SIGHUP.
const HUNG_UP: u8 = 129;

/// A signal so soon after the first one is the same: `timeout` of coreutils signals the process and then its group.
const REPEATED: Duration = Duration::from_millis(200);

/// Returns the exit code of an interrupted run.
pub(super) fn exit_code() -> u8 {
    EXIT_CODE.load(Ordering::Relaxed)
}

/// Makes writes beyond the file size limit (`ulimit -f`) fail with an error. By default SIGXFSZ would kill the process
/// before it cleans up.
pub(super) fn survive_file_size_limit() {
    // tokio keeps the handler installed after the stream is dropped. If it cannot be installed, the default remains.
    _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).is_ok();
}

/// Returns a token that the first signal cancels. The second signal ends the process.
pub(super) fn cancelled_by_signals() -> CancellationToken {
    let token = CancellationToken::new();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let listen = |kind: SignalKind| {
        if is_ignored(&status, kind) {
            return None;
        }
        // Without a handler a signal ends the process at once, which loses no data.
        signal(kind).ok()
    };
    let interrupt = listen(SignalKind::interrupt());
    let terminate = listen(SignalKind::terminate());
    let hangup = listen(SignalKind::hangup());
    tokio::spawn(watch([interrupt, terminate, hangup], token.clone()));
    token
}

/// Returns whether the process ignores the signal, from its `/proc/self/status`. Only the parent process can have set
/// that.
fn is_ignored(status: &str, kind: SignalKind) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    // Bit 0 is signal 1.
    (mask >> (kind.as_raw_value() - 1)) & 1 == 1
}

/// Runs the work until a signal arrives.
pub(super) async fn or_cancelled<T>(
    cancel: &CancellationToken,
    what: &str,
    work: impl Future<Output = T>,
) -> Result<T> {
    let interrupted = || Error::new(ErrorKind::Interrupted, what).with_reason("interrupted");
    cancel.run_until_cancelled(work).await.ok_or_else(interrupted)
}

/// As [`or_cancelled`], for blocking work: opening a store may wait for other processes.
pub(super) async fn opened_unless_cancelled<T: Send + 'static>(
    control: &Control,
    what: &str,
    open: impl FnOnce(&Control) -> Result<T> + Send + 'static,
) -> Result<T> {
    or_cancelled(&control.cancel, what, run_cancellable(control, what, open)).await?
}

async fn watch(signals: [Option<Signal>; 3], token: CancellationToken) {
    let [mut interrupt, mut terminate, mut hangup] = signals;
    let mut first: Option<Instant> = None;
    loop {
        let code = tokio::select! {
            () = arrival(&mut interrupt) => INTERRUPTED,
            () = arrival(&mut terminate) => TERMINATED,
            () = arrival(&mut hangup) => HUNG_UP,
        };
        let now = Instant::now();
        match reaction(first, now) {
            Reaction::Ignore => continue,
            Reaction::Stop => first = Some(now),
            Reaction::Exit => exit_now(code),
        }
        EXIT_CODE.store(code, Ordering::Relaxed);
        token.cancel();
    }
}

/// What a signal does.
#[derive(Debug, PartialEq, Eq)]
enum Reaction {
    /// Stops gracefully.
    Stop,
    Ignore,
    /// Ends the process.
    Exit,
}

/// Decides about a signal after the `first` one.
fn reaction(first: Option<Instant>, now: Instant) -> Reaction {
    match first {
        None => Reaction::Stop,
        Some(first) if now - first < REPEATED => Reaction::Ignore,
        Some(_) => Reaction::Exit,
    }
}

/// Waits for the signal; forever if there is no handler for it.
async fn arrival(signal: &mut Option<Signal>) {
    let arrived = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if arrived.is_none() {
        std::future::pending::<()>().await;
    }
}

#[expect(clippy::exit, reason = "the second signal; partial blobs can be resumed at any time")]
fn exit_now(code: u8) -> ! {
    std::process::exit(code.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_repeated_at_once_counts_once_and_later_exits() {
        let first = Instant::now();
        assert_eq!(reaction(None, first), Reaction::Stop);
        assert_eq!(reaction(Some(first), first), Reaction::Ignore);
        assert_eq!(reaction(Some(first), first + REPEATED), Reaction::Exit);
    }

    #[test]
    fn ignored_signals_are_read_from_proc_status() {
        let status = "Name:\trpull\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000001002\n";
        assert!(is_ignored(status, SignalKind::interrupt()));
        assert!(!is_ignored(status, SignalKind::terminate()));
        for unreadable in ["", "SigIgn:", "SigIgn:\tall\n"] {
            assert!(!is_ignored(unreadable, SignalKind::interrupt()));
        }
    }
}
