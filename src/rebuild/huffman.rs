//! Finds the lengths of Huffman codes by how often their symbols come.

use std::collections::VecDeque;

/// Returns lengths of at most `most` bits; a symbol that never comes has none. A sole symbol has one bit.
pub(super) fn code_lengths<const N: usize>(counts: &[u32; N], most: usize) -> [u8; N] {
    let mut lengths = [0; N];
    let mut symbols: Vec<_> = counts
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
        .map(|(at, c)| (*c, at))
        .collect();
    symbols.sort_unstable();
    let depths = depths(&symbols.iter().map(|(count, _)| u64::from(*count)).collect::<Vec<_>>());
    // The rarest symbols get the longest codes, so that only the number of each length matters.
    let by_length = limited(&depths, most);
    let longest_first = (0..=u8::MAX).zip(by_length).rev();
    let in_order = longest_first.flat_map(|(length, count)| std::iter::repeat_n(length, count));
    for ((_, symbol), length) in symbols.iter().zip(in_order) {
        if let Some(place) = lengths.get_mut(*symbol) {
            *place = length;
        }
    }
    lengths
}

/// Returns the depth of each leaf of a Huffman tree, whose weights are sorted.
fn depths(weights: &[u64]) -> Vec<usize> {
    if weights.len() < 2 {
        return vec![1; weights.len()];
    }
    // Inner nodes come in the order of their weights, as both of their children do.
    let mut leaves: VecDeque<_> = weights.iter().copied().enumerate().collect();
    let mut inner: VecDeque<(usize, u64)> = VecDeque::new();
    let mut parents = vec![0; 2 * weights.len() - 1];
    for parent in weights.len()..parents.len() {
        let mut weight = 0;
        for _ in 0..2 {
            let is_leaf = match (leaves.front(), inner.front()) {
                (Some(leaf), Some(node)) => leaf.1 <= node.1,
                (leaf, _) => leaf.is_some(),
            };
            let next = if is_leaf { leaves.pop_front() } else { inner.pop_front() };
            let Some((child, own)) = next else { continue };
            weight += own;
            if let Some(place) = parents.get_mut(child) {
                *place = parent;
            }
        }
        inner.push_back((parent, weight));
    }
    let mut depths = vec![0; parents.len()];
    for node in (0..parents.len() - 1).rev() {
        let parent = parents.get(node).and_then(|parent| depths.get(*parent)).copied();
        if let (Some(above), Some(place)) = (parent, depths.get_mut(node)) {
            *place = above + 1;
        }
    }
    depths.truncate(weights.len());
    depths
}

/// Returns how many codes have each length, from 0 to `most`: as deep as the leaves, but none longer than `most`.
fn limited(depths: &[usize], most: usize) -> Vec<usize> {
    let mut counts = vec![0; most + 1];
    for depth in depths {
        if let Some(count) = counts.get_mut((*depth).min(most)) {
            *count += 1;
        }
    }
    // Codes that were cut take more than there is, in units of the longest code. For each unit a code of the last length
    // moves up beside one that becomes longer by a bit.
    let used: usize =
        counts.iter().enumerate().skip(1).map(|(length, count)| count << (most - length)).sum();
    for _ in 1 << most..used {
        let shorter = counts.iter().take(most).rposition(|count| *count > 0);
        let Some([one, two, ..]) = shorter.and_then(|length| counts.get_mut(length..)) else {
            break;
        };
        *one -= 1;
        *two += 2;
        if let Some(last) = counts.last_mut() {
            *last -= 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share of all bit sequences that the codes take, in units of the longest code.
    fn used(lengths: &[u8], most: usize) -> usize {
        let own = |length: &&u8| **length > 0;
        lengths.iter().filter(own).map(|length| 1 << (most - usize::from(*length))).sum()
    }

    #[test]
    fn code_lengths_follow_counts() {
        assert_eq!(code_lengths(&[0; 3], 7), [0; 3]);
        assert_eq!(code_lengths(&[0, 9, 0], 7), [0, 1, 0]);
        assert_eq!(code_lengths(&[1, 1, 2, 4, 0, 8], 7), [4, 4, 3, 2, 0, 1]);
        assert_eq!(code_lengths(&[5; 8], 7), [3; 8]);
    }

    #[test]
    fn code_lengths_are_limited_and_complete() {
        let mut random = fastrand::Rng::with_seed(3);
        // Fibonacci numbers give the deepest tree.
        let mut counts = [1_u32; 40];
        for at in 2..40 {
            counts[at] = counts[at - 1] + counts[at - 2];
        }
        for most in [7, 15] {
            for _ in 0..200 {
                let lengths = code_lengths(&counts, most);
                assert!(lengths.iter().all(|length| (1..=most).contains(&usize::from(*length))));
                assert_eq!(used(&lengths, most), 1 << most, "{counts:?}");
                counts = std::array::from_fn(|_| 1 + (random.u32(..) >> random.u32(..32)));
            }
        }
    }
}
