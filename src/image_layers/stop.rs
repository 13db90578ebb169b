//! Wakes the readers of blobs whose bytes are no longer wanted.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Wake = Box<dyn FnOnce() + Send>;

/// Stops the readers of an image's blobs. A reader that waits for bytes is woken, so that its thread can end.
#[derive(Clone, Default)]
pub struct Stop(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    stopped: bool,
    wakes: Vec<Wake>,
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("stopped", &self.is_stopped()).finish()
    }
}

impl Stop {
    /// Calls `wake` once, when stopped. It must not block.
    pub fn on_stop(&self, wake: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        if state.stopped {
            drop(state);
            wake();
        } else {
            state.wakes.push(Box::new(wake));
        }
    }

    /// Creates a child, which can be stopped alone and is stopped with this one.
    pub(crate) fn inner(&self) -> Self {
        let inner = Self::default();
        let both = inner.clone();
        self.on_stop(move || both.stop());
        inner
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    pub(crate) fn stop(&self) {
        let wakes = {
            let mut state = self.state();
            state.stopped = true;
            std::mem::take(&mut state.wakes)
        };
        for wake in wakes {
            wake();
        }
    }

    /// Returns a guard that stops when dropped, also by a panic.
    pub(crate) fn at_end(&self) -> StopAtEnd {
        StopAtEnd(self.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct StopAtEnd(Stop);

impl Drop for StopAtEnd {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn stop_wakes_each_reader_once() {
        let (stop, woken) = (Stop::default(), Arc::new(AtomicU32::new(0)));
        let wake = || {
            let woken = Arc::clone(&woken);
            move || _ = woken.fetch_add(1, Ordering::Relaxed)
        };
        stop.on_stop(wake());
        assert_eq!((stop.is_stopped(), woken.load(Ordering::Relaxed)), (false, 0));
        drop(stop.at_end());
        assert_eq!((stop.is_stopped(), woken.load(Ordering::Relaxed)), (true, 1));
        stop.on_stop(wake());
        stop.stop();
        assert_eq!(woken.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn stop_of_inner_leaves_others() {
        let outer = Stop::default();
        let (one, other) = (outer.inner(), outer.inner());
        one.stop();
        assert!(one.is_stopped() && !other.is_stopped() && !outer.is_stopped());
        outer.stop();
        assert!(other.is_stopped() && outer.inner().is_stopped());
    }
}
