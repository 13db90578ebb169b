//! Compares the rate of one connection with those of the others of its source.

use std::time::Duration;

/// The shortest time that a connection is given.
pub(super) const MIN_AGE: Duration = Duration::from_millis(400);

/// Longest extension of [`MIN_AGE`] while the others receive fewer than [`MIN_BYTES`].
const AGE: Duration = Duration::from_secs(1);
const MIN_BYTES: u64 = 4 << 20;

/// The same without a byte: the source may have to fetch the blob itself.
const MIN_AGE_WITHOUT_BYTES: Duration = Duration::from_secs(5);

/// A connection that is slow again and again is given up to this long.
const MAX_AGE: Duration = Duration::from_secs(60);

/// A connection is too slow if the others are faster by more than this factor.
const SLOW_FACTOR: u64 = 4;

/// The bytes of one connection, and the time in which it was waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// On the clock of the reader, which stands still while the reader is not asked for bytes.
    began: Duration,
    bytes: u64,
    /// How long it is given. Doubles each time, so that what is always slow is not requested all the time.
    min_age: Duration,
}

impl Pace {
    pub(super) fn new(now: Duration) -> Self {
        Self { began: now, bytes: 0, min_age: MIN_AGE }
    }

    pub(super) fn record(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Measures from now on: the connection was not read for a while.
    pub(super) fn restart(&mut self, now: Duration) {
        (self.began, self.bytes) = (now, 0);
    }

    /// The pace of the connection that takes its place.
    pub(super) fn of_next(self, now: Duration) -> Self {
        Self { min_age: (self.min_age * 2).min(MAX_AGE), ..Self::new(now) }
    }

    /// Whether the connection is much slower than the others of its source, which have this many bytes per second on average.
    pub(super) fn is_too_slow(&mut self, now: Duration, others: u64, round_trip: Duration) -> bool {
        let age = now.saturating_sub(self.began);
        let least = if self.bytes == 0 {
            MIN_AGE_WITHOUT_BYTES
        } else {
            Duration::from_millis(MIN_BYTES.saturating_mul(1000) / others.max(1)).min(AGE)
        };
        if age < self.min_age.max(least).max(round_trip * 8) {
            return false;
        }
        let rate = self.bytes.saturating_mul(1000)
            / u64::try_from(age.as_millis()).unwrap_or(u64::MAX).max(1);
        if rate < others / SLOW_FACTOR {
            return true;
        }
        *self = Self::new(now);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pace_far_below_others_is_too_slow() {
        let mut pace = Pace::new(SECOND);
        pace.record(1_000_000);
        assert!(!pace.is_too_slow(SECOND * 5 / 4, 60_000_000, Duration::ZERO), "too early to say");
        assert!(!pace.is_too_slow(SECOND * 3 / 2, 5_000_000, Duration::ZERO), "all are slow");
        assert!(!pace.is_too_slow(SECOND * 2, 60_000_000, SECOND), "the source is far away");
        assert!(pace.is_too_slow(SECOND * 2, 60_000_000, Duration::ZERO));
        assert!(!pace.is_too_slow(SECOND * 2, 4_000_000, Duration::ZERO));
    }

    #[test]
    fn pace_slow_again_is_given_more_time() {
        let mut pace = Pace::new(Duration::ZERO).of_next(SECOND).of_next(SECOND);
        pace.record(1);
        assert!(!pace.is_too_slow(SECOND * 5 / 2, 60_000_000, Duration::ZERO));
        assert!(pace.is_too_slow(SECOND * 8 / 3, 60_000_000, Duration::ZERO));
        pace.record(60_000_000);
        assert!(!pace.is_too_slow(SECOND * 5, 10_000_000, Duration::ZERO));
        pace.record(1);
        assert!(pace.is_too_slow(SECOND * 6, 10_000_000, Duration::ZERO), "as patient as at first");
        let mut silent = Pace::new(Duration::ZERO);
        assert!(!silent.is_too_slow(SECOND * 4, 10_000_000, Duration::ZERO));
        assert!(silent.is_too_slow(SECOND * 5, 10_000_000, Duration::ZERO));
    }
}
