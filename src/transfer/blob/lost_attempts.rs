//! Gives up an upload that is broken off again and again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::counters::BlobCounters;
use crate::error::Error;

/// Lost attempts after which a blob is given up, if they took this long: a target may be restarting.
const MAX_LOST_ATTEMPTS: u32 = 5;
const MIN_LOST_TIME: Duration = Duration::from_secs(10);

/// Fewer bytes sent in vain are no lost attempt: the connection has failed at once.
const MIN_LOST: u64 = 64 << 10;

const HINT: &str = "something on the way may limit the size or the time of an upload; `--chunk-size 1M` sends the layer in smaller requests";

/// Attempts in a row of which the target has lost the bytes.
#[derive(Default)]
pub(super) struct LostAttempts(Mutex<State>);

#[derive(Default)]
struct State {
    count: u32,
    since: Option<Instant>,
    /// Bytes sent in vain until the last attempt.
    resent: u64,
}

impl LostAttempts {
    /// Makes the error permanent after too many attempts: no wait helps where the target, or something on the way to it, breaks off
    /// what is too large or takes too long.
    pub(super) fn judge(&self, counters: &BlobCounters, error: Error) -> Error {
        let (_, _, resent) = counters.read();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = resent.saturating_sub(state.resent);
        state.resent = resent;
        // A status says that the target cannot take it now, for which waiting may help.
        if lost < MIN_LOST || error.status().is_some() {
            (state.count, state.since) = (0, None);
            return error;
        }
        state.count += 1;
        let since = *state.since.get_or_insert_with(Instant::now);
        let is_early = state.count < MAX_LOST_ATTEMPTS || since.elapsed() < MIN_LOST_TIME;
        if is_early || !error.is_transient() {
            return error;
        }
        // What the first attempt has sent was lost when the second one began.
        let reason = format!("{} (broken off {} times)", error.reason(), state.count + 1);
        error.with_reason(reason).permanent().with_hint(HINT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn judged(lost: &LostAttempts, counters: &BlobCounters, bytes: u64) -> Error {
        counters.add_resent(bytes);
        let broken = Error::new(ErrorKind::Transport, "upload").with_reason("reset");
        lost.judge(counters, broken.transient(None))
    }

    #[tokio::test(start_paused = true)]
    async fn lost_attempts_in_a_row_for_some_time_are_the_last() {
        let (lost, counters) = (LostAttempts::default(), BlobCounters::default());
        for _ in 0..9 {
            assert!(judged(&lost, &counters, MIN_LOST).is_transient(), "within a moment");
        }
        tokio::time::advance(MIN_LOST_TIME).await;
        assert!(judged(&lost, &counters, MIN_LOST - 1).is_transient(), "not connected");
        for _ in 1..MAX_LOST_ATTEMPTS {
            assert!(judged(&lost, &counters, MIN_LOST).is_transient());
        }
        tokio::time::advance(MIN_LOST_TIME).await;
        let error = judged(&lost, &counters, MIN_LOST);
        assert!(!error.is_transient() && error.hint().is_some());
        assert_eq!(error.reason(), "reset (broken off 6 times)");
    }
}
