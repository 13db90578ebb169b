//! Which bytes the next connection of a blob gets.

use std::ops::Range;
use std::time::Duration;

/// The length of a range before it is known how fast bytes arrive.
const UNMEASURED_RANGE: u64 = 8 << 20;

/// A range of this size costs little more than its bytes, and one that takes [`RANGE_TIME`].
const MIN_RANGE: u64 = 4 << 20;
const RANGE_TIME: Duration = Duration::from_secs(4);

/// However slow a connection is, its ranges are no shorter than this.
const MIN_SLOW_RANGE: u64 = 512 << 10;

const MAX_RANGE: u64 = 32 << 20;

/// With a small window, ranges are shorter than [`MIN_RANGE`], but not than this.
const MIN_RANGE_IN_WINDOW: u64 = 1 << 20;

/// Ranges are shorter at the end of a blob, so that all connections end at about the same time.
const MIN_LAST_RANGE: u64 = 2 << 20;

/// Above this rate of a connection, only a long transfer is split: the link or this machine may well be the limit.
const FAST: u64 = 64 << 20;

/// Bytes that a connection has received, and will receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    /// The first byte that has not arrived.
    pub(super) reached: u64,
    /// Where it ends, or is cut.
    pub(super) end: u64,
    /// Where the response ends.
    pub(super) requested: u64,
}

impl Span {
    pub(super) fn new(range: &Range<u64>) -> Self {
        Self { start: range.start, reached: range.start, end: range.end, requested: range.end }
    }

    pub(super) fn left(&self) -> u64 {
        self.end.saturating_sub(self.reached)
    }
}

/// Bytes of the ranges of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RangeSizes {
    pub(super) length: u64,
    /// The shortest at the end of a blob.
    pub(super) last: u64,
    /// What a connection must have left for another one to take half of it.
    pub(super) split: u64,
}

impl RangeSizes {
    /// Ranges of one second of a connection, if as many bytes for each fit into the window.
    pub(super) fn new(connection_rate: Option<u64>, window: u64, connections: usize) -> Self {
        let share = (window / connections.max(1) as u64).max(MIN_RANGE_IN_WINDOW);
        let Some(rate) = connection_rate else {
            let length = UNMEASURED_RANGE.min(share);
            return Self { length, last: MIN_LAST_RANGE, split: MIN_RANGE * 2 };
        };
        let least = rate.saturating_mul(RANGE_TIME.as_secs()).clamp(MIN_SLOW_RANGE, MIN_RANGE);
        let length = rate.clamp(least, MAX_RANGE).min(share);
        Self { length, last: least.min(MIN_LAST_RANGE), split: least * 2 }
    }

    /// The same where the other connection is open and free. Its request takes a round trip, and what is on its way to the first
    /// one arrives in vain.
    pub(super) fn with_free_connection(self, connection_rate: u64, round_trip: Duration) -> Self {
        let millis = u64::try_from(round_trip.as_millis()).unwrap_or(u64::MAX);
        let trips = connection_rate.saturating_mul(millis).saturating_mul(4) / 1000;
        Self { split: trips.max(self.last).min(self.split), ..self }
    }
}

/// Returns the next range to request: the first gap between the spans, which are in order; else a part of the longest span, which is
/// then cut at its start. `None` if all is on its way and too short to be split.
pub(super) fn next_grant(spans: &[Span], size: u64, sizes: &RangeSizes) -> Option<Range<u64>> {
    if let Some(gap) = first_gap(spans, size) {
        return Some(cut(gap, sizes.length));
    }
    let longest = spans.iter().rev().max_by_key(|span| span.left())?;
    if longest.left() < sizes.split {
        return None;
    }
    let start = longest.reached + (longest.left() / 2).min(sizes.length.max(sizes.split / 2));
    Some(cut(start..longest.end, sizes.length))
}

/// Returns the first gap between the spans, which are in order, or after them.
pub(super) fn first_gap(spans: &[Span], size: u64) -> Option<Range<u64>> {
    let next_starts = spans.iter().skip(1).map(|span| span.start).chain([size]);
    let mut gaps = spans.iter().zip(next_starts).map(|(span, next)| span.end..next);
    gaps.find(|gap| gap.start < gap.end)
}

/// The first `length` bytes of the range; all of it if little would be left.
pub(super) fn cut(range: Range<u64>, length: u64) -> Range<u64> {
    if range.end - range.start < length + length / 2 {
        return range;
    }
    range.start..range.start + length
}

