//! LEB128 numbers, read from streams.

use std::io::Read;

use super::fault::invalid_delta;
use crate::error::Result;

/// Appends a number.
pub(super) fn put(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    into.push(value.to_le_bytes()[0]);
}

/// Appends a number of which small amounts are frequent, with either sign.
pub(super) fn put_signed(into: &mut Vec<u8>, value: i64) {
    put(into, (value << 1 ^ value >> 63).cast_unsigned());
}

/// Reads a number; `None` at the end of the stream.
pub(super) fn take_unless_end(from: &mut impl Read) -> Result<Option<u64>> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        if from.read(&mut byte).map_err(|_| invalid_delta("damaged table"))? == 0 {
            return if shift == 0 { Ok(None) } else { Err(invalid_delta("a table ends early")) };
        }
        let bits = u64::from(byte[0] & 0x7f);
        if bits << shift >> shift != bits {
            break;
        }
        value |= bits << shift;
        if byte[0] < 0x80 {
            return Ok(Some(value));
        }
    }
    Err(invalid_delta("a number in a table is too large"))
}

/// Reads a number.
pub(super) fn take(from: &mut impl Read) -> Result<u64> {
    take_unless_end(from)?.ok_or_else(|| invalid_delta("a table ends early"))
}

/// Reads a number written by [`put_signed`].
pub(super) fn take_signed(from: &mut impl Read) -> Result<i64> {
    let value = take(from)?;
    Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_size_are_read_again() {
        let values = [0, 1, 127, 128, 1 << 20, u64::MAX];
        let signed = [0, -1, 1, i64::MIN, i64::MAX];
        let mut bytes = Vec::new();
        for value in values {
            put(&mut bytes, value);
        }
        for value in signed {
            put_signed(&mut bytes, value);
        }
        let mut rest = &bytes[..];
        for value in values {
            assert_eq!(take(&mut rest).unwrap(), value);
        }
        for value in signed {
            assert_eq!(take_signed(&mut rest).unwrap(), value);
        }
        assert_eq!(take_unless_end(&mut rest).unwrap(), None);
        for wrong in [&[0x80_u8][..], &[0xff; 10], &[]] {
            assert!(take(&mut &wrong[..]).is_err());
        }
    }
}
