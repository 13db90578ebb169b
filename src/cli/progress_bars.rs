//! Draws progress on a terminal. indicatif draws and removes the lines, which [`Screen`] fits to the terminal's present size.

use std::collections::HashSet;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::labels::{ProgressLabels, phase_label};
use super::output::{leave_bars, note, set_bars};
use super::progress_line::total_line;
use super::progress_screen::{ImageBlobs, Screen};
use super::progress_terminal::ProgressTerminal;
use super::rate::Rate;
use super::terminal_width::progress_size;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::progress::{Event, Phase, Progress};

/// Time between two pictures.
const TICK_INTERVAL: Duration = Duration::from_millis(100);

/// Draws the progress of a run.
#[derive(Debug)]
pub(super) struct ProgressBars {
    labels: &'static ProgressLabels,
    /// Locked while the lines are made, so it must not be held while anything is printed.
    state: Arc<Mutex<DrawnState>>,
    bar: Mutex<Option<ProgressBar>>,
}

#[derive(Debug, Default)]
struct DrawnState {
    /// The images that were resolved so far.
    images: Vec<ImageBlobs>,
    /// The blobs of these images.
    resolved: HashSet<Digest>,
    screen: Option<Screen>,
    /// Whether a run is going on: a phase beside it has no bar until the run is over.
    running: bool,
    /// Bytes of the phase, also while it has no bar.
    done: u64,
    phase: Option<PhaseBar>,
}

#[derive(Debug)]
struct PhaseBar {
    label: &'static str,
    total: u64,
    rate: Rate,
}

/// What an event changes beside the state.
#[derive(Debug)]
enum Effect {
    Nothing,
    Note(String),
    StartDrawing,
    /// Replaces what is drawn by these lines.
    StopDrawing(Vec<String>),
}

impl DrawnState {
    fn lines(&self, (columns, rows): (usize, usize)) -> Vec<String> {
        // A full last column makes some terminals start another line.
        let columns = columns.saturating_sub(1);
        match (&self.screen, &self.phase) {
            (Some(screen), _) => screen.lines(columns, rows),
            (None, Some(PhaseBar { label, total, rate })) => {
                // A pipe has no known size.
                let total = if *total > 0 { self.done.max(*total) } else { 0 };
                vec![total_line(label, (self.done, total), rate, columns)]
            }
            (None, None) => Vec::new(),
        }
    }

    /// Adds an image; a blob belongs to the first that needs it.
    fn resolve(&mut self, reference: &str, documents: &[Document]) {
        let blobs = documents.iter().flat_map(Document::blobs).map(|blob| blob.digest.clone());
        let new = blobs.filter(|digest| self.resolved.insert(digest.clone())).collect();
        self.images.push((reference.to_owned(), new));
    }

    fn plan(
        &mut self,
        labels: &'static ProgressLabels,
        blobs: &[(&Descriptor, u64)],
        rebuilt: &[(&Digest, u64)],
    ) -> Effect {
        if blobs.iter().all(|(blob, existing)| blob.size == *existing) {
            return Effect::Nothing;
        }
        let planned: HashSet<&Digest> = blobs.iter().map(|(blob, _)| &blob.digest).collect();
        self.images.retain(|(_, digests)| digests.iter().any(|digest| planned.contains(digest)));
        let mut screen = Screen::new(labels, &self.images, blobs);
        for (digest, _) in rebuilt {
            screen.rebuild(digest);
        }
        self.screen = Some(screen);
        Effect::StartDrawing
    }

    fn advance_phase(&mut self, phase: Phase, done: u64, total: u64) -> Effect {
        let before = self.done;
        self.done = before.max(done);
        if self.running {
            return Effect::Nothing;
        }
        let is_new = self.phase.is_none();
        let new = || PhaseBar { label: phase_label(phase), total, rate: Rate::default() };
        let shown = self.phase.get_or_insert_with(new);
        shown.total = total;
        if is_new {
            return Effect::StartDrawing;
        }
        shown.rate.add(self.done - before, Instant::now());
        Effect::Nothing
    }

