//! The slowest that a body may be.

use std::time::Duration;

use tokio::time::Instant;

/// A body slower than this many bytes over [`WINDOW`] counts as stalled, however regularly it drips
/// (containerd#11650: a lossy link hung for an hour because some bytes always came).
const SLOWEST: u64 = 60 << 10;

/// See [`SLOWEST`].
const WINDOW: Duration = Duration::from_secs(60);

/// What [`Pace::keeps`] found wanting.
pub(crate) const TOO_SLOW: &str = "too slow: less than 1 KiB/s for a minute";

/// Measures one body.
#[derive(Debug)]
pub(crate) struct Pace {
    since: Instant,
    bytes: u64,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), bytes: 0 }
    }

    /// Counts bytes that have arrived; says whether enough came in the last window.
    pub(crate) fn keeps(&mut self, bytes: u64) -> bool {
        self.bytes += bytes;
        if self.since.elapsed() < WINDOW {
            return true;
        }
        let enough = self.bytes >= SLOWEST;
        *self = Self::new();
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn dripping_is_stalling() {
        let mut slow = Pace::new();
        let mut kept = 0;
        while slow.keeps(10) {
            tokio::time::advance(Duration::from_secs(1)).await;
            kept += 1;
        }
        assert_eq!(kept, 60);
        let mut enough = Pace::new();
        for _ in 0..200 {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(enough.keeps(2 << 10));
        }
    }
}
