//! Byte strings in one allocation: names and link targets.

use std::sync::Arc;

/// Lengths up to this one take one byte.
const SHORT: usize = 0x7f;

/// A byte string of an [`Arena`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Text(u32);

/// Byte strings of up to 32 KiB. None is removed alone.
#[derive(Debug)]
pub(super) struct Arena {
    /// What a fork shares.
    shared: Arc<Vec<u8>>,
    /// The strings added after it.
    own: Vec<u8>,
}

impl Default for Arena {
    /// Contains only the empty string, which is [`Text::default`].
    fn default() -> Self {
        Self { shared: Arc::default(), own: vec![0] }
    }
}

impl Arena {
    /// Adds a string; `None` if it is too long or the arena is full.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Option<Text> {
        if bytes.is_empty() {
            return Some(Text::default());
        }
        let offset = u32::try_from(self.size()).ok()?;
        let length = u16::try_from(bytes.len()).ok().filter(|length| *length < 1 << 15)?;
        match u8::try_from(length) {
            Ok(short) if bytes.len() <= SHORT => self.own.push(short),
            _ => self.own.extend((length | 1 << 15).to_be_bytes()),
        }
        self.own.extend_from_slice(bytes);
        Some(Text(offset))
    }

    pub(super) fn get(&self, text: Text) -> &[u8] {
        let offset = text.0 as usize;
        let all = match offset.checked_sub(self.shared.len()) {
            Some(own) => self.own.get(own..),
            None => self.shared.get(offset..),
        };
        let all = all.unwrap_or_default();
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
        self.shared.len() + self.own.len()
    }

    /// Returns an arena with the same strings. They are in memory once.
    pub(super) fn fork(&mut self) -> Self {
        if self.shared.is_empty() {
            self.shared = Arc::new(std::mem::take(&mut self.own));
        } else if !self.own.is_empty() {
            self.shared =
                Arc::new([self.shared.as_slice(), &std::mem::take(&mut self.own)].concat());
        }
        Self { shared: Arc::clone(&self.shared), own: Vec::new() }
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

    #[test]
    fn fork_of_arena_keeps_strings_of_both() {
        let mut arena = Arena::default();
        let old = arena.add(b"old").unwrap();
        let mut fork = arena.fork();
        let new = fork.add(b"new").unwrap();
        let third = fork.fork();
        for arena in [&fork, &third] {
            assert_eq!((arena.get(old), arena.get(new)), (&b"old"[..], &b"new"[..]));
        }
        assert_eq!((arena.get(old), arena.get(new), arena.size()), (&b"old"[..], &b""[..], 5));
    }
}
