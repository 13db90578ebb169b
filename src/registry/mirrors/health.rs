//! Whether a mirror is worth asking: one that is down would cost a timeout for each blob.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, ErrorKind};

/// How long a mirror is not asked after it failed.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Failed responses in a row that pause a mirror.
const MAX_FAILURES: u32 = 3;

/// The state of one mirror.
#[derive(Debug, Default)]
pub(in crate::registry) struct MirrorHealth(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    paused_until: Option<Instant>,
}

impl MirrorHealth {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it failed too recently.
    pub(in crate::registry) fn is_paused(&self) -> bool {
        self.state().paused_until.is_some_and(|end| Instant::now() < end)
    }

    pub(in crate::registry) fn record_success(&self) {
        *self.state() = State::default();
    }

    /// Counts a failure. Missing content does not count. A mirror that gave no response is paused at once.
    pub(in crate::registry) fn record_failure(&self, error: &Error, has_responded: bool) {
        if error.kind() == ErrorKind::NotFound {
            return;
        }
        let mut state = self.state();
        state.failures += 1;
        if !has_responded || error.status() == Some(429) || state.failures >= MAX_FAILURES {
            let pause = error.retry_after().unwrap_or(MAX_PAUSE).min(MAX_PAUSE);
            state.paused_until = Some(Instant::now() + pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(status: u16) -> Error {
        Error::new(ErrorKind::Registry, "x").with_status(status)
    }

    #[tokio::test(start_paused = true)]
    async fn failing_mirror_is_asked_again_later() {
        let mirror = MirrorHealth::default();
        mirror.record_failure(&Error::new(ErrorKind::NotFound, "x").with_status(404), true);
        assert!(!mirror.is_paused());
        mirror.record_failure(&Error::new(ErrorKind::Transport, "x"), false);
        assert!(mirror.is_paused());
        tokio::time::advance(MAX_PAUSE).await;
        assert!(!mirror.is_paused());

        mirror.record_success();
        mirror.record_failure(&failed(500), true);
        mirror.record_failure(&failed(500), true);
        assert!(!mirror.is_paused(), "it may be about what was asked for");
        mirror.record_failure(&failed(403), true);
        assert!(mirror.is_paused());

        let limited = MirrorHealth::default();
        limited.record_failure(&failed(429).transient(Some(Duration::from_secs(7))), true);
        assert!(limited.is_paused());
        tokio::time::advance(Duration::from_secs(7)).await;
        assert!(!limited.is_paused());
    }
}
