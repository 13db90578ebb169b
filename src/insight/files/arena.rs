//! Byte strings in one allocation: names and link targets.

/// Lengths up to this one take one byte.
const SHORT: usize = 0x7f;

/// A byte string of an [`Arena`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Text(u32);

/// Byte strings of up to 32 KiB. None is removed alone.
#[derive(Debug)]
pub(super) struct Arena(Vec<u8>);

impl Default for Arena {
    /// Contains only the empty string, which is [`Text::default`].
    fn default() -> Self {
        Self(vec![0])
    }
}

impl Arena {
    /// Adds a string; `None` if it is too long or the arena is full.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Option<Text> {
        if bytes.is_empty() {
            return Some(Text::default());
        }
        let offset = u32::try_from(self.0.len()).ok()?;
        let length = u16::try_from(bytes.len()).ok().filter(|length| *length < 1 << 15)?;
        match u8::try_from(length) {
            Ok(short) if bytes.len() <= SHORT => self.0.push(short),
            _ => self.0.extend((length | 1 << 15).to_be_bytes()),
        }
        self.0.extend_from_slice(bytes);
        Some(Text(offset))
    }

    pub(super) fn get(&self, text: Text) -> &[u8] {
        let all = self.0.get(text.0 as usize..).unwrap_or_default();
        let (length, rest) = match all {
            [long, low, rest @ ..] if *long > 0x7f => {
                (usize::from(u16::from_be_bytes([long & 0x7f, *low])), rest)
            }
            [short, rest @ ..] => (usize::from(*short), rest),
            [] => (0, all),
        };
        rest.get(..length).unwrap_or_default()
    }

    /// Bytes of all strings.
    pub(super) fn size(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arena_returns_strings_of_any_length() {
        let mut arena = Arena::default();
        let lengths = [0, 1, 0x7f, 0x80, 0xff, 0x100, 4095, (1 << 15) - 1];
        let texts: Vec<_> =
            lengths.iter().map(|&length| arena.add(&vec![b'x'; length]).unwrap()).collect();
        let found: Vec<_> = texts.iter().map(|text| arena.get(*text).len()).collect();
        assert_eq!(found, lengths);
        assert_eq!(arena.get(Text::default()), b"");
        assert_eq!(arena.add(&vec![b'x'; 1 << 15]), None);
    }
}
