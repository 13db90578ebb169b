//! Canonical Huffman codes, and the numbers that deflate's symbols stand for. RFC 1951, 3.2.

use super::bits::BitInput;
use super::fault::not_rebuildable;
use crate::error::Result;

pub(super) const END_OF_BLOCK: usize = 256;
pub(super) const MIN_LENGTH: u32 = 3;
pub(super) const MAX_LENGTH: u32 = 258;
pub(super) const MAX_DISTANCE: u32 = 32_768;

pub(super) const LITERALS: usize = 288;
pub(super) const DISTANCES: usize = 32;
pub(super) const MAX_CODE_BITS: usize = 15;
/// Bits that the first table of a decoder is indexed by.
const FAST_BITS: u32 = 10;
/// The order in which a header has the lengths of the code for code lengths.
pub(super) const HEADER_ORDER: [usize; 19] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Shortest length and count of extra bits of the symbols from 257.
#[expect(clippy::indexing_slicing, reason = "an index that is out of bounds does not compile here")]
const LENGTHS: [(u16, u8); 29] = {
    let mut table = [(258, 0); 29];
    let (mut symbol, mut base) = (0_u8, 3);
    while symbol < 28 {
        let extra = if symbol < 8 { 0 } else { symbol / 4 - 1 };
        table[symbol as usize] = (base, extra);
        base += 1 << extra;
        symbol += 1;
    }
    table
};

/// Shortest distance and count of extra bits of the symbols.
#[expect(clippy::indexing_slicing, reason = "an index that is out of bounds does not compile here")]
const DISTANCE_BASES: [(u16, u8); 30] = {
    let mut table = [(0, 0); 30];
    let (mut symbol, mut base) = (0_u8, 1);
    while symbol < 30 {
        let extra = if symbol < 4 { 0 } else { symbol / 2 - 1 };
        table[symbol as usize] = (base, extra);
        base += 1 << extra;
        symbol += 1;
    }
    table
};

/// Returns the shortest length and the extra bits of a symbol above [`END_OF_BLOCK`].
#[inline]
pub(super) fn length_of(symbol: usize) -> Option<(u32, u32)> {
    let (base, extra) = LENGTHS.get(symbol.wrapping_sub(END_OF_BLOCK + 1))?;
    Some((u32::from(*base), u32::from(*extra)))
}

/// Returns the shortest distance and the extra bits of a symbol.
#[inline]
pub(super) fn distance_of(symbol: usize) -> Option<(u32, u32)> {
    let (base, extra) = DISTANCE_BASES.get(symbol)?;
    Some((u32::from(*base), u32::from(*extra)))
}

/// Returns the symbol of a length.
#[inline]
pub(super) fn length_symbol(length: u32) -> usize {
    /// Symbols above [`END_OF_BLOCK`], by length.
    #[expect(
        clippy::indexing_slicing,
        reason = "an index that is out of bounds does not compile here"
    )]
    const SYMBOLS: [u8; 1 + MAX_LENGTH as usize] = {
        let mut table = [0; 259];
        let mut symbol = 0_u8;
        while symbol < 29 {
            let (base, extra) = LENGTHS[symbol as usize];
            let mut above = 0;
            while above < 1 << extra && base as usize + above < 259 {
                table[base as usize + above] = symbol;
                above += 1;
            }
            symbol += 1;
        }
        table
    };
    END_OF_BLOCK + 1 + usize::from(SYMBOLS.get(length as usize).copied().unwrap_or(0))
}

/// Returns the symbol of a distance.
#[inline]
pub(super) fn distance_symbol(distance: u32) -> usize {
    let distance = distance.wrapping_sub(1);
    if distance < 4 {
        return distance as usize;
    }
    let log = distance.ilog2();
    (2 * log + (distance >> (log - 1) & 1)) as usize
}

/// The code lengths of a block.
#[derive(Clone)]
pub(super) struct CodeLengths {
    pub(super) literals: [u8; LITERALS],
    pub(super) distances: [u8; DISTANCES],
}

impl CodeLengths {
    pub(super) fn fixed() -> Self {
        let length = |symbol| match symbol {
            144..256 => 9,
            256..280 => 7,
            _ => 8,
        };
        Self { literals: std::array::from_fn(length), distances: [5; DISTANCES] }
    }

