//! Writes literals and matches as one block, in the smallest of its three kinds. RFC 1951, 3.2.

use super::bits::BitBuffer;
use super::codes::{
    Code, CodeLengths, DISTANCES, END_OF_BLOCK, Encoding, HEADER_ORDER, LITERALS, MAX_CODE_BITS,
    codes, distance_of, distance_symbol, length_of, length_symbol,
};
use super::huffman::code_lengths;
use super::parse::BlockKind;
use super::tokens::Tokens;
use crate::error::Result;

/// Longest code of a code length.
const MAX_HEADER_CODE_BITS: usize = 7;

/// How often each symbol comes.
struct Counts {
    literals: [u32; LITERALS],
    distances: [u32; DISTANCES],
}

impl Counts {
    fn of(tokens: Tokens<'_>) -> Self {
        let mut counts = Self { literals: [0; LITERALS], distances: [0; DISTANCES] };
        for (literals, found) in tokens.parts() {
            for byte in literals {
                add(&mut counts.literals, usize::from(*byte));
            }
            if let Some(found) = found {
                add(&mut counts.literals, length_symbol(found.length.into()));
                add(&mut counts.distances, distance_symbol(found.distance.into()));
            }
        }
        add(&mut counts.literals, END_OF_BLOCK);
        counts
    }

    /// The lengths that make the block small.
    fn lengths(&self) -> CodeLengths {
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
    fn bits(&self, lengths: &CodeLengths) -> u64 {
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

fn add(counts: &mut [u32], symbol: usize) {
    if let Some(count) = counts.get_mut(symbol) {
        *count += 1;
    }
}

/// The header of a dynamic block, as bits and how many they are.
struct Header(Vec<(u32, u32)>);

impl Header {
    fn new(lengths: &CodeLengths) -> Result<Self> {
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

    fn bits(&self) -> u64 {
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

/// Writes a block of at most 65,535 bytes.
///
/// # Errors
/// None that occur.
pub(super) fn put_block(out: &mut BitBuffer, tokens: Tokens<'_>, is_last: bool) -> Result<()> {
    let counts = Counts::of(tokens);
    let (dynamic, fixed) = (counts.lengths(), CodeLengths::fixed());
    let header = Header::new(&dynamic)?;
    let of_dynamic = header.bits() + counts.bits(&dynamic);
    let of_fixed = counts.bits(&fixed);
    // With at most 7 bits up to the next byte.
    let of_stored = 7 + 32 + 8 * tokens.bytes.len() as u64;
    out.put(u32::from(is_last), 1);
    if of_stored < of_dynamic.min(of_fixed)
        && let Ok(length) = u16::try_from(tokens.bytes.len())
    {
        out.put(BlockKind::Stored.bits(), 2);
        out.stored(length);
        out.bytes(tokens.bytes);
        return Ok(());
    }
    let lengths = if of_fixed <= of_dynamic {
        out.put(BlockKind::Fixed.bits(), 2);
        fixed
    } else {
        out.put(BlockKind::Dynamic.bits(), 2);
        for (bits, count) in &header.0 {
            out.put(*bits, *count);
        }
        dynamic
    };
    let encoding = Encoding::new(&lengths)?;
    let mut put = |(bits, count)| out.put(bits, count);
    for (literals, found) in tokens.parts() {
        for byte in literals {
            put(encoding.literal(usize::from(*byte)));
        }
        if let Some(found) = found {
            put(encoding.length(found.length.into()));
            put(encoding.distance(found.distance.into()));
        }
    }
    put(encoding.literal(END_OF_BLOCK));
    Ok(())
}

/// Writes an empty block that ends at the end of a byte. What follows can be decoded if all before it was.
pub(super) fn put_flush(out: &mut BitBuffer) {
    out.put(BlockKind::Stored.bits() << 1, 3);
    out.stored(0);
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::super::parse::Mark;
    use super::*;

    fn block(tokens: Tokens<'_>) -> Vec<u8> {
        let mut out = BitBuffer::default();
        put_block(&mut out, tokens, true).unwrap();
        out.into_bytes()
    }

    fn kind(block: &[u8]) -> u32 {
        u32::from(block[0] >> 1 & 3)
    }

    #[test]
    fn smallest_kind_of_block_is_chosen_and_decodes() {
        let mut random = fastrand::Rng::with_seed(1);
        let noise: Vec<u8> = (0..5000).map(|_| random.u8(..)).collect();
        let text: Vec<u8> = (0..5000).map(|_| b"etaoin shrdlu"[random.usize(..13)]).collect();
        let [stored, fixed, dynamic] =
            [BlockKind::Stored, BlockKind::Fixed, BlockKind::Dynamic].map(BlockKind::bits);
        let cases: [(&[u8], u32); 5] =
            [(b"", fixed), (b"short", fixed), (&text, dynamic), (&noise, stored), (&[7; 9], fixed)];
        for (bytes, wanted) in cases {
            let block = block(Tokens { bytes, matches: &[], start: 0 });
            assert_eq!(kind(&block), wanted, "{} bytes", bytes.len());
            let mut read = Vec::new();
            flate2::read::DeflateDecoder::new(&block[..]).read_to_end(&mut read).unwrap();
            assert!(read == bytes);
        }
    }

    #[test]
    fn matches_of_any_length_and_distance_decode() {
        let mut random = fastrand::Rng::with_seed(2);
        for round in 0..50 {
            let mut bytes: Vec<u8> = (0..40_000).map(|_| random.u8(..200)).collect();
            let mut matches = Vec::new();
            while bytes.len() < 60_000 {
                let length = if round == 0 { 258 } else { random.usize(3..=258) };
                let distance = 1 + (random.usize(..32_768) >> random.usize(..16));
                matches.push(Mark::new(
                    100 + bytes.len() as u64,
                    u32::try_from(length).unwrap(),
                    u32::try_from(distance).unwrap(),
                ));
                for _ in 0..length {
                    bytes.push(bytes[bytes.len() - distance]);
                }
                bytes.extend((0..random.usize(..3)).map(|_| random.u8(..)));
            }
            let block = block(Tokens { bytes: &bytes, matches: &matches, start: 100 });
            let mut read = Vec::new();
            flate2::read::DeflateDecoder::new(&block[..]).read_to_end(&mut read).unwrap();
            assert!(read == bytes, "round {round}");
        }
    }

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
