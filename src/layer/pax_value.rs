//! Parses values of PAX records. Spec: POSIX `pax`, "pax Extended Header Keywords".

use std::io;

use super::entry::Timestamp;
use super::invalid::invalid;

pub(super) fn name(value: &[u8]) -> io::Result<Vec<u8>> {
    if value.contains(&0) { Err(invalid("has a name with a NUL byte")) } else { Ok(value.to_vec()) }
}

pub(super) fn number(value: &[u8]) -> io::Result<i64> {
    let digits =
        std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| invalid("has a malformed number in a PAX header"))
}

/// Parses a time like `1700000000.25`. Times before 1970 become 1970.
pub(super) fn time(value: &[u8]) -> io::Result<Timestamp> {
    let (value, before_1970) = match value.strip_prefix(b"-") {
        Some(value) => (value, true),
        None => (value, false),
    };
    let point = value.iter().position(|&byte| byte == b'.').unwrap_or(value.len());
    let (seconds, fraction) = value.split_at(point);
    let mut digits = fraction.get(1..).unwrap_or_default().to_vec();
    let seconds = number(seconds)?;
    if !digits.is_empty() && !digits.iter().all(u8::is_ascii_digit) {
        return Err(invalid("has a malformed number in a PAX header"));
    }
    digits.resize(9, b'0');
    let nanoseconds = number(&digits)?.try_into().unwrap_or_default();
    Ok(if before_1970 { Timestamp::default() } else { Timestamp { seconds, nanoseconds } })
}
