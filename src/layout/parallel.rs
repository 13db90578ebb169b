//! Works on many items at once, on all cores.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, ErrorKind, Result};

/// Maximum number of threads: more do not read a disk faster.
const MAX_THREADS: usize = 8;

/// Returns the result of each item, in order. Items are begun in order, so the largest should come first.
///
/// # Errors
/// The first error of a thread. The others finish what they have begun.
pub(super) fn on_all_cores<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
    let next = AtomicUsize::new(0);
    let run = || -> Result<Vec<(usize, R)>> {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return Ok(done) };
            let result = work(item).inspect_err(|_| next.store(items.len(), Ordering::Relaxed))?;
            done.push((at, result));
        }
    };
    let done = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(items.len())).map(|_| scope.spawn(run)).collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, _>| {
            worker.join().unwrap_or_else(|_| Err(panicked()))
        };
        workers.into_iter().map(join).collect::<Result<Vec<_>>>()
    })?;
    let mut done: Vec<(usize, R)> = done.into_iter().flatten().collect();
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

fn panicked() -> Error {
    Error::new(ErrorKind::Interrupted, "check").with_reason("interrupted")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parallel_results_keep_order_and_first_error_ends_all() {
        let items: Vec<u32> = (0..100).collect();
        let doubled = on_all_cores(&items, |item| Ok(item * 2)).unwrap();
        assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        let failed = on_all_cores(&items, |item| {
            if *item == 7 { Err(Error::new(ErrorKind::Store, "seven")) } else { Ok(()) }
        });
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Store);
        assert!(on_all_cores(&[], |(): &()| Ok(())).unwrap().is_empty());
    }
}
