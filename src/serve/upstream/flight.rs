//! Work that is shared by all concurrent callers that need its result.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};

type SharedWork<T> = Shared<BoxFuture<'static, T>>;

/// Running work by key. It ends when nobody waits for it any more.
pub(super) struct SingleFlight<K, T>(Mutex<HashMap<K, WeakShared<BoxFuture<'static, T>>>>)
where
    T: Clone;

impl<K, T: Clone> Default for SingleFlight<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, T: Clone> SingleFlight<K, T> {
    /// Returns the work of this key that is running, or starts it.
    pub(super) fn join(
        &self,
        key: K,
        start: impl FnOnce() -> BoxFuture<'static, T>,
    ) -> SharedWork<T> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A finished result was right for the callers that waited; a new caller starts a new request.
        let found = running.get(&key).and_then(WeakShared::upgrade);
        if let Some(found) = found.filter(|work| work.peek().is_none()) {
            return found;
        }
        running.retain(|_, work| work.upgrade().is_some());
        let work = start().shared();
        if let Some(weak) = work.downgrade() {
            running.insert(key, weak);
        }
        work
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn shared_work_of_one_key_runs_once_for_all_waiting() {
        let (flight, runs) =
            (SingleFlight::<&str, usize>::default(), Arc::new(AtomicUsize::new(0)));
        let start = || -> BoxFuture<'static, usize> {
            let runs = Arc::clone(&runs);
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                runs.fetch_add(1, Ordering::Relaxed)
            })
        };
        let all = (0..100).map(|_| flight.join("a", start));
        let results = futures_util::future::join_all(all.collect::<Vec<_>>()).await;
        assert_eq!(results, [0; 100]);
        let (b, a) = (flight.join("b", start), flight.join("a", start));
        assert_eq!(tokio::join!(b, a), (1, 2), "ended work is not joined");
        drop(flight.join("c", start));
        assert_eq!(flight.join("c", start).await, 3, "dropped work is not joined");
    }
}
