//! Progress on a terminal: a line per layer as docker draws it, and a total with rate and remaining time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::labels::{ProgressLabels, phase_label};
use super::output::{leave_bars, note, set_bars};
use super::rate::Rate;
use super::size::size;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::progress::{Completion, Event, Phase, Progress};

/// With more blobs than this, only those in transfer have a line.
const MAX_LINES: usize = 24;

/// Redraw interval of the total while nothing arrives.
const TICK_INTERVAL: Duration = Duration::from_millis(200);

/// Whether bytes were transferred just now. Only those count for the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moved {
    Now,
    Earlier,
}

/// Draws the progress of a run.
#[derive(Debug)]
pub(super) struct ProgressBars {
    labels: &'static ProgressLabels,
    screen: MultiProgress,
    state: Mutex<BarState>,
}

#[derive(Debug, Default)]
struct BarState {
    blobs: HashMap<Digest, BlobBar>,
    total: Option<Total>,
    is_compact: bool,
    /// Whether a run is going on: a phase beside it has no bar until the run is over.
    running: bool,
    /// Bytes of the phase, also while it has no bar.
    done: u64,
    phase: Option<Total>,
}

/// A bar with a rate.
#[derive(Debug)]
struct Total {
    bar: ProgressBar,
    rate: Rate,
}

#[derive(Debug)]
struct BlobBar {
    size: u64,
    position: u64,
    bar: Option<ProgressBar>,
}

impl ProgressBars {
    pub(super) fn new(labels: &'static ProgressLabels) -> Self {
        Self { labels, screen: MultiProgress::new(), state: Mutex::default() }
    }

    fn plan(&self, state: &mut BarState, blobs: &[(&Descriptor, u64)]) {
        if blobs.iter().all(|(blob, existing)| blob.size == *existing) {
            return;
        }
        set_bars(self.screen.clone());
        state.is_compact = blobs.len() > MAX_LINES;
        for (blob, existing) in blobs {
            let shared = blob.size == *existing;
            let bar = (!state.is_compact).then(|| {
                let bar = self.screen.add(ProgressBar::new(blob.size));
                say(&bar, &blob.digest, if shared { "already exists" } else { "waiting" });
                if shared {
                    bar.finish();
                }
                bar
            });
            state
                .blobs
                .insert(blob.digest.clone(), BlobBar { size: blob.size, position: *existing, bar });
        }
        let size: u64 = blobs.iter().map(|(blob, _)| blob.size).sum();
        let existing: u64 = blobs.iter().map(|(_, existing)| *existing).sum();
        let total = self.bar_with_rate("total", existing, size);
        total.bar.enable_steady_tick(TICK_INTERVAL);
        state.total = Some(total);
    }

    /// Adds a bar; what is there already is not part of the rate.
    fn bar_with_rate(&self, labels: &'static str, existing: u64, size: u64) -> Total {
        let rate = Rate::new();
        let template = "{msg} {percent:>3}% [{bar:20}] {decimal_bytes}/{decimal_total_bytes}{rate}";
        let style = rate.show_in(style(template).progress_chars("=> "));
        let bar = ProgressBar::new(size).with_style(style).with_message(labels);
        Total { bar: self.screen.add(bar.with_position(existing)), rate }
    }

    fn advance_phase(&self, state: &mut BarState, phase: Phase, done: u64, size: u64) {
        let before = state.done;
        state.done = before.max(done);
        if state.running {
            return;
        }
        let new = || {
            set_bars(self.screen.clone());
            self.bar_with_rate(phase_label(phase), before, size)
        };
        let Total { bar, rate } = state.phase.get_or_insert_with(new);
        rate.add(state.done - before);
        // A pipe has no known size.
        if state.done > size {
            bar.set_length(state.done);
        }
        bar.set_position(state.done);
    }

    /// Moves the bar of a blob to `position`.
    fn advance(&self, state: &mut BarState, digest: &Digest, position: u64, moved: Moved) {
        let is_compact = state.is_compact;
        let Some(line) = state.blobs.get_mut(digest) else { return };
        let bar =
            line.bar.get_or_insert_with(|| self.screen.insert(0, ProgressBar::new(line.size)));
        if position >= line.size && line.position < line.size {
            say(bar, digest, self.labels.finishing);
        } else if bar.message() != self.labels.moving && position < line.size {
            bar.set_style(moving_style());
            bar.set_prefix(digest.short().to_owned());
            bar.set_message(self.labels.moving);
        }
        bar.set_position(position);
        let added = position.saturating_sub(line.position);
        let lost = line.position.saturating_sub(position);
        line.position = position;
        if is_compact && position >= line.size {
            bar.finish_and_clear();
        }
        if let Some(total) = &state.total {
            total.bar.inc(added);
            total.bar.dec(lost);
            if moved == Moved::Now {
                total.rate.add(added);
            }
        }
    }
}

