//! Computes the transfer rate and the remaining time. Only bytes that arrive now count: neither those of an earlier run nor blobs
//! that already exist.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::size::size;

/// The rate is the average of this time.
const WINDOW: Duration = Duration::from_secs(5);

/// No rate is shown before this time since the first bytes: a few packets would dominate it.
const MIN_ELAPSED: Duration = Duration::from_millis(500);

/// No remaining time is shown before this time: connections start slowly.
const MIN_ELAPSED_TO_ESTIMATE: Duration = Duration::from_secs(2);

/// Without bytes for this time nothing arrives any more: the average of what came before would be no rate.
const MAX_SILENCE: Duration = Duration::from_secs(2);

/// Minimum time between two marks.
const MARK_INTERVAL: Duration = Duration::from_millis(250);

/// Counts bytes as they arrive.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// When the first bytes arrived.
    start: Option<Instant>,
    /// When the last bytes arrived.
    last: Option<Instant>,
    bytes: u64,
    /// Total bytes at each of these times, oldest first.
    marks: VecDeque<(Instant, u64)>,
}

impl Rate {
    /// Adds to the number of bytes.
    pub(super) fn add(&mut self, bytes: u64, now: Instant) {
        if bytes == 0 {
            return;
        }
        if self.start.is_none() {
            self.start = Some(now);
            self.marks.push_back((now, 0));
        }
        self.last = Some(now);
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
        if now.duration_since(self.last?) >= MAX_SILENCE {
            return Some(0);
        }
        if now.duration_since(self.start?) < MIN_ELAPSED {
            return None;
        }
        let millis = now.duration_since(*at).as_millis().max(1);
        u64::try_from(u128::from(self.bytes - before) * 1000 / millis).ok()
    }

    /// Returns for example `600.0 kB/s`; `None` while it is unknown.
    pub(super) fn text(&self, now: Instant) -> Option<String> {
        Some(format!("{}/s", size(self.per_second(now)?)))
    }

    /// Returns the time for the remaining bytes, for example `1m 5s left`; `None` while it is unknown.
    pub(super) fn time_left(&self, remaining: u64, now: Instant) -> Option<String> {
        let is_steady = now.duration_since(self.start?) >= MIN_ELAPSED_TO_ESTIMATE;
        let seconds = remaining.checked_div(self.per_second(now).filter(|_| is_steady)?)?;
        Some(format!("{} left", time(seconds)))
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
        let mut rate = Rate::default();
        assert_eq!((rate.text(at(9000)), rate.time_left(1, at(9000))), (None, None));
        rate.add(64_000, at(10_001));
        assert_eq!(rate.text(at(10_400)), None, "one packet tells nothing");
        for step in 1..=40 {
            rate.add(100_000, at(10_000 + step * 250));
            let left = rate.time_left(4_000_000, at(10_000 + step * 250));
            assert_eq!(left.is_some(), step > 8, "{step}");
        }
        let shown = |rate: &Rate, remaining, millis| {
            (rate.text(at(millis)).unwrap(), rate.time_left(remaining, at(millis)).unwrap())
        };
        assert_eq!(shown(&rate, 4_000_000, 20_000), ("400.0 kB/s".into(), "10s left".into()));
        for step in 41..=80 {
            rate.add(25_000, at(10_000 + step * 250));
        }
        assert_eq!(shown(&rate, 36_050_000, 30_000), ("100.0 kB/s".into(), "6m 0s left".into()));
        assert_eq!(rate.time_left(400_000_000, at(30_000)).unwrap(), "1h 6m left");
        assert_eq!(rate.text(at(31_900)).unwrap(), "72.5 kB/s");
        assert_eq!(rate.text(at(32_000)).unwrap(), "0 B/s");
        assert_eq!(rate.time_left(1, at(32_000)), None, "nothing arrives any more");
    }
}
