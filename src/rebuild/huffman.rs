//! Finds the lengths of Huffman codes by how often their symbols come.

/// Returns lengths of at most `most` bits; a symbol that never comes has none. A sole symbol has one bit.
///
/// Of the codes that make the symbols shortest, it is the one that Go's library finds.
pub(super) fn code_lengths<const N: usize>(counts: &[u32; N], most: usize) -> [u8; N] {
    let mut lengths = [0; N];
    let mut symbols: Vec<_> = counts
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
        .map(|(at, c)| (*c, at))
        .collect();
    symbols.sort_unstable();
    if symbols.len() < 3 {
        for (_, symbol) in symbols {
            lengths.get_mut(symbol).into_iter().for_each(|length| *length = 1);
        }
        return lengths;
    }
    let weights: Vec<_> = symbols.iter().map(|(count, _)| u64::from(*count)).collect();
    // A leaf that is in so many of the rows has a code of so many bits.
    for leaves in leaves_by_row(&weights, most) {
        for (_, symbol) in symbols.iter().take(leaves) {
            lengths.get_mut(*symbol).into_iter().for_each(|length| *length += 1);
        }
    }
    lengths
}

/// How many leaves, the lightest first, are in each row of the package-merge algorithm. The weights are sorted.
///
/// Larmore and Hirschberg, "A fast algorithm for optimal length-limited Huffman codes", 1990.
fn leaves_by_row(weights: &[u64], most: usize) -> Vec<usize> {
    let most_nodes = 2 * weights.len() - 2;
    // Of each row, from the longest codes on, whether its nodes are packages of two nodes of the row before.
    let mut rows: Vec<Vec<bool>> = Vec::with_capacity(most);
    let (mut row, mut before) = (Vec::new(), Vec::new());
    for _ in 0..most {
        std::mem::swap(&mut row, &mut before);
        row.clear();
        let packages = before.chunks_exact(2).map(|pair: &[u64]| pair.iter().sum::<u64>());
        let (mut packages, mut leaves) = (packages.peekable(), weights.iter().copied().peekable());
        let mut kinds = Vec::new();
        while row.len() < most_nodes {
            let is_package = match (packages.peek(), leaves.peek()) {
                (Some(package), Some(leaf)) => package <= leaf,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            row.extend(if is_package { packages.next() } else { leaves.next() });
            kinds.push(is_package);
        }
        rows.push(kinds);
    }
    let mut nodes = most_nodes;
    let count = |row: Vec<bool>| {
        let packages = row.iter().take(nodes).filter(|is_package| **is_package).count();
        let leaves = nodes.min(row.len()) - packages;
        nodes = 2 * packages;
        leaves
    };
    rows.into_iter().rev().map(count).collect()
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
