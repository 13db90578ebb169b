//! Ctrl-C, SIGTERM and a terminal that is gone (SIGHUP): once to stop with what is there, twice to stop at once. A signal that the parent process has
//! set to be ignored stays ignored, as POSIX shells do it for `rpull … &` in a script.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind, Result};

/// The code of the signal that came: 128 + its number.
static CODE: AtomicU8 = AtomicU8::new(INTERRUPTED);

/// SIGINT's.
const INTERRUPTED: u8 = 130;

/// SIGTERM's.
const TERMINATED: u8 = 143;

/// SIGHUP's.
const HUNG_UP: u8 = 129;

/// The exit code of an interrupted run.
pub(super) fn exit_code() -> u8 {
    CODE.load(Ordering::Relaxed)
}

/// Has writes beyond a limit on the size of files fail, as other writes do: the signal would end the process before it has
/// tidied up.
pub(super) fn survive_file_size_limit() {
    // Once it has a handler it keeps it. Without one it is as it was.
    _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).is_ok();
}

/// A token that the first signal cancels, with all waits for locks; the second one ends the process.
pub(super) fn cancelled_by_signals() -> CancellationToken {
    watched(crate::lock::end_all_waits)
}

/// As [`cancelled_by_signals`], for what has others' work to finish first: their waits go on.
pub(super) fn drained_by_signals() -> CancellationToken {
    watched(|| {})
}

fn watched(at_first: fn()) -> CancellationToken {
    let token = CancellationToken::new();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let listen = |kind: SignalKind| {
        if is_ignored(&status, kind) {
            return None;
        }
        // Without a handler a signal ends the process at once, which loses nothing either.
        signal(kind).ok()
    };
    let interrupt = listen(SignalKind::interrupt());
    let terminate = listen(SignalKind::terminate());
    let hangup = listen(SignalKind::hangup());
    tokio::spawn(watch([interrupt, terminate, hangup], token.clone(), at_first));
    token
}

/// Whether the process ignores the signal, by its `/proc/self/status`. Nothing but the parent process makes it so.
fn is_ignored(status: &str, kind: SignalKind) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    // Bit 0 is signal 1.
    (mask >> (kind.as_raw_value() - 1)) & 1 == 1
}

/// Waits for the work unless a signal comes first.
pub(super) async fn or_cancelled<T>(
    cancel: &CancellationToken,
    what: &str,
    work: impl Future<Output = T>,
) -> Result<T> {
    let interrupted = || Error::new(ErrorKind::Interrupted, what).with_reason("interrupted");
    cancel.run_until_cancelled(work).await.ok_or_else(interrupted)
}

/// As [`or_cancelled`], for work that keeps its thread: opening a store may have to wait for other processes.
pub(super) async fn opened_unless_cancelled<T: Send + 'static>(
    cancel: &CancellationToken,
    what: &str,
    open: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let opening = tokio::task::spawn_blocking(open);
    or_cancelled(cancel, what, opening)
        .await?
        .unwrap_or_else(|error| Err(Error::new(ErrorKind::Store, what).with_source(error)))
}

async fn watch(signals: [Option<Signal>; 3], token: CancellationToken, at_first: fn()) {
    let [mut interrupt, mut terminate, mut hangup] = signals;
    loop {
        let code = tokio::select! {
            () = arrival(&mut interrupt) => INTERRUPTED,
            () = arrival(&mut terminate) => TERMINATED,
            () = arrival(&mut hangup) => HUNG_UP,
        };
        CODE.store(code, Ordering::Relaxed);
        if token.is_cancelled() {
            exit_now(code);
        }
        token.cancel();
        at_first();
    }
}

/// Waits for the signal; for ever where there is no handler for it.
async fn arrival(signal: &mut Option<Signal>) {
    let arrived = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if arrived.is_none() {
        std::future::pending::<()>().await;
    }
}

#[expect(clippy::exit, reason = "the user asked twice; partials are safe on disk at any moment")]
fn exit_now(code: u8) -> ! {
    std::process::exit(code.into())
}

#[cfg(test)]
mod tests {
    use super::*;

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
