//! The slowest that a body may be.

use std::time::Duration;

/// A body with fewer bytes a second over a window counts as stalled, however regularly it drips (containerd#11650: a
/// lossy link hung for an hour because some bytes always came).
pub(crate) const MIN_BYTES_PER_WINDOW: u64 = 1 << 10;

/// What [`MinimumRate::record`] found wanting in a window of a minute.
pub(crate) const TOO_SLOW: &str = "too slow: less than 1 KiB/s for a minute";

/// Measures what comes while it is waited for; time that the receiver spends otherwise does not count.
#[derive(Debug)]
pub(crate) struct MinimumRate {
    window: Duration,
    waited: Duration,
    bytes: u64,
}

impl Default for MinimumRate {
    fn default() -> Self {
        Self::over(Duration::from_secs(60))
    }
}

impl MinimumRate {
    /// Judges at the end of each window of this length.
    pub(crate) fn over(window: Duration) -> Self {
        Self { window, waited: Duration::ZERO, bytes: 0 }
    }

    /// How much longer may be waited in this window.
    #[cfg(feature = "serve")]
    pub(crate) fn left(&self) -> Duration {
        self.window.saturating_sub(self.waited)
    }

    /// Counts bytes and the wait for them; at the end of a window says whether enough came in it.
    pub(crate) fn record(&mut self, bytes: u64, waited: Duration) -> Option<bool> {
        self.bytes += bytes;
        self.waited += waited;
        if self.waited < self.window {
            return None;
        }
        let enough = self.bytes >= MIN_BYTES_PER_WINDOW * self.window.as_secs();
        *self = Self::over(self.window);
        Some(enough)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn min_rate_slow_body_counts_as_stalled() {
        let second = Duration::from_secs(1);
        let mut pace = MinimumRate::default();
        assert!((1..60).all(|_| pace.record(10, second).is_none()));
        assert_eq!(pace.record(10, second), Some(false));
        assert!((1..60).all(|_| pace.record(2 << 10, second).is_none()));
        assert_eq!(pace.record(2 << 10, second), Some(true));
        assert!((0..200).all(|_| pace.record(10, Duration::from_millis(1)).is_none()));
    }
}