/// Whether a further connection may save more than it costs, for a blob with these bytes missing.
pub(super) fn is_worth_it(
    missing: u64,
    connections: usize,
    connection_rate: u64,
    round_trip: Duration,
) -> bool {
    let rate = connection_rate.max(1).saturating_mul(connections.max(1) as u64);
    let left = Duration::from_millis(missing.saturating_mul(1000) / rate);
    let least = if connection_rate >= FAST {
        Duration::from_millis(2500)
    } else {
        Duration::from_millis(500)
    };
    left > least.max(round_trip * 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn spans(ranges: &[(u64, u64)]) -> Vec<Span> {
        ranges.iter().map(|(start, end)| Span::new(&(*start..*end))).collect()
    }

    fn grant(spans: &[Span], length: u64, split: u64) -> Option<Range<u64>> {
        next_grant(spans, 100 * MIB, &RangeSizes { length, last: MIB, split })
    }

    #[test]
    fn grant_of_whole_body_leaves_length_before_it() {
        let whole = spans(&[(10 * MIB, 100 * MIB)]);
        assert_eq!(grant(&whole, 4 * MIB, 8 * MIB), Some(14 * MIB..18 * MIB));
        let short = spans(&[(92 * MIB, 100 * MIB)]);
        assert_eq!(grant(&short, 32 * MIB, 8 * MIB), Some(96 * MIB..100 * MIB));
        let too_short = spans(&[(92 * MIB + 1, 100 * MIB)]);
        assert_eq!(grant(&too_short, 4 * MIB, 8 * MIB), None);
    }

    #[test]
    fn grant_takes_lowest_gap_first() {
        let held = spans(&[(0, 4 * MIB), (8 * MIB, 12 * MIB), (30 * MIB, 40 * MIB)]);
        assert_eq!(grant(&held, 3 * MIB, 8 * MIB), Some(4 * MIB..8 * MIB), "no small rest");
        let held = spans(&[(0, 8 * MIB), (8 * MIB, 12 * MIB), (30 * MIB, 40 * MIB)]);
        assert_eq!(grant(&held, 4 * MIB, 8 * MIB), Some(12 * MIB..16 * MIB));
        let held = spans(&[(0, 8 * MIB), (8 * MIB, 100 * MIB - 1)]);
        assert_eq!(grant(&held, 4 * MIB, 8 * MIB), Some(100 * MIB - 1..100 * MIB));
    }

    #[test]
    fn grant_splits_longest_span_at_the_end() {
        let held = spans(&[(90 * MIB, 91 * MIB), (91 * MIB, 100 * MIB)]);
        assert_eq!(grant(&held, 32 * MIB, 8 * MIB), Some(95 * MIB + MIB / 2..100 * MIB));
        let held = spans(&[(90 * MIB, 95 * MIB), (95 * MIB, 100 * MIB)]);
        assert_eq!(grant(&held, MIB, 8 * MIB), None);
        let first = Some(92 * MIB + MIB / 2..95 * MIB);
        assert_eq!(grant(&held, 8 * MIB, 5 * MIB), first);
    }

    #[test]
    fn range_length_is_a_second_within_the_window() {
        let length = |rate, window| RangeSizes::new(Some(rate), window, 16).length;
        assert_eq!(length(MIB, 1 << 40), 4 * MIB);
        assert_eq!(length(20 * MIB, 1 << 40), 20 * MIB);
        assert_eq!(length(500 * MIB, 1 << 40), 32 * MIB);
        assert_eq!(length(20 * MIB, 64 * MIB), 4 * MIB);
        assert_eq!(length(20 * MIB, 1), MIB);
        assert_eq!(RangeSizes::new(None, 1 << 40, 16).length, 8 * MIB);
    }

    #[test]
    fn range_of_slow_connection_is_short() {
        let sizes = |rate| RangeSizes::new(Some(rate), 1 << 40, 16);
        let sizes = [sizes(0), sizes(MIB / 4), sizes(MIB)];
        assert_eq!(sizes.map(|sizes| sizes.length), [MIB / 2, MIB, 4 * MIB]);
        assert_eq!(sizes.map(|sizes| sizes.split), [MIB, 2 * MIB, 8 * MIB]);
        assert_eq!(sizes.map(|sizes| sizes.last), [MIB / 2, MIB, 2 * MIB]);
    }

    #[test]
    fn split_for_free_connection_takes_several_round_trips() {
        let rate = 20 * MIB;
        let split = |millis| {
            let sizes = RangeSizes::new(Some(rate), 1 << 40, 16);
            sizes.with_free_connection(rate, Duration::from_millis(millis)).split
        };
        assert_eq!([split(0), split(50), split(1000)], [2 * MIB, 4 * MIB, 8 * MIB]);
    }

    #[test]
    fn further_connection_is_not_worth_it_for_short_or_fast_blobs() {
        let trip = Duration::from_millis(1);
        assert!(is_worth_it(20 * MIB, 1, 20 * MIB, trip));
        assert!(!is_worth_it(20 * MIB, 1, 20 * MIB, Duration::from_millis(200)));
        assert!(!is_worth_it(20 * MIB, 4, 20 * MIB, trip));
        assert!(!is_worth_it(200 * MIB, 1, 200 * MIB, trip));
        assert!(is_worth_it(2000 * MIB, 1, 200 * MIB, trip));
        assert!(is_worth_it(2000 * MIB, 1, 0, trip));
    }
}