impl Progress for ProgressBars {
    fn on_event(&self, event: &Event<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Resolved { reference, .. } => {
                state.running = true;
                note(&format!("{reference}: {}", self.labels.running));
            }
            Event::Planned { blobs } => self.plan(&mut state, blobs),
            Event::BlobStarted { digest, position } => {
                self.advance(&mut state, digest, *position, Moved::Earlier);
            }
            Event::BlobAdvanced { digest, position } => {
                self.advance(&mut state, digest, *position, Moved::Now);
            }
            Event::Retrying { digest, error, delay } => {
                if let Some(bar) = state.blobs.get(*digest).and_then(|line| line.bar.as_ref()) {
                    say(
                        bar,
                        digest,
                        &format!("retrying in {:.1} s: {}", delay.as_secs_f64(), error.reason()),
                    );
                }
            }
            Event::BlobFinished { digest, completion } => {
                let end = state.blobs.get(*digest).map(|line| line.size).unwrap_or_default();
                self.advance(&mut state, digest, end, Moved::Earlier);
                if let Some(bar) = state
                    .blobs
                    .get(*digest)
                    .and_then(|line| line.bar.as_ref())
                    .filter(|_| !state.is_compact)
                {
                    match completion {
                        Completion::Transferred => say(bar, digest, self.labels.done),
                        Completion::Shared => say(bar, digest, "already exists"),
                        Completion::Mounted(from) => {
                            say(bar, digest, &format!("mounted from {from}"));
                        }
                    }
                    bar.finish();
                }
            }
            Event::PhaseAdvanced { phase, done, total } => {
                self.advance_phase(&mut state, *phase, *done, *total);
            }
            Event::PhaseFinished { .. } => end_phase(&mut state),
            Event::RunFinished => end_run(&mut state),
            _ => {}
        }
    }
}

fn end_phase(state: &mut BarState) {
    state.done = 0;
    if let Some(shown) = state.phase.take() {
        shown.bar.finish_and_clear();
        leave_bars();
    }
}

fn end_run(state: &mut BarState) {
    state.running = false;
    if let Some(total) = state.total.take() {
        total.bar.finish_and_clear();
    }
    for (digest, line) in &state.blobs {
        if let Some(bar) = line.bar.as_ref().filter(|bar| !bar.is_finished()) {
            say(bar, digest, &format!("stopped at {}", size(line.position)));
            bar.abandon();
        }
    }
    leave_bars();
}

/// Shows a text in place of the bar.
fn say(bar: &ProgressBar, digest: &Digest, text: &str) {
    bar.set_style(style("{prefix}: {msg}"));
    bar.set_prefix(digest.short().to_owned());
    bar.set_message(text.to_owned());
}

fn moving_style() -> ProgressStyle {
    style("{prefix}: {msg} [{bar:24}] {decimal_bytes}/{decimal_total_bytes}").progress_chars("=> ")
}

fn style(template: &str) -> ProgressStyle {
    // The templates are literals in this file; an invalid one falls back to a plain bar.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::labels;

    #[test]
    fn phase_beside_run_is_shown_after_it_with_earlier_progress() {
        let bars = ProgressBars::new(&labels::PULL);
        let advance =
            |done| bars.on_event(&Event::PhaseAdvanced { phase: Phase::Unpack, done, total: 6 });
        let shown = || {
            let state = bars.state.lock().unwrap();
            state.phase.as_ref().map(|shown| (shown.bar.position(), shown.bar.length()))
        };
        bars.state.lock().unwrap().running = true;
        advance(2);
        bars.on_event(&Event::RunFinished);
        assert_eq!(shown(), None);
        advance(4);
        advance(3);
        assert_eq!(shown(), Some((4, Some(6))), "threads tell it in any order");
        bars.on_event(&Event::PhaseFinished { phase: Phase::Unpack });
        assert_eq!(shown(), None);
    }
}