    /// Reads the header of a dynamic block.
    pub(super) fn read(input: &mut impl BitInput) -> Result<Self> {
        let literals = input.take(5)? as usize + 257;
        let distances = input.take(5)? as usize + 1;
        let count = input.take(4)? as usize + 4;
        let mut lengths = [0; 19];
        for &symbol in HEADER_ORDER.iter().take(count) {
            if let Some(length) = lengths.get_mut(symbol) {
                *length = input.take(3)?.to_le_bytes()[0];
            }
        }
        let decoder = Decoder::new(&lengths)?;
        let mut all = Vec::with_capacity(LITERALS + DISTANCES);
        while all.len() < literals + distances {
            let symbol = decoder.decode_bit_by_bit(|| input.take(1))?;
            let (length, times) = match symbol {
                0..16 => (symbol.to_le_bytes()[0], 1),
                16 => {
                    let last = all.last().copied();
                    (
                        last.ok_or_else(|| {
                            not_rebuildable("repeats a code length before the first one")
                        })?,
                        3 + input.take(2)?,
                    )
                }
                17 => (0, 3 + input.take(3)?),
                _ => (0, 11 + input.take(7)?),
            };
            all.extend(std::iter::repeat_n(length, times as usize));
        }
        if all.len() > literals + distances {
            return Err(not_rebuildable("too many code lengths"));
        }
        let mut lengths = Self { literals: [0; LITERALS], distances: [0; DISTANCES] };
        let (of_literals, of_distances) = all.split_at(literals);
        lengths.literals.iter_mut().zip(of_literals).for_each(|(to, from)| *to = *from);
        lengths.distances.iter_mut().zip(of_distances).for_each(|(to, from)| *to = *from);
        Ok(lengths)
    }
}

/// Reads the bits of a header from another input, and keeps them.
pub(super) struct KeptBits<'a, I> {
    input: &'a mut I,
    pub(super) kept: HeaderBits,
}

/// The bits of a dynamic header, filled up with zeros to whole bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct HeaderBits {
    pub(super) bytes: Vec<u8>,
    pub(super) count: u32,
}

impl<'a, I: BitInput> KeptBits<'a, I> {
    pub(super) fn new(input: &'a mut I) -> Self {
        Self { input, kept: HeaderBits::default() }
    }
}

impl<I: BitInput> BitInput for KeptBits<'_, I> {
    fn take(&mut self, count: u32) -> Result<u32> {
        let bits = self.input.take(count)?;
        for bit in 0..count {
            if self.kept.count.is_multiple_of(8) {
                self.kept.bytes.push(0);
            }
            if let Some(byte) = self.kept.bytes.last_mut() {
                *byte |= ((bits >> bit & 1) << (self.kept.count % 8)).to_le_bytes()[0];
            }
            self.kept.count += 1;
        }
        Ok(bits)
    }
}

/// Finds the symbols of codes.
pub(super) struct Decoder {
    /// By the next bits: symbol * 16 + length of the code; 0 for codes that are longer.
    fast: Box<[u16; 1 << FAST_BITS]>,
    /// Number of codes of each length.
    counts: [u16; MAX_CODE_BITS + 1],
    /// Symbols in the order of their codes.
    symbols: Vec<u16>,
}

impl Decoder {
    /// A code may be incomplete: undefined codes are an error only where they are used.
    pub(super) fn new(lengths: &[u8]) -> Result<Self> {
        let codes = codes(lengths)?;
        let mut decoder =
            Self { fast: Box::new([0; 1 << FAST_BITS]), counts: [0; 16], symbols: Vec::new() };
        for length in 1..=MAX_CODE_BITS {
            for (symbol, _) in
                (0_u16..).zip(lengths).filter(|(_, own)| usize::from(**own) == length)
            {
                decoder.symbols.push(symbol);
                if let Some(count) = decoder.counts.get_mut(length) {
                    *count += 1;
                }
            }
        }
        for ((symbol, code), &length) in (0_u16..).zip(codes).zip(lengths) {
            let length = u32::from(length);
            if (1..=FAST_BITS).contains(&length) {
                let entry = symbol << 4 | (length & 15) as u16;
                let places = decoder.fast.iter_mut().skip(usize::from(code.bits));
                places.step_by(1 << length).for_each(|place| *place = entry);
            }
        }
        Ok(decoder)
    }

    /// Returns the symbol that the bits begin with, and how many bits its code has.
    #[inline]
    pub(super) fn decode(&self, bits: u64) -> Result<(usize, u32)> {
        let entry = self.fast.get((bits & ((1 << FAST_BITS) - 1)) as usize).copied().unwrap_or(0);
        if entry != 0 {
            return Ok((usize::from(entry >> 4), u32::from(entry & 15)));
        }
        let mut count = 0;
        let symbol = self.decode_bit_by_bit(|| {
            count += 1;
            Ok((bits >> (count - 1) & 1) as u32)
        })?;
        Ok((usize::from(symbol), count))
    }

