//! Writes literals and matches as one block, in the smallest of its three kinds. RFC 1951, 3.2.

use super::bits::BitBuffer;
use super::codes::{CodeLengths, END_OF_BLOCK, Encoding};
use super::headers::{Counts, Header};
use super::parse::BlockKind;
use super::tokens::Tokens;
use crate::error::Result;

/// Writes a block of at most 65,535 bytes.
///
/// # Errors
/// None that occur.
pub(super) fn put_block(out: &mut BitBuffer, tokens: Tokens<'_>, is_last: bool) -> Result<()> {
    let mut counts = Counts::new();
    for (literals, found) in tokens.parts() {
        for byte in literals {
            counts.add_literal(*byte);
        }
        if let Some(found) = found {
            counts.add_match(found.length.into(), found.distance.into());
        }
    }
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
        header.put(out);
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
}
