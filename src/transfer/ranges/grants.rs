//! Which bytes the next connection of a blob gets.

use std::ops::Range;
use std::time::Duration;

/// Smaller blobs are never split.
pub(super) const MIN_SPLIT: u64 = 8 << 20;

/// The length of a range before it is known how fast bytes arrive.
pub(super) const UNMEASURED_RANGE: u64 = 8 << 20;

/// A range of this size costs little more than its bytes.
const MIN_RANGE: u64 = 4 << 20;

const MAX_RANGE: u64 = 32 << 20;

/// With a small window, ranges are shorter than [`MIN_RANGE`], but not than this.
const MIN_RANGE_IN_WINDOW: u64 = 1 << 20;

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

/// Returns the length of a range: one second of a connection, if as many bytes for each fit into the window.
pub(super) fn range_length(connection_rate: u64, window: u64, connections: usize) -> u64 {
    let share = window / connections.max(1) as u64;
    connection_rate.clamp(MIN_RANGE, MAX_RANGE).min(share.max(MIN_RANGE_IN_WINDOW))
}

/// Returns the next range to request: the first gap between the spans, which are in order; else a part of the longest span, which is
/// then cut at its start. `None` if all is on its way and too short to be split.
pub(super) fn next_grant(spans: &[Span], size: u64, length: u64) -> Option<Range<u64>> {
    let next_starts = spans.iter().skip(1).map(|span| span.start).chain([size]);
    let mut gaps = spans.iter().zip(next_starts).map(|(span, next)| span.end..next);
    if let Some(gap) = gaps.find(|gap| gap.start < gap.end) {
        return Some(cut(gap, length));
    }
    let longest = spans.iter().rev().max_by_key(|span| span.left())?;
    if longest.left() < MIN_SPLIT {
        return None;
    }
    let start = longest.reached + (longest.left() / 2).min(length.max(MIN_RANGE));
    Some(cut(start..longest.end, length))
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

    #[test]
    fn grant_of_whole_body_leaves_length_before_it() {
        let whole = spans(&[(10 * MIB, 100 * MIB)]);
        assert_eq!(next_grant(&whole, 100 * MIB, 4 * MIB), Some(14 * MIB..18 * MIB));
        let short = spans(&[(92 * MIB, 100 * MIB)]);
        assert_eq!(next_grant(&short, 100 * MIB, 32 * MIB), Some(96 * MIB..100 * MIB));
        let too_short = spans(&[(92 * MIB + 1, 100 * MIB)]);
        assert_eq!(next_grant(&too_short, 100 * MIB, 4 * MIB), None);
    }

    #[test]
    fn grant_takes_lowest_gap_first() {
        let held = spans(&[(0, 4 * MIB), (8 * MIB, 12 * MIB), (30 * MIB, 40 * MIB)]);
        assert_eq!(next_grant(&held, 100 * MIB, 3 * MIB), Some(4 * MIB..8 * MIB), "no small rest");
        let held = spans(&[(0, 8 * MIB), (8 * MIB, 12 * MIB), (30 * MIB, 40 * MIB)]);
        assert_eq!(next_grant(&held, 100 * MIB, 4 * MIB), Some(12 * MIB..16 * MIB));
        let held = spans(&[(0, 8 * MIB), (8 * MIB, 100 * MIB - 1)]);
        assert_eq!(next_grant(&held, 100 * MIB, 4 * MIB), Some(100 * MIB - 1..100 * MIB));
    }

    #[test]
    fn grant_splits_longest_span_at_the_end() {
        let held = spans(&[(90 * MIB, 91 * MIB), (91 * MIB, 100 * MIB)]);
        assert_eq!(next_grant(&held, 100 * MIB, 32 * MIB), Some(95 * MIB + MIB / 2..100 * MIB));
        assert_eq!(
            next_grant(&spans(&[(90 * MIB, 95 * MIB), (95 * MIB, 100 * MIB)]), 100 * MIB, MIB),
            None
        );
    }

    #[test]
    fn range_length_is_a_second_within_the_window() {
        assert_eq!(range_length(MIB, 1 << 40, 16), 4 * MIB);
        assert_eq!(range_length(20 * MIB, 1 << 40, 16), 20 * MIB);
        assert_eq!(range_length(500 * MIB, 1 << 40, 16), 32 * MIB);
        assert_eq!(range_length(20 * MIB, 64 * MIB, 16), 4 * MIB);
        assert_eq!(range_length(20 * MIB, 1, 16), MIB);
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
