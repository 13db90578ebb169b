//! The headers of dynamic blocks, as an encoder makes them that chooses the best code lengths. RFC 1951, 3.2.7.
//!
//! Go's library and those derived from it make them so, and rpull.

use super::bits::BitBuffer;
use super::codes::{
    Code, CodeLengths, DISTANCES, END_OF_BLOCK, HEADER_ORDER, LITERALS, MAX_CODE_BITS, codes,
    distance_of, distance_symbol, length_of, length_symbol,
};
use super::huffman::code_lengths;
use crate::error::Result;

/// Longest code of a code length.
const MAX_HEADER_CODE_BITS: usize = 7;

/// How often each symbol comes.
#[derive(Debug)]
pub(super) struct Counts {
    literals: [u32; LITERALS],
    distances: [u32; DISTANCES],
}

impl Counts {
    /// Of a block without literals and matches, which has its end.
    pub(super) fn new() -> Self {
        let mut counts = Self { literals: [0; LITERALS], distances: [0; DISTANCES] };
        add(&mut counts.literals, END_OF_BLOCK);
        counts
    }

    /// How many literals and matches there are.
    pub(super) fn tokens(&self) -> usize {
        self.literals.iter().sum::<u32>() as usize - 1
    }

    #[inline]
    pub(super) fn add_literal(&mut self, byte: u8) {
        add(&mut self.literals, usize::from(byte));
    }

    #[inline]
    pub(super) fn add_match(&mut self, length: u32, distance: u32) {
        add(&mut self.literals, length_symbol(length));
        add(&mut self.distances, distance_symbol(distance));
    }

    /// The lengths that make the block small.
    pub(super) fn lengths(&self) -> CodeLengths {
        let mut lengths = CodeLengths {
            literals: code_lengths(&self.literals, MAX_CODE_BITS),
            distances: code_lengths(&self.distances, MAX_CODE_BITS),
        };
        // Some decoders want a distance, used or not.
        if self.distances.iter().all(|count| *count == 0)
            && let [first, ..] = &mut lengths.distances
        {
            *first = 1;
        }
        lengths
    }

    /// Bits of all symbols, with what follows them.
    pub(super) fn bits(&self, lengths: &CodeLengths) -> u64 {
        let of = |counts: &[u32], lengths: &[u8], extra: fn(usize) -> Option<(u32, u32)>| {
            let symbols = counts.iter().zip(lengths).enumerate();
            let bits = symbols.map(|(symbol, (count, length))| {
                let extra = extra(symbol).map_or(0, |(_, extra)| extra);
                u64::from(*count) * u64::from(u32::from(*length) + extra)
            });
            bits.sum::<u64>()
        };
        of(&self.literals, &lengths.literals, length_of)
            + of(&self.distances, &lengths.distances, distance_of)
    }
}

#[inline]
fn add(counts: &mut [u32], symbol: usize) {
    if let Some(count) = counts.get_mut(symbol) {
        *count += 1;
    }
}

/// The header of a dynamic block, as bits and how many they are.
pub(super) struct Header(Vec<(u32, u32)>);

impl Header {
    pub(super) fn new(lengths: &CodeLengths) -> Result<Self> {
        let used = |lengths: &[u8], least: usize| {
            lengths.iter().rposition(|length| *length > 0).map_or(least, |last| least.max(last + 1))
        };
        let of_literals = used(&lengths.literals, END_OF_BLOCK + 1);
        let of_distances = used(&lengths.distances, 1);
        let all = lengths.literals.iter().take(of_literals);
        let all: Vec<_> = all.chain(lengths.distances.iter().take(of_distances)).copied().collect();
        let repeated = repeated(&all);
        let mut counts = [0; HEADER_ORDER.len()];
        for (symbol, ..) in &repeated {
            add(&mut counts, *symbol);
        }
        let own = code_lengths(&counts, MAX_HEADER_CODE_BITS);
        let in_order = HEADER_ORDER.map(|symbol| own.get(symbol).copied().unwrap_or(0));
        let of_own = used(&in_order, 4);
        let mut bits: Vec<(u32, u32)> =
            [(of_literals, 257, 5), (of_distances, 1, 5), (of_own, 4, 4)]
                .map(|(count, least, bits)| (u32::try_from(count - least).unwrap_or(0), bits))
                .into();
        bits.extend(in_order.iter().take(of_own).map(|length| (u32::from(*length), 3)));
        let codes = codes(&own)?;
        for (symbol, times, extra) in repeated {
            let Code { bits: code, length } = codes.get(symbol).copied().unwrap_or_default();
            bits.push((code.into(), length.into()));
            bits.push((times, extra));
        }
        Ok(Self(bits))
    }

    /// Appends it.
    pub(super) fn put(&self, out: &mut BitBuffer) {
        for (bits, count) in &self.0 {
            out.put(*bits, *count);
        }
    }

    /// How many bits it has.
    pub(super) fn bits(&self) -> u64 {
        self.0.iter().map(|(_, count)| u64::from(*count)).sum()
    }
}

/// The symbols for these code lengths, each with its extra bits and how many they are.
fn repeated(lengths: &[u8]) -> Vec<(usize, u32, u32)> {
    let mut symbols = Vec::new();
    for run in lengths.chunk_by(|a, b| a == b) {
        let length = run.first().copied().unwrap_or(0);
        let mut left = u32::try_from(run.len()).unwrap_or(0);
        if length > 0 {
            symbols.push((length.into(), 0, 0));
            left -= 1;
        }
        while left > 0 {
            let (taken, symbol) = match (length, left) {
                (0, 11..) => (left.min(138), (18, left.min(138) - 11, 7)),
                (0, 3..) => (left, (17, left - 3, 3)),
                (1.., 3..) => (left.min(6), (16, left.min(6) - 3, 2)),
                (length, _) => (1, (length.into(), 0, 0)),
            };
            symbols.push(symbol);
            left -= taken;
        }
    }
    symbols
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_code_lengths_are_repeated() {
        let mut lengths = vec![0; 141];
        lengths.extend([5; 9]);
        lengths.extend([0, 0, 4]);
        lengths.extend([0; 10]);
        let wanted = [
            (18, 127, 7),
            (17, 0, 3),
            (5, 0, 0),
            (16, 3, 2),
            (5, 0, 0),
            (5, 0, 0),
            (0, 0, 0),
            (0, 0, 0),
            (4, 0, 0),
            (17, 7, 3),
        ];
        assert_eq!(repeated(&lengths), wanted);
    }
}
