//! Streams that are written by hand: every type of block, and what encoders do rarely.

use flate2::Crc;
use rpull::ErrorKind;
use rpull::rebuild::{record, record_with, replay};

use super::{assert_rebuilds, gzip, inflate, mixed, models, rebuild_with_all};

/// Writes deflate bit by bit.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    count: usize,
}

impl Bits {
    /// Adds a number, lowest bit first.
    fn number(&mut self, value: u32, count: usize) -> &mut Self {
        for place in 0..count {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((value >> place & 1) as u8) << (self.count % 8);
            self.count += 1;
        }
        self
    }

    /// Adds a code, highest bit first.
    fn code(&mut self, value: u32, count: usize) -> &mut Self {
        self.number(value.reverse_bits() >> (32 - count), count)
    }

    fn block(&mut self, is_last: bool, kind: u32) -> &mut Self {
        self.number(is_last.into(), 1).number(kind, 2)
    }

    /// Adds the fixed code of a symbol.
    fn fixed(&mut self, symbol: u32) -> &mut Self {
        match symbol {
            0..144 => self.code(0x30 + symbol, 8),
            144..256 => self.code(0x190 + symbol - 144, 9),
            256..280 => self.code(symbol - 256, 7),
            _ => self.code(0xc0 + symbol - 280, 8),
        }
    }

    fn text(&mut self, text: &[u8]) -> &mut Self {
        for &byte in text {
            self.fixed(byte.into());
        }
        self
    }

    fn stored(&mut self, is_last: bool, bytes: &[u8]) -> &mut Self {
        self.block(is_last, 0);
        self.count = self.bytes.len() * 8;
        let length = u16::try_from(bytes.len()).unwrap();
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&(!length).to_le_bytes());
        self.bytes.extend_from_slice(bytes);
        self.count = self.bytes.len() * 8;
        self
    }

    /// Adds the header of a dynamic block whose code lengths are these, each written singly.
    fn dynamic(
        &mut self,
        is_last: bool,
        literals: &[(u32, u32)],
        distances: &[(u32, u32)],
    ) -> &mut Self {
        self.block(is_last, 2);
        let last = |lengths: &[(u32, u32)]| lengths.last().map_or(0, |(symbol, _)| *symbol);
        let counts = (last(literals).max(256) + 1, last(distances) + 1);
        self.number(counts.0 - 257, 5).number(counts.1 - 1, 5).number(15, 4);
        // Sixteen codes of four bits: the order is 16, 17, 18, 0, 8, ...
        for place in 0..19 {
            self.number(if place < 3 { 0 } else { 4 }, 3);
        }
        for (lengths, count) in [(literals, counts.0), (distances, counts.1)] {
            for symbol in 0..count {
                let length = lengths.iter().find(|(known, _)| *known == symbol);
                self.code(length.map_or(0, |(_, length)| *length), 4);
            }
        }
        self
    }

    /// A member with this header.
    fn member(&self, header: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut crc = Crc::new();
        crc.update(plain);
        let trailer = [crc.sum().to_le_bytes(), crc.amount().to_le_bytes()].concat();
        [header, &self.bytes, &trailer].concat()
    }

    fn gzip(&self, plain: &[u8]) -> Vec<u8> {
        self.member(&HEADER, plain)
    }
}

const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

#[test]
fn rebuild_blocks_of_every_type_is_exact() {
    let mut bits = Bits::default();
    bits.block(false, 1).text(b"fixed fixed ").fixed(257 + 3).code(5, 5).number(0, 1).fixed(256);
    bits.stored(false, b"stored").stored(false, b"").block(false, 1).fixed(256);
    // Codes of two bits each for a, b, end and length 3, in this order; one for distances.
    bits.dynamic(false, &[(97, 2), (98, 2), (256, 2), (257, 2)], &[(0, 1)]);
    bits.code(0, 2).code(1, 2).code(3, 2).code(0, 1).code(2, 2);
    // No distance at all.
    bits.dynamic(false, &[(97, 1), (256, 1)], &[(0, 0)]).code(0, 1).code(1, 1);
    bits.stored(true, b"");
    let plain = b"fixed fixed fixed stored".to_vec();
    let blob = bits.gzip(b"");
    let inflated = inflate_unchecked(&blob);
    assert!(
        inflated.starts_with(&plain[..12]) && inflated.ends_with(b"storedabbbba"),
        "{inflated:?}"
    );
    let blob = bits.gzip(&inflated);
    assert_eq!(inflate(&blob), inflated);
    rebuild_with_all(&blob, &inflated);
}

/// The plain bytes of a blob whose CRC may be wrong.
fn inflate_unchecked(blob: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let deflated = &blob[10..blob.len() - 8];
    std::io::Read::read_to_end(&mut flate2::read::DeflateDecoder::new(deflated), &mut plain)
        .unwrap();
    plain
}

