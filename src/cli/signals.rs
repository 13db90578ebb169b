//! Ctrl-C and SIGTERM: once to stop with what is there, twice to stop at once.

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

/// The exit code of an interrupted run.
pub(super) fn exit_code() -> u8 {
    CODE.load(Ordering::Relaxed)
}

/// A token that the first signal cancels; the second one ends the process.
pub(super) fn cancelled_by_signals() -> CancellationToken {
    let token = CancellationToken::new();
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    // Without handlers a signal ends the process at once, which loses nothing either.
    if let (Ok(interrupt), Ok(terminate)) = signals {
        tokio::spawn(watch(interrupt, terminate, token.clone()));
    }
    token
}

/// Waits for the work unless a signal comes first.
pub(super) async fn unless_cancelled<T>(
    cancel: &CancellationToken,
    what: &str,
    work: impl Future<Output = T>,
) -> Result<T> {
    let interrupted = || Error::new(ErrorKind::Interrupted, what).because("interrupted");
    cancel.run_until_cancelled(work).await.ok_or_else(interrupted)
}

/// As [`unless_cancelled`], for work that keeps its thread: opening a store may have to wait for other processes.
pub(super) async fn opened_unless_cancelled<T: Send + 'static>(
    cancel: &CancellationToken,
    what: &str,
    open: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let opening = tokio::task::spawn_blocking(open);
    unless_cancelled(cancel, what, opening)
        .await?
        .unwrap_or_else(|error| Err(Error::new(ErrorKind::Store, what).caused_by(error)))
}

async fn watch(mut interrupt: Signal, mut terminate: Signal, token: CancellationToken) {
    loop {
        let code = tokio::select! {
            _ = interrupt.recv() => INTERRUPTED,
            _ = terminate.recv() => TERMINATED,
        };
        CODE.store(code, Ordering::Relaxed);
        if token.is_cancelled() {
            leave(code);
        }
        token.cancel();
    }
}

#[expect(clippy::exit, reason = "the user asked twice; partials are safe on disk at any moment")]
fn leave(code: u8) -> ! {
    std::process::exit(code.into())
}
