//! Numbers in LEB128, as records of blobs and deltas have them.

use std::io::{self, Read};

/// Appends a number.
pub(crate) fn put(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    into.push(value.to_le_bytes()[0]);
}

/// Appends a number of which small amounts are frequent, with either sign (zigzag).
pub(crate) fn put_signed(into: &mut Vec<u8>, value: i64) {
    put(into, zigzag(value));
}

/// The number that stands for a signed one.
pub(crate) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

/// The signed number that another one stands for.
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Reads a number; `None` at the end.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] inside a number, [`io::ErrorKind::InvalidData`] for one of more than 64 bits, and those
/// of the reader.
pub(crate) fn take(from: &mut impl Read) -> io::Result<Option<u64>> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        match from.read_exact(&mut byte) {
            Err(error) if shift == 0 && error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(None);
            }
            read => read?,
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
    Err(io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_of_any_size_is_read_again() {
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
            assert_eq!(take(&mut rest).unwrap(), Some(value));
        }
        for value in signed {
            assert_eq!(take(&mut rest).unwrap().map(unzigzag), Some(value));
        }
        assert_eq!(take(&mut rest).unwrap(), None);
        for wrong in [&[0x80_u8][..], &[0xff; 10]] {
            assert!(take(&mut &wrong[..]).is_err());
        }
    }
}
