//! Cancellation and progress of everything that takes long.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind, Result};
use crate::progress::{Event, NoProgress, Phase, Progress};
use crate::setters::setters;

/// Cancels work, and receives its progress. Clones share both.
#[derive(Clone)]
#[non_exhaustive]
pub struct Control {
    /// Cancels the work.
    pub cancel: CancellationToken,
    /// Receives the events.
    pub progress: Arc<dyn Progress>,
}

impl Default for Control {
    fn default() -> Self {
        Self { cancel: CancellationToken::new(), progress: Arc::new(NoProgress) }
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("cancel", &self.cancel).finish_non_exhaustive()
    }
}

impl Control {
    setters! {
        value cancel: CancellationToken;
    }

    /// Sets [`progress`](#structfield.progress), also to a function: `|event: &Event<'_>| …`.
    #[must_use]
    pub fn progress(mut self, progress: impl Progress + 'static) -> Self {
        self.progress = Arc::new(progress);
        self
    }

    /// Checks for cancellation; `what` names the work in the error.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`].
    pub fn check(&self, what: &str) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Interrupted, what).with_reason("interrupted"));
        }
        Ok(())
    }

    /// Returns [`ErrorKind::Interrupted`] for an error after the cancellation: what fails then fails because of it.
    pub(crate) fn interrupted_or(&self, what: &str, error: Error) -> Error {
        self.check(what).err().unwrap_or(error)
    }

    /// Reports that `done` of `total` bytes of a phase are done.
    pub fn advance(&self, phase: Phase, done: u64, total: u64) {
        self.progress.on_event(&Event::PhaseAdvanced { phase, done, total });
    }

    /// Returns a control that can be cancelled alone, and is cancelled with this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { cancel: self.cancel.child_token(), progress: Arc::clone(&self.progress) }
    }

    /// Returns this control without progress.
    #[must_use]
    pub fn without_progress(&self) -> Self {
        Self { cancel: self.cancel.clone(), ..Self::default() }
    }
}

/// Counts the bytes of one phase, on any number of threads. The phase ends when it is dropped.
pub(crate) struct PhaseCounter {
    control: Control,
    phase: Phase,
    total: u64,
    done: AtomicU64,
}

impl PhaseCounter {
    pub(crate) fn new(control: &Control, phase: Phase, total: u64) -> Self {
        Self { control: control.clone(), phase, total, done: AtomicU64::new(0) }
    }

    /// Adds to the number of bytes done.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] once the control was cancelled.
    pub(crate) fn add(&self, bytes: u64) -> Result<()> {
        self.control.check(self.phase.what())?;
        if bytes > 0 {
            let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
            self.control.advance(self.phase, done, self.total);
        }
        Ok(())
    }

    /// Subtracts bytes that were added and have to be read again.
    #[cfg(feature = "cli")]
    pub(crate) fn take_back(&self, bytes: u64) {
        if bytes > 0 {
            let done = self.done.fetch_sub(bytes, Ordering::Relaxed).saturating_sub(bytes);
            self.control.advance(self.phase, done, self.total);
        }
    }
}

/// Counts what is read; fails once the control was cancelled.
pub(crate) struct CountedReader<'a, R> {
    inner: R,
    counter: &'a PhaseCounter,
}

impl<'a, R> CountedReader<'a, R> {
    pub(crate) fn new(inner: R, counter: &'a PhaseCounter) -> Self {
        Self { inner, counter }
    }
}

impl<R: Read> Read for CountedReader<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.counter.add(read as u64).map_err(io::Error::other)?;
        Ok(read)
    }
}

impl Drop for PhaseCounter {
    fn drop(&mut self) {
        if self.done.load(Ordering::Relaxed) > 0 {
            self.control.progress.on_event(&Event::PhaseFinished { phase: self.phase });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct EventLog(Mutex<Vec<String>>);

    impl Progress for EventLog {
        fn on_event(&self, event: &Event<'_>) {
            self.0.lock().unwrap().push(format!("{event:?}"));
        }
    }

    #[test]
    fn phase_reports_bytes_and_end_and_stops_when_cancelled() {
        let log = Arc::new(EventLog::default());
        let control = Control { progress: Arc::clone(&log) as _, ..Control::default() };
        drop(PhaseCounter::new(&control, Phase::Verify, 0));
        let counter = PhaseCounter::new(&control, Phase::Verify, 9);
        for bytes in [4, 0, 5] {
            counter.add(bytes).unwrap();
        }
        control.cancel.cancel();
        assert_eq!(counter.add(1).unwrap_err().kind(), ErrorKind::Interrupted);
        drop(counter);
        let expected = [
            "PhaseAdvanced { phase: Verify, done: 4, total: 9 }",
            "PhaseAdvanced { phase: Verify, done: 9, total: 9 }",
            "PhaseFinished { phase: Verify }",
        ];
        assert_eq!(*log.0.lock().unwrap(), expected);
    }

    #[test]
    fn control_child_is_cancelled_alone_and_with_parent() {
        let control = Control::default();
        let (one, other) = (control.child(), control.child());
        one.cancel.cancel();
        assert!(one.check("x").is_err() && other.check("x").is_ok() && control.check("x").is_ok());
        control.cancel.cancel();
        assert!(other.check("x").is_err() && control.without_progress().check("x").is_err());
    }
}
