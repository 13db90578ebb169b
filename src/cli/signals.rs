//! Ctrl-C and SIGTERM: once to stop with what is there, twice to stop at once.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::exit::INTERRUPTED;

/// The code of the signal that came: 128 + its number.
static CODE: AtomicU8 = AtomicU8::new(INTERRUPTED);

/// SIGTERM's.
const TERMINATED: u8 = 143;

/// The exit code of an interrupted run.
pub(super) fn exit_code() -> u8 {
    CODE.load(Ordering::Relaxed)
}

/// A token that the first signal cancels; the second one ends the process.
pub(super) fn cancelled_by_signals() -> CancellationToken {
    let token = CancellationToken::new();
    let cancel = token.clone();
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        for _ in 0..2 {
            let code = tokio::select! {
                _ = interrupt.recv() => INTERRUPTED,
                _ = terminate.recv() => TERMINATED,
            };
            CODE.store(code, Ordering::Relaxed);
            if cancel.is_cancelled() {
                leave(code);
            }
            cancel.cancel();
        }
    });
    token
}

#[expect(clippy::exit, reason = "the user asked twice; partials are safe on disk at any moment")]
fn leave(code: u8) -> ! {
    std::process::exit(code.into())
}
