//! Lets somebody use blobs while a run still moves them: waits, on a thread of its own, for the bytes to come.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::finder::Picked;
use super::progress::{Event, Progress};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};

/// Who waits longer is asked whether it still wants to.
const PATIENCE: Duration = Duration::from_millis(100);

/// Listens to a run, and passes on what it hears.
pub struct Arrivals {
    progress: Arc<dyn Progress>,
    heard: Mutex<Heard>,
    changed: Condvar,
}

#[derive(Default)]
struct Heard {
    picked: Option<Picked>,
    blobs: HashMap<Digest, Blob>,
    ended: bool,
}

/// What was heard of a blob.
#[derive(Clone, Copy, Default)]
struct Blob {
    position: u64,
    whole: bool,
    /// How often bytes were thrown away.
    restarts: u32,
}

/// Where a blob stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Bytes that are there or are being written, not yet verified unless the blob is whole.
    pub position: u64,
    /// Whether it is there, verified.
    pub whole: bool,
    /// How often bytes were thrown away: those before are not those of now.
    pub restarts: u32,
}

impl std::fmt::Debug for Arrivals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arrivals").finish_non_exhaustive()
    }
}

impl Arrivals {
    /// To be the progress of a run; what it hears goes on to this one.
    pub fn new(progress: Arc<dyn Progress>) -> Self {
        Self { progress, heard: Mutex::default(), changed: Condvar::new() }
    }

    /// Waits for the documents of the run's only image.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] where the run ended before.
    pub fn picked(&self) -> Result<Picked> {
        loop {
            if let Some(picked) = self.wait_for(|heard| heard.picked.clone())? {
                return Ok(picked);
            }
        }
    }

    /// Waits until more than so many bytes of the blob are there, or all; `None` where that takes long.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] where the run ended before.
    pub fn blob(&self, digest: &Digest, beyond: u64) -> Result<Option<Arrived>> {
        self.wait_for(|heard| {
            let Blob { position, whole, restarts } = *heard.blobs.get(digest)?;
            (whole || position > beyond).then_some(Arrived { position, whole, restarts })
        })
    }

    fn wait_for<T>(&self, ready: impl Fn(&Heard) -> Option<T>) -> Result<Option<T>> {
        let heard = self.lock();
        let waits = |heard: &mut Heard| !heard.ended && ready(heard).is_none();
        let waited = self.changed.wait_timeout_while(heard, PATIENCE, waits);
        let (heard, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match ready(&heard) {
            None if heard.ended => Err(Error::new(ErrorKind::Interrupted, "unpack")
                .because("what it waits for does not come")),
            found => Ok(found),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    fn hear(&mut self, event: &Event<'_>) {
        match event {
            Event::Resolved { documents, index, .. } => {
                self.picked = documents.last().map(|chosen| Picked {
                    root: index.unwrap_or(chosen).clone(),
                    chosen: chosen.clone(),
                });
            }
            Event::Planned { blobs } => {
                for (descriptor, there) in *blobs {
                    self.blobs.entry(descriptor.digest.clone()).or_default().position = *there;
                }
            }
            Event::BlobStarted { digest, position } | Event::Advanced { digest, position } => {
                let blob = self.blobs.entry((*digest).clone()).or_default();
                if *position < blob.position {
                    blob.restarts += 1;
                }
                blob.position = *position;
            }
            Event::BlobFinished { digest, .. } => {
                self.blobs.entry((*digest).clone()).or_default().whole = true;
            }
            Event::Ended => self.ended = true,
            Event::Retrying { .. } | Event::Committed { .. } => {}
        }
    }
}

impl Progress for Arrivals {
    fn on_event(&self, event: &Event<'_>) {
        self.progress.on_event(event);
        self.lock().hear(event);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::{Silent, Way};

    #[test]
    fn bytes_that_were_thrown_away_are_told_apart_from_those_that_follow() {
        let arrivals = Arrivals::new(Arc::new(Silent));
        let digest = &Digest::sha256(b"blob");
        let says = |event| arrivals.on_event(&event);
        says(Event::BlobStarted { digest, position: 0 });
        says(Event::Advanced { digest, position: 10 });
        let first = arrivals.blob(digest, 0).unwrap().unwrap();
        assert_eq!((first.position, first.whole, first.restarts), (10, false, 0));
        says(Event::BlobStarted { digest, position: 0 });
        says(Event::Advanced { digest, position: 5 });
        assert_eq!(arrivals.blob(digest, 0).unwrap().unwrap().restarts, 1);
        says(Event::BlobFinished { digest, way: Way::Moved });
        assert!(arrivals.blob(digest, 5).unwrap().unwrap().whole);
    }

    #[test]
    fn nobody_waits_for_a_run_that_ended() {
        let arrivals = Arc::new(Arrivals::new(Arc::new(Silent)));
        let waiting = {
            let arrivals = Arc::clone(&arrivals);
            std::thread::spawn(move || {
                let never = Digest::sha256(b"never");
                loop {
                    if let Some(end) = arrivals.blob(&never, 0).transpose() {
                        return end;
                    }
                }
            })
        };
        arrivals.on_event(&Event::Ended);
        let error = waiting.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        assert!(arrivals.picked().is_err());
    }
}
