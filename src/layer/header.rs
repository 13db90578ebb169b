//! Parses the 512-byte header of an entry: the V7, ustar, GNU and star formats. Spec: POSIX `pax`, "ustar Interchange
//! Format"; GNU tar manual, "Basic Tar Format".
//!
//! Not the `tar` crate's reader: that keeps names and PAX records of any length in memory, accepts a PAX size that
//! differs from the header's, and costs several times as much per entry.

use std::ops::Range;

use super::sparse::Extent;
use crate::tar_block::BLOCK_BYTES;

const CHECKSUM: Range<usize> = 148..156;

/// A header with a valid checksum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header<'a>(&'a [u8]);

/// A block at the position of a header.
pub(super) enum HeaderBlock<'a> {
    Header(Header<'a>),
    /// The empty block that ends a tar.
    EndOfArchive,
    /// A block with an invalid checksum.
    Invalid,
}

impl<'a> Header<'a> {
    pub(super) fn parse(block: &'a [u8]) -> HeaderBlock<'a> {
        let header = Self(block);
        let all = |value: fn(u8) -> i64| block.iter().map(|&byte| value(byte)).sum::<i64>();
        let unsigned = all(i64::from);
        if unsigned == 0 {
            return HeaderBlock::EndOfArchive;
        }
        // The checksum field itself counts as blank. Some old tars sum signed bytes.
        let signed = all(|byte| i64::from(byte.cast_signed()));
        let field = header.field(CHECKSUM);
        let blank = 8 * i64::from(b' ') - field.iter().map(|&byte| i64::from(byte)).sum::<i64>();
        match number(field) {
            Some(sum) if sum == unsigned + blank || sum == signed + blank => {
                HeaderBlock::Header(header)
            }
            _ => HeaderBlock::Invalid,
        }
    }

    fn field(&self, range: Range<usize>) -> &'a [u8] {
        self.0.get(range).unwrap_or_default()
    }

    pub(super) fn kind(&self) -> u8 {
        self.0.get(156).copied().unwrap_or_default()
    }

    /// The whole name, joined from both fields.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = text(self.field(0..100));
        let prefix = match (self.field(257..263), self.field(508..512)) {
            (b"ustar\0", b"tar\0") => text(self.field(345..476)),
            (b"ustar\0", _) => text(self.field(345..500)),
            // GNU tar uses this field for other data.
            _ => b"",
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, name].join(&b'/') }
    }

    pub(super) fn link(&self) -> &'a [u8] {
        text(self.field(157..257))
    }

    pub(super) fn mode(&self) -> Option<i64> {
        number(self.field(100..108))
    }

    pub(super) fn uid(&self) -> Option<i64> {
        number(self.field(108..116))
    }

    pub(super) fn gid(&self) -> Option<i64> {
        number(self.field(116..124))
    }

    pub(super) fn size(&self) -> Option<u64> {
        number(self.field(124..136)).and_then(|size| u64::try_from(size).ok())
    }

    pub(super) fn mtime(&self) -> Option<i64> {
        number(self.field(136..148))
    }

    pub(super) fn device(&self) -> Option<(i64, i64)> {
        Some((number(self.field(329..337))?, number(self.field(337..345))?))
    }

    /// The first extents of an old GNU sparse file, and its size including holes.
    pub(super) fn sparse(&self) -> Option<(ExtentBlock, u64)> {
        let extents = extents(self.field(386..482))?;
        let size = number(self.field(483..495)).and_then(|size| u64::try_from(size).ok())?;
        Some((ExtentBlock { extents, has_next: self.field(482..483) != [0] }, size))
    }
}

/// The extents in one block of an old GNU sparse file.
pub(super) struct ExtentBlock {
    pub(super) extents: Vec<Extent>,
    /// Whether a block with more of them follows.
    pub(super) has_next: bool,
}

impl ExtentBlock {
    /// Parses a block that follows the header.
    pub(super) fn parse(block: &[u8]) -> Option<Self> {
        debug_assert_eq!(block.len(), BLOCK_BYTES);
        Some(Self { extents: extents(block.get(..504)?)?, has_next: block.get(504) != Some(&0) })
    }
}

fn extents(table: &[u8]) -> Option<Vec<Extent>> {
    let used = table.chunks_exact(24).take_while(|row| row.first() != Some(&0));
    used.map(|row| {
        let (offset, length) = row.split_at(12);
        let [offset, length] = [offset, length].map(|field| u64::try_from(number(field)?).ok());
        Some(Extent { offset: offset?, length: length? })
    })
    .collect()
}

/// A field up to its first zero byte.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Octal digits, or GNU's binary form if the first bit is set; an empty field is 0.
fn number(field: &[u8]) -> Option<i64> {
    if let Some((&first, rest)) = field.split_first()
        && first >= 0x80
    {
        // Binary numbers begin with 0x80 if positive, with 0xff if negative.
        let start =
            if first & 0x40 == 0 { i128::from(first & 0x3f) } else { i128::from(first) - 256 };
        let value = rest.iter().try_fold(start, |value, &byte| {
            value.checked_mul(256)?.checked_add(i128::from(byte))
        })?;
        return value.try_into().ok();
    }
    let digits = std::str::from_utf8(text(field)).ok()?.trim_matches(' ');
    if digits.is_empty() {
        return Some(0);
    }
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    i64::from_str_radix(digits, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_octal_and_base256_are_parsed() {
        for (field, wanted) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0", Some(0)),
            (b"77777777777\0", Some(0o77_777_777_777)),
            (b"\x80\0\0\0\0\0\0\x05\0\0\0\x01", Some(0x05_0000_0001)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (b"\x80\0\0\0\xff\xff\xff\xff", Some(0xffff_ffff)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"-1\0", None),
            (b"+1\0", None),
            (b"8\0", None),
            (b"0x1f\0", None),
        ] {
            assert_eq!(number(field), wanted, "{field:?}");
        }
    }

    #[test]
    fn name_uses_ustar_prefix_but_not_gnu() {
        let mut block = [0; BLOCK_BYTES];
        block[..100].fill(b'n');
        block[257..265].copy_from_slice(b"ustar\x0000");
        block[345..500].fill(b'p');
        assert_eq!(Header(&block).name(), [[b'p'; 155].as_slice(), b"/", &[b'n'; 100]].concat());
        block[257..265].copy_from_slice(b"ustar  \0");
        assert_eq!(Header(&block).name(), [b'n'; 100]);
    }

    #[test]
    fn checksum_of_signed_bytes_is_accepted() {
        let mut block = [0; BLOCK_BYTES];
        block[..2].copy_from_slice("ä".as_bytes());
        for signed in [false, true] {
            let value =
                |&byte: &u8| if signed { i64::from(byte.cast_signed()) } else { i64::from(byte) };
            let sum = block[..2].iter().map(value).sum::<i64>() + 8 * 32;
            block[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            assert!(matches!(Header::parse(&block), HeaderBlock::Header(_)));
            block[3] ^= 1;
            assert!(matches!(Header::parse(&block), HeaderBlock::Invalid));
            block[3] ^= 1;
        }
    }
}
