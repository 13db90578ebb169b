//! Runs by seed: `RPULL_SEEDS` sets the number of runs of each test.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};

/// Over all tests somewhat more than 200.
const DEFAULT: u64 = 25;

/// Runs at the same time; most of a run with stalls is waiting.
const AT_ONCE: usize = 4;

/// No fault holds a run for ever; much more than a loaded machine needs.
const LIMIT: Duration = Duration::from_secs(300);

fn seeds() -> u64 {
    std::env::var("RPULL_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(DEFAULT)
}

/// Runs each seed, and returns what the runs return.
///
/// # Panics
/// If a run fails, with its seed.
pub(super) async fn each_seed<T: Send + 'static>(
    run: impl Fn(u64) -> futures_util::future::BoxFuture<'static, T>,
) -> Vec<T> {
    let started = stream::iter(0..seeds()).map(|seed| {
        let task = tokio::spawn(tokio::time::timeout(LIMIT, run(seed)));
        async move { (seed, task.await) }
    });
    let mut ended = started.buffer_unordered(AT_ONCE);
    let mut results = Vec::new();
    while let Some((seed, result)) = ended.next().await {
        match result {
            Ok(Ok(result)) => results.push(result),
            Ok(Err(_)) => panic!("seed {seed} does not end"),
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    results
}
