//! Progress without a terminal: a line when a blob is done, and one now and then while it is long.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::output::note;
use super::size::{percent, size};
use super::words::Words;
use crate::transfer::{Event, Progress, Way};

/// Between two lines that only say how far it is.
const EVERY: Duration = Duration::from_secs(10);

/// Tells a run line by line.
#[derive(Debug)]
pub(super) struct Lines {
    words: &'static Words,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    total: u64,
    positions: std::collections::HashMap<String, u64>,
    shared: u64,
    told: Option<Instant>,
}

impl State {
    fn far(&self) -> u64 {
        self.shared + self.positions.values().sum::<u64>()
    }
}

impl Lines {
    pub(super) fn new(words: &'static Words) -> Self {
        Self { words, state: Mutex::default() }
    }
}

impl Progress for Lines {
    fn on_event(&self, event: &Event<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Resolved { reference, .. } => {
                note(&format!("{reference}: {}", self.words.running));
            }
            Event::Planned { blobs } => state.plan(blobs, self.words.to_do),
            Event::BlobStarted { digest, position } | Event::Advanced { digest, position } => {
                state.positions.insert(digest.to_string(), *position);
                state.tell_now_and_then();
            }
            Event::BlobFinished { digest, way } => {
                let bytes = state.positions.get(digest.as_str()).copied().unwrap_or_default();
                let end = match way {
                    Way::Moved => format!("done, {}", size(bytes)),
                    Way::Shared => "already exists".to_owned(),
                    Way::Mounted(from) => format!("mounted from {from}"),
                };
                note(&format!("{}: {end}", digest.short()));
            }
            // An outage is told once, not for each blob that waits for its end.
            Event::Retrying { digest, delay, error } if error.outage().is_none() => {
                note(&format!(
                    "{}: {}; again in {:.1} s",
                    digest.short(),
                    error.chain(),
                    delay.as_secs_f64()
                ));
            }
            _ => {}
        }
    }
}

impl State {
    fn plan(&mut self, blobs: &[(&crate::descriptor::Descriptor, u64)], to_do: &str) {
        self.total = blobs.iter().map(|(blob, _)| blob.size).sum();
        let (whole, rest): (Vec<_>, Vec<_>) =
            blobs.iter().partition(|(blob, there)| blob.size == *there);
        self.shared = whole.iter().map(|(blob, _)| blob.size).sum();
        let missing: u64 = rest.iter().map(|(blob, there)| blob.size - there).sum();
        if !rest.is_empty() {
            note(&format!(
                "{} of {} blobs to {to_do}, {} of {}",
                rest.len(),
                blobs.len(),
                size(missing),
                size(self.total)
            ));
        }
        self.told = Some(Instant::now());
    }

    fn tell_now_and_then(&mut self) {
        if self.told.is_some_and(|told| told.elapsed() >= EVERY) {
            let far = self.far();
            note(&format!("{} of {} ({})", size(far), size(self.total), percent(far, self.total)));
            self.told = Some(Instant::now());
        }
    }
}
