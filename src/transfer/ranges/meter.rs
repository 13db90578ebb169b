//! Measures the rate of a growing total over the last seconds.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Time between two samples.
const SAMPLE: Duration = Duration::from_millis(20);

/// How long samples are kept.
const SAMPLE_LIFETIME: Duration = Duration::from_secs(5);

/// A growing total, and its rate in the last seconds.
#[derive(Debug, Default)]
pub(super) struct Meter {
    total: u64,
    /// When it was how much.
    samples: VecDeque<(Instant, u64)>,
}

impl Meter {
    pub(super) fn record(&mut self, now: Instant, amount: u64) {
        let is_due = self.samples.back().is_none_or(|(at, _)| now - *at >= SAMPLE);
        self.total += amount;
        if is_due {
            self.samples.push_back((now, self.total));
        }
        while self.samples.front().is_some_and(|(at, _)| now - *at > SAMPLE_LIFETIME) {
            self.samples.pop_front();
        }
    }

    /// The rate of this time up to now.
    pub(super) fn rate_over(&self, now: Instant, time: Duration) -> Option<u64> {
        self.rate_since(now, now.checked_sub(time)?)
    }

    /// The rate since this moment; `None` if nothing was measured before it.
    pub(super) fn rate_since(&self, now: Instant, since: Instant) -> Option<u64> {
        let (at, before) = self.samples.iter().rev().find(|(at, _)| *at <= since)?;
        let micros = u64::try_from((now - *at).as_micros()).unwrap_or(u64::MAX).max(1);
        Some((self.total - before).saturating_mul(1_000_000) / micros)
    }
}
