//! Computes the transfer rate and the remaining time. Only bytes moved in this run count: neither those of an earlier
//! run nor blobs that already exist.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressState, ProgressStyle};

use super::size::size;

/// The rate is the average of this time.
const WINDOW: Duration = Duration::from_secs(5);

/// No rate is shown before this time: the first packets would dominate it.
const MIN_ELAPSED: Duration = Duration::from_millis(500);

/// Minimum time between two marks.
const MARK_INTERVAL: Duration = Duration::from_millis(250);

/// Counts bytes as they arrive.
#[derive(Clone, Debug)]
pub(super) struct Rate(Arc<Mutex<Counted>>);

#[derive(Debug)]
struct Counted {
    start: Instant,
    bytes: u64,
    /// Total bytes at each of these times, oldest first.
    marks: VecDeque<(Instant, u64)>,
}

impl Rate {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Counted::new(Instant::now()))))
    }

    /// Adds to the number of bytes.
    pub(super) fn add(&self, bytes: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(bytes, Instant::now());
    }

    /// Adds the key `{rate}` to the style: ` 600.0 kB/s  12s left`, or nothing while the rate is unknown.
    pub(super) fn show_in(&self, style: ProgressStyle) -> ProgressStyle {
        let counted = Arc::clone(&self.0);
        style.with_key("rate", move |state: &ProgressState, text: &mut dyn Write| {
            let counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
            let rest = state.len().unwrap_or_default().saturating_sub(state.pos());
            // Writing to the progress bar's buffer cannot fail.
            _ = write!(text, "{}", counted.text(rest, Instant::now()));
        })
    }
}

impl Counted {
    fn new(start: Instant) -> Self {
        Self { start, bytes: 0, marks: VecDeque::from([(start, 0)]) }
    }

    fn add(&mut self, bytes: u64, now: Instant) {
        self.bytes += bytes;
        if self.marks.back().is_none_or(|(at, _)| now.duration_since(*at) >= MARK_INTERVAL) {
            self.marks.push_back((now, self.bytes));
        }
        while let Some((next, _)) = self.marks.get(1)
            && now.duration_since(*next) >= WINDOW
        {
            self.marks.pop_front();
        }
    }

    /// Returns the rate in bytes per second.
    fn per_second(&self, now: Instant) -> Option<u64> {
        let (at, before) = self.marks.front()?;
        if now.duration_since(self.start) < MIN_ELAPSED {
            return None;
        }
        let millis = now.duration_since(*at).as_millis().max(1);
        u64::try_from(u128::from(self.bytes - before) * 1000 / millis).ok().filter(|rate| *rate > 0)
    }

    fn text(&self, rest: u64, now: Instant) -> String {
        self.per_second(now).map_or_else(String::new, |rate| {
            format!("  {}/s  {} left", size(rate), time(rest / rate))
        })
    }
}

fn time(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (hours, minutes, _) => format!("{hours}h {minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_covers_last_seconds_and_drops_when_idle() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut counted = Counted::new(start);
        counted.add(64_000, at(1));
        assert_eq!(counted.text(1_000, at(400)), "", "one packet tells nothing");
        for step in 1..=40 {
            counted.add(100_000, at(step * 250));
        }
        assert_eq!(counted.text(4_000_000, at(10_000)), "  400.0 kB/s  10s left");
        for step in 41..=80 {
            counted.add(25_000, at(step * 250));
        }
        assert_eq!(counted.text(36_050_000, at(20_000)), "  100.0 kB/s  6m 0s left");
        assert_eq!(counted.text(400_000_000, at(20_000)), "  100.0 kB/s  1h 6m left");
        assert!(counted.per_second(at(60_000)).unwrap() < 20_000, "nothing arrives any more");
    }
}
