//! Progress of one task that is counted in bytes: a bar on a terminal, otherwise a line every ten seconds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::output::{leave_bars, note, set_bars};
use super::rate::Rate;
use super::settings::ProgressMode;
use super::size::{percent, size};

const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Shows the progress of one task; removes its bar when dropped.
pub(super) struct ByteMeter {
    label: &'static str,
    total: u64,
    bar: Option<(ProgressBar, Rate)>,
    last_line: Option<Mutex<Instant>>,
}

impl ByteMeter {
    pub(super) fn new(show: ProgressMode, label: &'static str, total: u64) -> Self {
        let bar = (show == ProgressMode::Bars).then(|| {
            let screen = MultiProgress::new();
            set_bars(screen.clone());
            let template =
                "{msg} {percent:>3}% [{bar:20}] {decimal_bytes}/{decimal_total_bytes}{rate}";
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let rate = Rate::new();
            let style = rate.show_in(style.progress_chars("=> "));
            (screen.add(ProgressBar::new(total).with_style(style).with_message(label)), rate)
        });
        Self {
            label,
            total,
            bar,
            last_line: (show == ProgressMode::Lines).then(|| Mutex::new(Instant::now())),
        }
    }

    /// Sets the starting position for a task whose first `done` bytes are not part of the rate.
    fn starting_at(self, done: u64) -> Self {
        if let Some((bar, _)) = &self.bar {
            bar.set_position(done);
        }
        self
    }

    /// Sets the number of bytes done.
    pub(super) fn set(&self, done: u64) {
        if let Some((bar, rate)) = &self.bar {
            rate.add(done.saturating_sub(bar.position()));
            bar.set_position(done);
        }
        if let Some(last_line) = &self.last_line {
            let mut last_line = last_line.lock().unwrap_or_else(PoisonError::into_inner);
            if last_line.elapsed() >= REPORT_INTERVAL {
                *last_line = Instant::now();
                note(&format!(
                    "{} {} of {} ({})",
                    self.label,
                    size(done),
                    size(self.total),
                    percent(done, self.total)
                ));
            }
        }
    }
}

impl Drop for ByteMeter {
    fn drop(&mut self) {
        if let Some((bar, _)) = &self.bar {
            bar.finish_and_clear();
            leave_bars();
        }
    }
}

/// A [`ByteMeter`] for a task that starts while another one uses the screen. It stays hidden until
/// [`DeferredMeter::show`].
pub(super) struct DeferredMeter {
    label: &'static str,
    total: AtomicU64,
    done: AtomicU64,
    show: OnceLock<ProgressMode>,
    meter: OnceLock<ByteMeter>,
}

impl DeferredMeter {
    pub(super) fn new(label: &'static str, total: u64) -> Self {
        Self {
            label,
            total: total.into(),
            done: AtomicU64::default(),
            show: OnceLock::new(),
            meter: OnceLock::new(),
        }
    }

    /// Corrects the total. Call it before the first [`DeferredMeter::add`].
    pub(super) fn set_total(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// Shows the meter from now on.
    pub(super) fn show(&self, show: ProgressMode) {
        _ = self.show.set(show).is_ok();
    }

    /// Adds to the number of bytes done.
    pub(super) fn add(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if let Some(show) = self.show.get() {
            let new = || ByteMeter::new(*show, self.label, self.total.load(Ordering::Relaxed));
            self.meter.get_or_init(|| new().starting_at(done)).set(done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_meter_starts_with_earlier_progress() {
        let late = DeferredMeter::new("unpacking", 10);
        late.set_total(6);
        late.add(2);
        assert!(late.meter.get().is_none());
        late.show(ProgressMode::Bars);
        late.add(1);
        let meter = late.meter.get().unwrap();
        assert_eq!((meter.total, meter.bar.as_ref().unwrap().0.position()), (6, 3));
    }
}
