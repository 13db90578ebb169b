//! Progress of one long work that is counted in bytes: a bar on a terminal, a line now and then elsewhere.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::output::{leave_bars, note, share_screen_with};
use super::settings::Show;
use super::size::{percent, size};

/// Between two lines.
const EVERY: Duration = Duration::from_secs(10);

/// Tells how far one work is; cleared when dropped.
pub(super) struct Meter {
    words: &'static str,
    total: u64,
    bar: Option<ProgressBar>,
    told: Option<Mutex<Instant>>,
}

impl Meter {
    pub(super) fn new(show: Show, words: &'static str, total: u64) -> Self {
        let bar = (show == Show::Bars).then(|| {
            let screen = MultiProgress::new();
            share_screen_with(screen.clone());
            let template = "{msg} {percent:>3}% [{bar:20}] {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left";
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            screen.add(ProgressBar::new(total).with_style(style.progress_chars("=> ")).with_message(words))
        });
        Self { words, total, bar, told: (show == Show::Lines).then(|| Mutex::new(Instant::now())) }
    }

    /// The work has done so many bytes.
    pub(super) fn set(&self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
        if let Some(told) = &self.told {
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.elapsed() >= EVERY {
                *told = Instant::now();
                note(&format!(
                    "{} {} of {} ({})",
                    self.words,
                    size(done),
                    size(self.total),
                    percent(done, self.total)
                ));
            }
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            leave_bars();
        }
    }
}
