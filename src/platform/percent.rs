//! Percent escapes for an operating system's version and features in the text form of a platform.

use std::borrow::Cow;

/// Whether the byte needs no escape.
pub(super) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)
}

/// Escapes a version or feature for the text form of a platform.
pub(super) fn encode(option: &str) -> Cow<'_, str> {
    if option.bytes().all(is_plain) {
        return Cow::Borrowed(option);
    }
    let encoded = option.bytes().map(|byte| {
        if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    });
    Cow::Owned(encoded.collect())
}

/// Decodes the escapes.
pub(super) fn decode(option: &str) -> Result<String, &'static str> {
    let malformed = "malformed % escape";
    let mut bytes = Vec::with_capacity(option.len());
    let mut rest = option.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || {
            let digit = char::from(rest.next().unwrap_or_default()).to_digit(16);
            digit.and_then(|digit| u8::try_from(digit).ok()).ok_or(malformed)
        };
        let high = digit()?;
        bytes.push(high << 4 | digit()?);
    }
    String::from_utf8(bytes).map_err(|_| malformed)
}