    fn end_phase(&mut self) -> Effect {
        self.done = 0;
        match self.phase.take() {
            Some(_) => Effect::StopDrawing(Vec::new()),
            None => Effect::Nothing,
        }
    }

    fn end_run(&mut self) -> Effect {
        self.running = false;
        self.images.clear();
        self.resolved.clear();
        let Some(mut screen) = self.screen.take() else { return Effect::Nothing };
        screen.stop();
        let (columns, rows) = progress_size();
        Effect::StopDrawing(screen.lines(columns, rows))
    }
}

impl ProgressBars {
    pub(super) fn new(labels: &'static ProgressLabels) -> Self {
        Self { labels, state: Arc::default(), bar: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, DrawnState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_drawing(&self) {
        let state = Arc::clone(&self.state);
        let draw = move |_: &ProgressState, text: &mut dyn Write| {
            let lines = state.lock().unwrap_or_else(PoisonError::into_inner).lines(progress_size());
            // Writing to the progress bar's buffer cannot fail.
            _ = write!(text, "{}", lines.join("\n"));
        };
        // The template is a literal; an invalid one would fall back to a plain bar.
        let style = ProgressStyle::with_template("{lines}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let target = ProgressDrawTarget::term_like(Box::new(ProgressTerminal::default()));
        let bar = ProgressBar::with_draw_target(Some(0), target)
            .with_style(style.with_key("lines", draw));
        if !set_bars(bar.clone()) {
            return;
        }
        bar.enable_steady_tick(TICK_INTERVAL);
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
    }

    fn stop_drawing(&self, lines: &[String]) {
        if let Some(bar) = self.bar.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
        leave_bars();
        for line in lines {
            note(line);
        }
    }

    /// Applies an event to what is drawn.
    fn apply(&self, event: &Event<'_>) -> Effect {
        let mut state = self.state();
        match (event, &mut state.screen) {
            (Event::Resolved { reference, documents, .. }, _) => {
                state.running = true;
                state.resolve(reference, documents);
                return Effect::Note(format!("{reference}: {}", self.labels.running));
            }
            (Event::Planned { blobs, rebuilt }, _) => {
                return state.plan(self.labels, blobs, rebuilt);
            }
            (Event::BlobStarted { digest, position }, Some(screen)) => {
                screen.start(digest, *position);
            }
            (Event::BlobAdvanced { digest, position }, Some(screen)) => {
                screen.advance(digest, *position);
            }
            (Event::Retrying { digest, error, delay }, Some(screen)) => {
                let (delay, reason) = (delay.as_secs_f64(), error.reason());
                let reason = crate::escape(reason);
                screen.wait(digest, format!("retrying in {delay:.1} s: {reason}"));
            }
            (Event::BlobFinished { digest, completion }, Some(screen)) => {
                screen.finish(digest, *completion);
            }
            (Event::PhaseAdvanced { phase, done, total }, _) => {
                return state.advance_phase(*phase, *done, *total);
            }
            (Event::PhaseFinished { .. }, _) => return state.end_phase(),
            (Event::RunFinished, _) => return state.end_run(),
            _ => {}
        }
        Effect::Nothing
    }
}

impl Progress for ProgressBars {
    fn on_event(&self, event: &Event<'_>) {
        match self.apply(event) {
            Effect::Nothing => {}
            Effect::Note(line) => note(&line),
            Effect::StartDrawing => self.start_drawing(),
            Effect::StopDrawing(lines) => self.stop_drawing(&lines),
        }
    }
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
        let shown = || bars.state().lines((80, 24)).join("\n");
        bars.state().running = true;
        advance(2);
        bars.on_event(&Event::RunFinished);
        assert_eq!(shown(), "");
        advance(4);
        advance(3);
        assert!(shown().starts_with("unpacking  67 % ["), "{}", shown());
        assert!(shown().ends_with("] 4 B/6 B"), "threads tell it in any order: {}", shown());
        bars.on_event(&Event::PhaseFinished { phase: Phase::Unpack });
        assert_eq!(shown(), "");
    }
}