    fn decode_bit_by_bit(&self, mut next: impl FnMut() -> Result<u32>) -> Result<u16> {
        let (mut code, mut first, mut index) = (0_u32, 0_u32, 0_u32);
        for &count in self.counts.iter().skip(1) {
            code |= next()?;
            let count = u32::from(count);
            if code < first + count {
                let symbol = self.symbols.get((index + code - first) as usize);
                return symbol.copied().ok_or_else(|| not_rebuildable("undefined code"));
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        Err(not_rebuildable("undefined code"))
    }
}

/// A code as it is written: first bit lowest.
#[derive(Clone, Copy, Default)]
pub(super) struct Code {
    pub(super) bits: u16,
    pub(super) length: u8,
}

/// The canonical codes of the symbols. A length of 0 means that the symbol has none.
pub(super) fn codes(lengths: &[u8]) -> Result<Vec<Code>> {
    let mut next = [0_u32; MAX_CODE_BITS + 1];
    let mut code = 0_u32;
    for (length, first) in next.iter_mut().enumerate().skip(1) {
        *first = code;
        let count = lengths.iter().filter(|&&own| usize::from(own) == length).count();
        code += u32::try_from(count).unwrap_or(u32::MAX);
        if code > 1 << length {
            return Err(not_rebuildable("over-subscribed code"));
        }
        code <<= 1;
    }
    let assign = |&length: &u8| {
        let Some(next) = next.get_mut(usize::from(length)).filter(|_| length > 0) else {
            return Code::default();
        };
        let bits = u16::try_from(*next).unwrap_or(0).reverse_bits() >> (16 - u32::from(length));
        *next += 1;
        Code { bits, length }
    };
    Ok(lengths.iter().map(assign).collect())
}

/// The bits that stand for each literal and match of a block.
pub(super) struct Encoding {
    /// Bits of the code in the lower half, their count in the upper. For lengths with the extra bits.
    literals: [u32; LITERALS],
    lengths: [u32; 1 + MAX_LENGTH as usize],
    distances: [u32; DISTANCES],
}

impl Encoding {
    pub(super) fn new(lengths: &CodeLengths) -> Result<Self> {
        let pack = |code: Code| u32::from(code.bits) | u32::from(code.length) << 24;
        let mut encoding =
            Self { literals: [0; LITERALS], lengths: [0; 259], distances: [0; DISTANCES] };
        let codes_of_literals = codes(&lengths.literals)?;
        encoding
            .literals
            .iter_mut()
            .zip(&codes_of_literals)
            .for_each(|(to, code)| *to = pack(*code));
        let codes_of_distances = codes(&lengths.distances)?;
        encoding
            .distances
            .iter_mut()
            .zip(codes_of_distances)
            .for_each(|(to, code)| *to = pack(code));
        for ((base, extra), code) in
            LENGTHS.iter().zip(codes_of_literals.iter().skip(END_OF_BLOCK + 1))
        {
            for above in 0..1_u32 << extra {
                let length = usize::from(*base) + above as usize;
                // 258 has a symbol of its own, which comes last.
                if let Some(to) = encoding.lengths.get_mut(length).filter(|_| code.length > 0) {
                    let bits = u32::from(code.bits) | above << code.length;
                    *to = bits | (u32::from(code.length) + u32::from(*extra)) << 24;
                } else if let Some(to) = encoding.lengths.get_mut(length) {
                    *to = 0;
                }
            }
        }
        Ok(encoding)
    }

    /// Bits and their count; the count is 0 if the symbol has no code.
    #[inline]
    pub(super) fn literal(&self, symbol: usize) -> (u32, u32) {
        unpack(self.literals.get(symbol))
    }

    #[inline]
    pub(super) fn length(&self, length: u32) -> (u32, u32) {
        unpack(self.lengths.get(length as usize))
    }

    /// The code of a distance, and its extra bits.
    #[inline]
    pub(super) fn distance(&self, distance: u32) -> (u32, u32) {
        let symbol = distance_symbol(distance);
        let (bits, count) = unpack(self.distances.get(symbol));
        let Some((base, extra)) = distance_of(symbol).filter(|_| count > 0) else { return (0, 0) };
        (bits | distance.wrapping_sub(base) << count, count + extra)
    }
}

#[inline]
fn unpack(entry: Option<&u32>) -> (u32, u32) {
    let entry = entry.copied().unwrap_or(0);
    (entry & 0xff_ffff, entry >> 24)
}
