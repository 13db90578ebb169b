//! Limits the rate of a whole run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A rate limit that all blobs of a run share, and all clones.
#[derive(Clone, Debug)]
pub struct Throttle {
    bytes_per_second: u64,
    /// When everything that was let through so far would have arrived at the limit.
    available_at: Arc<Mutex<Option<Instant>>>,
}

impl Throttle {
    /// Lets through this many bytes a second, at least one.
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), available_at: Arc::default() }
    }

    /// The limit.
    pub fn bytes_per_second(&self) -> u64 {
        self.bytes_per_second
    }

    /// Waits until these bytes, which have arrived, fit the rate.
    pub(in crate::transfer) async fn acquire(&self, bytes: u64) {
        let now = Instant::now();
        let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let needed = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        let until = {
            let mut due = self.available_at.lock().unwrap_or_else(PoisonError::into_inner);
            // Idle time is not saved up: a burst afterwards would exceed the rate.
            let next = due.map_or(now, |due| due.max(now)) + needed;
            *due = Some(next);
            next
        };
        tokio::time::sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn throttle_is_shared_by_streams() {
        let throttle = Throttle::new(1000);
        let start = Instant::now();
        let stream = || async {
            for _ in 0..10 {
                throttle.acquire(500).await;
            }
        };
        tokio::join!(stream(), stream());
        assert_eq!(start.elapsed().as_secs(), 10);
    }
}
