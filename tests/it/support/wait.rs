//! Waits for what other tasks, threads and processes do.

use std::time::{Duration, Instant};

/// Longest wait; much more than a loaded machine needs.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Waits until the condition holds.
///
/// # Panics
/// With `what` after a minute.
pub(crate) async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
