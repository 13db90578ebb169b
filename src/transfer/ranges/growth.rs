//! How many connections a source gets: as many as make it faster, fewer when it asks for fewer.
//!
//! Each blob has one connection anyway, and a far source gets some more at once. Further ones are tried: twice as many while the
//! rate grows with their number, else a quarter more. They stay if the rate has grown. After a trial without gain the number falls
//! back, and the next trial is much later. A source that refuses requests gets half as many.

use std::time::Duration;

use tokio::time::Instant;

use super::meter::Meter;

/// Minimum gain of a trial, if it adds enough connections for that.
const MIN_GAIN_PERCENT: u64 = 30;

/// Share of its rate that each connection keeps in a trial after which twice as many are tried. Where they keep less, the link
/// is nearly full, and twice as many connections fill its queue: what they lose takes longer than they could save.
const MIN_KEPT_PERCENT: u64 = 75;

/// Time that new connections get before they are measured; longer if round trips are.
const MIN_SETTLE: Duration = Duration::from_millis(100);
const MIN_MEASURE: Duration = Duration::from_millis(200);

/// A rate is measured over at least this many bytes, but no longer than this: few bytes come too unevenly to be compared.
const MIN_BYTES: u64 = 2 << 20;
const MAX_MEASURE: Duration = Duration::from_secs(1);

/// How many times as long a trial is measured before it ends without gain. Servers that limit the rate of a connection send in
/// pulses (nginx 1.22 each 0.1 s), and one more or less of them in a short time looks like a gain or a loss.
const MEASURES_WITHOUT_GAIN: u32 = 3;

/// One slow connection must not decide a trial.
const MIN_STEP: usize = 2;

/// One connection to a source this far away rarely fills the link, and a trial takes many round trips, most of them in the slow start
/// of each connection: it gets this many without one.
const FAR_ROUND_TRIP: Duration = Duration::from_millis(20);
const FAR_CONNECTIONS: usize = 5;

/// Smaller blobs get no further connections before the rate is known.
const MIN_UNMEASURED: u64 = 16 << 20;

/// Time until the next trial after one without gain.
const FIRST_HOLD: Duration = Duration::from_secs(5);
const MAX_HOLD: Duration = Duration::from_secs(300);

/// How much longer each hold is than the one before.
const HOLD_FACTOR: u32 = 4;

/// A rate that has been low for this long has fallen.
const FALL_DURATION: Duration = Duration::from_secs(2);

/// A burst of refused requests counts once.
const MIN_BETWEEN_CUTS: Duration = Duration::from_secs(1);

/// The number of connections to a source.
#[derive(Debug)]
pub(super) struct Growth {
    max: usize,
    /// The most connections that were faster than fewer, or that a far source has got without a trial.
    proven: usize,
    trial: Option<Trial>,
    doubles: bool,
    held_until: Option<Instant>,
    hold: Duration,
    last_cut: Option<Instant>,
    /// The best rate of the proven connections, and since when they are watched.
    best: Option<(u64, Instant)>,
    round_trip: Duration,
    meter: Meter,
}

/// More connections than are known to be useful.
#[derive(Debug)]
struct Trial {
    from: usize,
    target: usize,
    /// The rate before it.
    rate: u64,
    /// All its connections are open since then, as far as there is use for them.
    opened: Instant,
    is_open: bool,
}

impl Trial {
    /// Whether these connections with this rate together are worth having.
    fn has_gained(&self, reached: usize, rate: u64) -> bool {
        let added = reached.saturating_sub(self.from) as u64 * 100 / self.from.max(1) as u64;
        rate > self.rate.saturating_mul(100 + MIN_GAIN_PERCENT.min(added / 2)) / 100
    }

    /// Whether each connection has kept at least [`MIN_KEPT_PERCENT`] percent of its rate, so that the link has room for many more.
    fn is_proportional(&self, reached: usize, rate: u64) -> bool {
        let before = self.rate / self.from.max(1) as u64;
        rate / reached.max(1) as u64 >= before.saturating_mul(MIN_KEPT_PERCENT) / 100
    }
}

