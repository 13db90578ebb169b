//! How much of the time there is nothing to do but wait for a source.
//!
//! Only then further connections help. A reader that hashes, waits for its target or for its turn on a busy machine does not wait for
//! its source, and while one reader is busy, it does not matter that the others wait: this machine is.

use std::time::Duration;

use tokio::time::Instant;

use super::meter::Meter;

/// The readers of a source, and how long all of them have waited for it.
#[derive(Debug)]
pub(super) struct Readers {
    waiting: usize,
    busy: usize,
    counted: Instant,
    /// Microseconds.
    idle: Meter,
}

/// What a reader does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Waiting,
    Busy,
}

impl Readers {
    pub(super) fn new(now: Instant) -> Self {
        Self { waiting: 0, busy: 0, counted: now, idle: Meter::default() }
    }

    /// A reader begins, changes over or ends.
    pub(super) fn change(&mut self, now: Instant, from: Option<Phase>, to: Option<Phase>) {
        self.count(now);
        if let Some(from) = from {
            *self.of(from) -= 1;
        }
        if let Some(to) = to {
            *self.of(to) += 1;
        }
    }

    fn of(&mut self, phase: Phase) -> &mut usize {
        match phase {
            Phase::Waiting => &mut self.waiting,
            Phase::Busy => &mut self.busy,
        }
    }

    fn count(&mut self, now: Instant) {
        let time = now.saturating_duration_since(self.counted);
        self.counted = now;
        let is_idle = self.waiting > 0 && self.busy == 0;
        let micros = if is_idle { time.as_micros() } else { 0 };
        self.idle.record(now, u64::try_from(micros).unwrap_or(u64::MAX));
    }

    /// Percent of this time up to now in which all readers waited; `None` if it was not measured long enough.
    pub(super) fn idle_percent(&mut self, now: Instant, time: Duration) -> Option<u64> {
        self.count(now);
        Some(self.idle.rate_over(now, time)? / 10_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(10);

    #[test]
    fn idle_time_is_where_all_readers_wait() {
        let mut now = Instant::now();
        let mut readers = Readers::new(now);
        let change = |readers: &mut Readers, now: &mut Instant, from, to| {
            *now += STEP;
            readers.change(*now, from, to);
        };
        let (waiting, busy) = (Some(Phase::Waiting), Some(Phase::Busy));
        for _ in 0..3 {
            change(&mut readers, &mut now, None, waiting);
        }
        for _ in 0..20 {
            change(&mut readers, &mut now, waiting, busy);
            now += STEP;
            change(&mut readers, &mut now, busy, waiting);
        }
        // One of three waits for its source a third of the time, and the others all the time.
        let idle = readers.idle_percent(now, STEP * 30);
        assert!(idle.is_some_and(|percent| (30..37).contains(&percent)), "{idle:?}");
        assert_eq!(readers.idle_percent(now, STEP * 100), None);
        for _ in 0..3 {
            change(&mut readers, &mut now, waiting, None);
        }
        now += STEP * 100;
        let idle = readers.idle_percent(now, STEP * 50);
        assert!(idle.is_some_and(|percent| percent < 10), "no reader waits: {idle:?}");
    }
}
