//! The minimum rate of a body.

use std::time::Duration;

/// Bytes per second below which a body counts as stalled. A timeout between reads is not enough: containerd#11650 hung
/// for an hour on a lossy link that always delivered some bytes.
pub(crate) const MIN_BYTES_PER_WINDOW: u64 = 1 << 10;

/// After a connection with fewer bytes, the next one is delayed as after one without any: a server that gives one byte to each must
/// not be asked for each byte as fast as it answers.
pub(crate) const MIN_PROGRESS: u64 = 1 << 10;

/// Error text for [`MinimumRate::record`] with a window of a minute.
pub(crate) const TOO_SLOW: &str = "too slow: less than 1 KiB/s for a minute";

/// Measures the rate while data is awaited. Time that the receiver spends otherwise does not count.
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
    /// Checks the rate at the end of each window of this length.
    pub(crate) fn over(window: Duration) -> Self {
        Self { window, waited: Duration::ZERO, bytes: 0 }
    }

    /// Returns the remaining wait in this window.
    #[cfg(feature = "serve")]
    pub(crate) fn left(&self) -> Duration {
        self.window.saturating_sub(self.waited)
    }

    /// Counts bytes and the time waited for them. At the end of a window returns whether the rate was sufficient.
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