impl Growth {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            proven: 0,
            trial: None,
            doubles: true,
            held_until: None,
            hold: FIRST_HOLD,
            last_cut: None,
            best: None,
            round_trip: Duration::ZERO,
            meter: Meter::default(),
        }
    }

    pub(super) fn record(&mut self, now: Instant, bytes: u64) {
        self.meter.record(now, bytes);
    }

    /// Records the time from a request to its response. The shortest counts: it is closest to the distance of the source.
    pub(super) fn record_round_trip(&mut self, took: Duration) {
        let is_first = self.round_trip.is_zero();
        self.round_trip = if is_first { took } else { self.round_trip.min(took) };
    }

    pub(super) fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// The most connections that are known to be useful; 0 if one per blob is enough.
    pub(super) fn proven(&self) -> usize {
        self.proven
    }

    /// Bytes per second of all connections together in this time; `None` if they were not measured long enough.
    pub(super) fn rate_over(&self, now: Instant, time: Duration) -> Option<u64> {
        self.meter.rate_over(now, time)
    }

    /// As [`Growth::rate_over`] the time of a measurement.
    pub(super) fn rate(&self, now: Instant) -> Option<u64> {
        self.meter.rate_over(now, self.measure(now))
    }

    fn settle(&self) -> Duration {
        MIN_SETTLE.max(self.round_trip * 8)
    }

    /// The shortest time in which a rate is measured; longer if the source is far away.
    pub(super) fn least_measure(&self) -> Duration {
        MIN_MEASURE.max(self.round_trip * 4)
    }

    fn measure(&self, now: Instant) -> Duration {
        let least = self.least_measure();
        let rate = self.meter.rate_over(now, least).unwrap_or_default();
        let time = Duration::from_millis(MIN_BYTES.saturating_mul(1000) / rate.max(1));
        least.max(time.min(MAX_MEASURE))
    }

    /// Returns how many connections may be open before the rate is known, for a blob with these bytes missing.
    pub(super) fn unmeasured(&mut self, now: Instant, missing: u64) -> usize {
        let is_new = self.proven == 0 && self.trial.is_none() && self.held_until.is_none();
        if is_new && self.round_trip >= FAR_ROUND_TRIP && missing >= MIN_UNMEASURED {
            self.proven = FAR_CONNECTIONS.min(self.max);
            self.doubles = false;
            self.held_until = Some(now + self.settle());
        }
        self.proven
    }

    /// Returns how many connections may be open, for a caller that has use for one more than `in_use`.
    pub(super) fn allowed(&mut self, now: Instant, in_use: usize) -> usize {
        if let Some(target) = self.follow_trial(now, in_use) {
            return target;
        }
        self.follow_fall(now, in_use);
        if in_use < self.proven {
            return self.proven;
        }
        if self.held_until.is_some_and(|until| now < until) || in_use >= self.max {
            return self.proven;
        }
        let Some(rate) = self.rate(now) else { return self.proven };
        let step = if self.doubles { in_use } else { in_use / 4 };
        let target = (in_use + step.max(MIN_STEP)).min(self.max);
        self.trial = Some(Trial { from: in_use, target, rate, opened: now, is_open: false });
        target
    }

    /// Returns the connections of the trial while it lasts.
    fn follow_trial(&mut self, now: Instant, in_use: usize) -> Option<usize> {
        let (settle, measure) = (self.settle(), self.measure(now));
        let trial = self.trial.as_mut()?;
        if in_use >= trial.target && !trial.is_open {
            (trial.opened, trial.is_open) = (now, true);
        }
        let since = trial.opened + settle;
        if now < since + measure {
            return Some(trial.target);
        }
        let reached = if trial.is_open { trial.target } else { in_use };
        // Blobs have ended meanwhile, or there was no use for more connections.
        let rate = self.meter.rate_since(now, since).filter(|_| reached > trial.from);
        let gained = rate.filter(|rate| trial.has_gained(reached, *rate));
        if rate.is_some() && gained.is_none() && now < since + measure * MEASURES_WITHOUT_GAIN {
            return Some(trial.target);
        }
        let trial = self.trial.take()?;
        if let Some(rate) = gained {
            self.doubles = trial.is_proportional(reached, rate) && self.last_cut.is_none();
            self.proven = reached;
            self.best = Some((rate, now));
            self.hold = FIRST_HOLD;
        } else if rate.is_some() {
            self.doubles = false;
            self.postpone(now);
        }
        None
    }

    /// Gives up a quarter of the connections if all of them together have become much slower.
    fn follow_fall(&mut self, now: Instant, in_use: usize) {
        let Some((best, since)) = self.best else { return };
        if in_use < self.proven || now < since + FALL_DURATION {
            return;
        }
        let Some(rate) = self.meter.rate_over(now, FALL_DURATION) else { return };
        if rate < best / 2 {
            self.proven = (self.proven * 3 / 4).max(1);
            self.best = Some((rate, now));
            self.held_until = Some(now + self.hold);
        } else if rate > best {
            self.best = Some((rate, since));
        }
    }

    /// Halves the connections: the source refuses requests.
    pub(super) fn cut(&mut self, now: Instant, in_use: usize) {
        let between = MIN_BETWEEN_CUTS.max(self.round_trip);
        if self.last_cut.is_some_and(|last| now < last + between) {
            return;
        }
        self.last_cut = Some(now);
        self.trial = None;
        self.doubles = false;
        self.proven = self.proven.min(in_use) / 2;
        self.postpone(now);
    }

    /// Postpones the next trial, and those after it for longer.
    fn postpone(&mut self, now: Instant) {
        self.held_until = Some(now + self.hold);
        self.hold = (self.hold * HOLD_FACTOR).min(MAX_HOLD);
    }
}

#[cfg(test)]
mod tests;
