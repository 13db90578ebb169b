//! Ctrl-C and SIGTERM: once to stop with what is there, twice to stop at once.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

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
