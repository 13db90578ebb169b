//! Text with its escapes undone, each byte with its position in the original.

/// A byte for comparison, and the bytes of the text that it comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) byte: u8,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Maximum levels of escapes: an escaped URL in a JSON text inside another one.
const MAX_DEPTH: usize = 3;

/// Folds a byte for comparison: servers change case, and base64 has two alphabets.
pub(super) fn folded(byte: u8) -> u8 {
    match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => other.to_ascii_lowercase(),
    }
}

/// Calls `read` with the text itself, and after each level of escapes that changes it.
pub(super) fn each_reading(text: &str, mut read: impl FnMut(&[Unit])) {
    let bytes = text.bytes().enumerate();
    let mut units: Vec<Unit> =
        bytes.map(|(start, byte)| Unit { byte, start, end: start + 1 }).collect();
    for _ in 0..=MAX_DEPTH {
        read(
            &units.iter().map(|unit| Unit { byte: folded(unit.byte), ..*unit }).collect::<Vec<_>>(),
        );
        let plainer = unescaped(&units);
        if plainer == units {
            return;
        }
        units = plainer;
    }
}

/// Undoes one level of escapes of URLs, JSON and HTML, and removes line breaks, which wrap base64.
fn unescaped(units: &[Unit]) -> Vec<Unit> {
    let mut plain = Vec::with_capacity(units.len());
    let mut rest = units;
    while let Some((first, after)) = rest.split_first() {
        let bytes =
            |count: usize| -> Vec<u8> { rest.iter().take(count).map(|unit| unit.byte).collect() };
        let found = match first.byte {
            b'%' => hex_escape(&bytes(3), 1, 2),
            b'\\' => backslash(&bytes(12)),
            b'&' => entity(&bytes(10)),
            b'\r' | b'\n' => Some((None, 1)),
            _ => None,
        };
        if let Some((c, length)) = found {
            let end = rest.get(length - 1).map_or(first.end, |unit| unit.end);
            let add = |byte: u8| Unit { byte, start: first.start, end };
            match c {
                // URLs escape UTF-8 byte by byte, JSON and HTML character by character.
                Some(code) if first.byte == b'%' => plain.extend(u8::try_from(code).ok().map(add)),
                Some(code) => {
                    let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                    plain.extend(c.encode_utf8(&mut [0; 4]).bytes().map(add));
                }
                None => {}
            }
            rest = rest.get(length..).unwrap_or_default();
        } else {
            plain.push(*first);
            rest = after;
        }
    }
    plain
}

/// The escaped character, if any, and the length of the escape.
type Escape = Option<(Option<u32>, usize)>;

fn hex_escape(bytes: &[u8], start: usize, digits: usize) -> Escape {
    let code = number(bytes.get(start..start + digits)?, 16)?;
    Some((Some(code), start + digits))
}

fn backslash(bytes: &[u8]) -> Escape {
    match *bytes.get(1)? {
        b'u' if bytes.get(2) == Some(&b'{') => {
            let end = bytes.iter().position(|byte| *byte == b'}')?;
            Some((Some(number(bytes.get(3..end)?, 16)?), end + 1))
        }
        b'u' => {
            let (code, length) = hex_escape(bytes, 2, 4)?;
            let low = bytes.get(length..length + 2).filter(|next| *next == b"\\u");
            let low = low.and_then(|_| number(bytes.get(length + 2..length + 6)?, 16));
            Some(match (code, low) {
                (Some(high @ 0xd800..0xdc00), Some(low @ 0xdc00..0xe000)) => {
                    (Some(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)), length + 6)
                }
                _ => (code, length),
            })
        }
        b'x' => hex_escape(bytes, 2, 2),
        b'n' | b'r' => Some((None, 2)),
        b't' => Some((Some(u32::from(b'\t')), 2)),
        c @ (b'/' | b'\\' | b'"' | b'\'') => Some((Some(u32::from(c)), 2)),
        _ => None,
    }
}

fn entity(bytes: &[u8]) -> Escape {
    let end = bytes.iter().position(|byte| *byte == b';')?;
    let name = bytes.get(1..end)?.to_ascii_lowercase();
    let code = match name.as_slice() {
        b"amp" => u32::from(b'&'),
        b"lt" => u32::from(b'<'),
        b"gt" => u32::from(b'>'),
        b"quot" => u32::from(b'"'),
        b"apos" => u32::from(b'\''),
        [b'#', b'x', digits @ ..] => number(digits, 16)?,
        [b'#', digits @ ..] => number(digits, 10)?,
        _ => return None,
    };
    Some((Some(code), end + 1))
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    let text = std::str::from_utf8(digits).ok()?;
    // `from_str_radix` would accept a sign.
    text.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(())?;
    u32::from_str_radix(text, radix).ok()
}
