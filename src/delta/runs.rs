//! Finds runs of new bytes that old bytes resemble. Where machine code moved, addresses differ in it every few bytes, and
//! mostly by the same amounts, so that the differences compress better than the bytes.

/// How many bytes more must agree where another run begins: fewer make more operations than they save.
const MIN_GAIN_BYTES: usize = 12;
/// How many bytes are looked up.
const KEY: usize = 8;
/// Base-2 logarithm of the entries of the table of old bytes, which takes 16 MiB.
const TABLE_LOG: u32 = 22;

/// New bytes, and the old ones that they are subtracted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SimilarRun {
    pub(super) start: usize,
    pub(super) old: usize,
    pub(super) length: usize,
}

/// Returns runs in the order of the new bytes. Old bytes have no match for the bytes between two runs.
///
/// Takes a time that grows with the sum of the lengths. At most 4 GiB of old bytes are looked at.
pub(super) fn similar_runs(old: &[u8], new: &[u8]) -> Vec<SimilarRun> {
    let positions = PositionTable::new(old);
    let (mut runs, mut run, mut at) = (Vec::new(), SimilarRun { start: 0, old: 0, length: 0 }, 0);
    while at < new.len() {
        // Two candidates for the old bytes of the rest: those that go on with the run, and those of another run, which begins
        // where the table finds the next bytes. Another run is begun if more of its bytes agree.
        let rest = tail(new, at);
        let continued = tail(old, run.old + at - run.start);
        let same = common_prefix(continued, rest);
        at += same.max(1);
        // Nothing is better than what agrees.
        let Some(position) = (same == 0).then(|| positions.find(rest)).flatten() else { continue };
        let found = tail(old, position);
        let length = common_prefix(found, rest);
        let agreeing = continued.iter().zip(rest).take(length).filter(|(a, b)| a == b).count();
        if length > agreeing + MIN_GAIN_BYTES {
            let start = at - 1;
            let end = run.finish(old, new.get(..start).unwrap_or_default(), &mut runs);
            let before = new.get(end..start).unwrap_or_default().iter().rev();
            let back = best_length(before.zip(old.iter().take(position).rev()));
            run = SimilarRun { start: start - back, old: position - back, length: 0 };
            at = start + length;
        }
    }
    run.finish(old, new, &mut runs);
    runs
}

impl SimilarRun {
    /// Ends the run where it is best, at the latest at the end of `new`; returns where that is.
    fn finish(mut self, old: &[u8], new: &[u8], runs: &mut Vec<Self>) -> usize {
        self.length = best_length(tail(new, self.start).iter().zip(tail(old, self.old)));
        if self.length > 0 {
            runs.push(self);
        }
        self.start + self.length
    }
}

/// The last positions of old bytes, by hash.
struct PositionTable(Vec<u32>);

impl PositionTable {
    fn new(old: &[u8]) -> Self {
        let mut positions = vec![u32::MAX; 1 << TABLE_LOG];
        for (position, key) in (0..u32::MAX).zip(old.windows(KEY)) {
            if let Some(entry) = hash(key).and_then(|hash| positions.get_mut(hash)) {
                *entry = position;
            }
        }
        Self(positions)
    }

    fn find(&self, bytes: &[u8]) -> Option<usize> {
        let position = *self.0.get(hash(bytes)?)?;
        (position < u32::MAX).then_some(position as usize)
    }
}

fn hash(bytes: &[u8]) -> Option<usize> {
    let key = u64::from_le_bytes(*bytes.first_chunk::<KEY>()?);
    usize::try_from(key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - TABLE_LOG)).ok()
}

fn tail(bytes: &[u8], start: usize) -> &[u8] {
    bytes.get(start..).unwrap_or_default()
}

/// Counts the bytes before the first one that differs.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Returns how many pairs, from the first on, have the greatest surplus of those that agree.
fn best_length<'a>(pairs: impl Iterator<Item = (&'a u8, &'a u8)>) -> usize {
    let (mut surplus, mut best, mut length) = (0_i64, 0, 0);
    for (number, (a, b)) in (1..).zip(pairs) {
        surplus += if a == b { 1 } else { -1 };
        if surplus > best {
            (best, length) = (surplus, number);
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..length).map(|_| random.u8(..)).collect()
    }

    fn run(start: usize, old: usize, length: usize) -> SimilarRun {
        SimilarRun { start, old, length }
    }

    #[test]
    fn insertion_begins_another_run() {
        let old = noise(1, 1000);
        let new = [&old[..400], &noise(2, 50), &old[400..]].concat();
        assert_eq!(similar_runs(&old, &new), [run(0, 0, 400), run(450, 400, 600)]);
    }

    #[test]
    fn differing_addresses_are_in_one_run() {
        let old = noise(1, 1000);
        let mut new = [&noise(2, 30), &old[..]].concat();
        new.iter_mut().skip(70).step_by(9).for_each(|byte| *byte = byte.wrapping_add(30));
        assert_eq!(similar_runs(&old, &new), [run(30, 0, 1000)]);
    }

    #[test]
    fn bytes_without_likeness_have_no_runs() {
        for (old, new) in [(0, 0), (0, 50), (50, 0), (7, 7), (900, 900)] {
            let long = similar_runs(&noise(1, old), &noise(2, new));
            assert!(long.iter().all(|run| run.length < 8), "{long:?}");
        }
    }

    proptest! {
        #[test]
        fn runs_of_any_bytes_are_in_order_and_inside(
            old in proptest::collection::vec(0..3_u8, 0..3000),
            new in proptest::collection::vec(0..3_u8, 0..3000),
            copied in any::<proptest::sample::Index>(),
        ) {
            let start = copied.index(old.len() + 1);
            let new = [&new[..], &old[start..], &new[..]].concat();
            let mut at = 0;
            for SimilarRun { start, old: position, length } in similar_runs(&old, &new) {
                prop_assert!(start >= at && length > 0);
                prop_assert!(position + length <= old.len() && start + length <= new.len());
                at = start + length;
            }
        }
    }
}
