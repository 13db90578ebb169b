//! Progress without a terminal: a line when a blob is done, and a total every ten seconds.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::labels::{ProgressLabels, phase_label};
use super::output::note;
use super::run::plan::from_deltas;
use super::size::{percent, plural, size};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::progress::{Completion, Event, Progress};

/// Time between two lines with the total.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Prints the progress of a run line by line.
#[derive(Debug)]
pub(super) struct PlainProgress {
    labels: &'static ProgressLabels,
    state: Mutex<PlainState>,
}

#[derive(Debug, Default)]
struct PlainState {
    total: u64,
    positions: std::collections::HashMap<String, u64>,
    shared: u64,
    last_line: Option<Instant>,
    /// Whether a run is going on: a phase beside it has no lines.
    running: bool,
    phase_last_line: Option<Instant>,
}

impl PlainState {
    fn done(&self) -> u64 {
        self.shared + self.positions.values().sum::<u64>()
    }
}

impl PlainProgress {
    pub(super) fn new(labels: &'static ProgressLabels) -> Self {
        Self { labels, state: Mutex::default() }
    }
}

impl Progress for PlainProgress {
    fn on_event(&self, event: &Event<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Resolved { reference, .. } => {
                state.running = true;
                note(&format!("{reference}: {}", self.labels.running));
            }
            Event::Planned { blobs, rebuilt } => state.plan(blobs, rebuilt, self.labels),
            Event::BlobStarted { digest, position } | Event::BlobAdvanced { digest, position } => {
                state.positions.insert(digest.to_string(), *position);
                state.print_periodically();
            }
            Event::BlobFinished { digest, completion } => {
                let bytes = state.positions.get(digest.as_str()).copied().unwrap_or_default();
                let end = match completion {
                    Completion::Transferred => format!("done, {}", size(bytes)),
                    Completion::Rebuilt => format!("rebuilt, {}", size(bytes)),
                    Completion::Shared => "already exists".to_owned(),
                    Completion::Mounted(from) => format!("mounted from {from}"),
                };
                note(&format!("{}: {end}", digest.short()));
            }
            Event::PhaseAdvanced { phase, done, total } => {
                state.advance_phase(phase_label(*phase), *done, *total);
            }
            Event::PhaseFinished { .. } => state.phase_last_line = None,
            Event::RunFinished => state.running = false,
            // An outage is reported once for the host, not for each blob that waits for it.
            Event::Retrying { digest, delay, error } if error.outage().is_none() => {
                note(&format!(
                    "{}: {}; retrying in {:.1} s",
                    digest.short(),
                    error.chain(),
                    delay.as_secs_f64()
                ));
            }
            _ => {}
        }
    }
}

impl PlainState {
    fn plan(
        &mut self,
        blobs: &[(&Descriptor, u64)],
        rebuilt: &[(&Digest, u64)],
        labels: &ProgressLabels,
    ) {
        self.total = blobs.iter().map(|(blob, _)| blob.size).sum();
        let (existing_blobs, missing_blobs): (Vec<_>, Vec<_>) =
            blobs.iter().partition(|(blob, existing)| blob.size == *existing);
        self.shared = existing_blobs.iter().map(|(blob, _)| blob.size).sum();
        let is_rebuilt =
            |blob: &Descriptor| rebuilt.iter().any(|(digest, _)| **digest == blob.digest);
        let is_moved = |(blob, _): &&(&Descriptor, u64)| !is_rebuilt(blob);
        let moved: Vec<_> = missing_blobs.iter().filter(is_moved).collect();
        let missing: u64 = moved.iter().map(|(blob, existing)| blob.size - existing).sum();
        let to_do = labels.to_do;
        if labels.to_registry && !blobs.is_empty() {
            let count = plural(blobs.len() as u64, "blob");
            note(&format!("up to {count} to {to_do}, up to {}", size(self.total)));
        } else if !missing_blobs.is_empty() {
            let received = rebuilt.iter().map(|(_, bytes)| bytes).sum();
            let to_rebuild = match rebuilt.len() {
                0 => String::new(),
                count => format!("; {count} to rebuild{}", from_deltas(received)),
            };
            note(&format!(
                "{} of {} to {to_do}, {} of {}{to_rebuild}",
                moved.len(),
                plural(blobs.len() as u64, "blob"),
                size(missing),
                size(self.total)
            ));
        }
        self.last_line = Some(Instant::now());
    }

    fn advance_phase(&mut self, label: &str, done: u64, total: u64) {
        if self.running {
            return;
        }
        let last_line = self.phase_last_line.get_or_insert_with(Instant::now);
        if last_line.elapsed() >= REPORT_INTERVAL {
            *last_line = Instant::now();
            match total {
                // A pipe has no known size.
                0 => note(&format!("{label} {}", size(done))),
                _ => note(&format!(
                    "{label} {} of {} ({})",
                    size(done),
                    size(total),
                    percent(done, total)
                )),
            }
        }
    }

    fn print_periodically(&mut self) {
        if self.last_line.is_some_and(|last_line| last_line.elapsed() >= REPORT_INTERVAL) {
            let done = self.done();
            note(&format!(
                "{} of {} ({})",
                size(done),
                size(self.total),
                percent(done, self.total)
            ));
            self.last_line = Some(Instant::now());
        }
    }
}