#[test]
fn rebuild_wrong_crc_is_kept() {
    let mut bits = Bits::default();
    bits.block(true, 1).text(b"text").fixed(256);
    let blob = bits.gzip(b"other");
    let record = record(&blob[..]).unwrap();
    assert_rebuilds(&blob, b"text", &record);
}

#[test]
fn rebuild_gzip_header_fields_are_kept() {
    let mut bits = Bits::default();
    bits.block(true, 1).text(b"text").fixed(256);
    let header = [
        &[0x1f, 0x8b, 8, 0x1f, 1, 2, 3, 4, 2, 3, 4, 0][..],
        b"abcd",
        b"name\0",
        b"a comment\0",
        b"hc",
    ];
    let blob = bits.member(&header.concat(), b"text");
    assert_rebuilds(&blob, b"text", &record(&blob[..]).unwrap());
    for flags in [4, 8, 16, 2] {
        let mut header = HEADER.to_vec();
        header[3] = flags;
        header.extend_from_slice(b"\x01\0\0");
        let blob = bits.member(&header[..if flags == 4 { 13 } else { 12 }], b"text");
        assert_rebuilds(&blob, b"text", &record(&blob[..]).unwrap());
    }
}

#[test]
fn rebuild_members_and_zeros_at_the_end_are_kept() {
    let plain = mixed(1, 80_000);
    let mut blob = gzip(&plain[..70_000], 6);
    blob.extend(gzip(b"", 6));
    blob.extend(gzip(&plain[70_000..], 9));
    rebuild_with_all(&blob, &plain);
    blob.extend([0; 5000]);
    assert_rebuilds(&blob, &plain, &record(&blob[..]).unwrap());
}

#[test]
fn rebuild_every_level_and_size_is_exact() {
    let (plain, all) = (mixed(2, 500_000), models());
    let mut models = all.into_iter().cycle();
    for size in [
        0,
        1,
        2,
        3,
        12,
        13,
        127,
        128,
        65_534,
        65_535,
        65_536,
        131_071,
        262_144,
        5 * 65_535,
        6 * 65_535 + 77,
    ] {
        for level in [0, 6] {
            let blob = gzip(&plain[..size], level);
            let model = models.next().unwrap();
            assert_rebuilds(&blob, &plain[..size], &record_with(&blob[..], model).unwrap());
        }
    }
    rebuild_with_all(&gzip(&plain[..90_000], 6), &plain[..90_000]);
}

#[test]
fn rebuild_of_other_gzip_is_unsupported() {
    let unsupported = |blob: &[u8]| {
        let error = record(blob).expect_err("it cannot be repeated");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    };
    unsupported(b"");
    unsupported(b"not gzip, but long enough for a header");
    let with = |write: &dyn Fn(&mut Bits)| {
        let mut bits = Bits::default();
        write(&mut bits);
        unsupported(&bits.gzip(b""));
    };
    // Length 258 as 227 and 31 more.
    with(&|bits| _ = bits.block(true, 1).text(b"a").fixed(284).number(31, 5).code(0, 5).fixed(256));
    // A match before the first byte, a distance and a length without a meaning.
    with(&|bits| _ = bits.block(true, 1).text(b"a").fixed(257).code(1, 5).fixed(256));
    with(&|bits| _ = bits.block(true, 1).text(b"a").fixed(257).code(30, 5).fixed(256));
    with(&|bits| _ = bits.block(true, 1).text(b"a").fixed(286).code(0, 5).fixed(256));
    // No type of block, and more codes than there can be.
    with(&|bits| _ = bits.block(true, 3));
    with(&|bits| _ = bits.dynamic(true, &[(97, 1), (98, 1), (256, 1)], &[]));
    // Padding that is not zero, before a stored block and at the end.
    with(&|bits| _ = bits.block(true, 0).number(31, 5).number(0, 16).number(0xffff, 16));
    with(&|bits| _ = bits.block(true, 1).fixed(256).number(63, 6));
    let blob = gzip(b"text", 6);
    unsupported(&[&blob[..], b"more"].concat());
    unsupported(&[&blob[..], &[0, 0], &blob[..]].concat());
    for size in 0..blob.len() {
        unsupported(&blob[..size]);
    }
}

#[test]
fn replay_of_other_bytes_is_a_mismatch() {
    let plain = mixed(3, 50_000);
    let record = record(&gzip(&plain, 6)[..]).unwrap();
    for other in [&plain[1..], &[&plain[..], b"x"].concat(), b""] {
        let error = replay(other, &record, Vec::new()).expect_err("another length");
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
    }
    // As many bytes that are others end in an error or in another blob.
    let other = mixed(4, 50_000);
    if let Ok(blob) = replay(&other[..], &record, Vec::new()) {
        assert_ne!(blob, gzip(&plain, 6));
    }
}
