//! The plain bytes of one member, as far as models need them.

/// More than models look back at: index 0 means "empty" in their tables, so it must be out of reach.
pub(super) const HISTORY: usize = 64 << 10;
/// How many bytes must be available from a position on, unless the member ends before.
pub(super) const REACH: usize = 130 << 10;
/// How many further bytes are read at once.
pub(super) const READ_AHEAD: usize = 64 << 10;
/// From this index on, bytes before the history are dropped.
const DROP_AT: usize = 192 << 10;
/// The unit in which bytes are dropped, so that `index & 0x7fff` of a byte stays.
const UNIT: usize = 32 << 10;
const CAPACITY: usize = 512 << 10;

/// The bytes of a member from a moving start on.
pub(super) struct Plain {
    bytes: Vec<u8>,
    /// How many bytes before index 0 were dropped.
    dropped: u64,
    /// Whether the member has no further bytes.
    pub(super) is_complete: bool,
}

impl Plain {
    pub(super) fn new() -> Self {
        let mut bytes = Vec::with_capacity(CAPACITY);
        bytes.resize(HISTORY, 0);
        Self { bytes, dropped: 0, is_complete: false }
    }

    /// The bytes of a member from this position on, after up to 64 KiB before them, with room for `size` bytes.
    pub(super) fn at(position: u64, before: &[u8], size: usize) -> Self {
        let mut bytes = Vec::with_capacity(HISTORY + size);
        bytes.resize(HISTORY.saturating_sub(before.len()), 0);
        bytes.extend_from_slice(before);
        Self { bytes, dropped: position, is_complete: false }
    }

    /// Begins the next member; returns whether the last one had any bytes.
    pub(super) fn restart(&mut self) -> bool {
        self.is_complete = false;
        if self.bytes.len() == HISTORY && self.dropped == 0 {
            return false;
        }
        self.bytes.truncate(HISTORY);
        self.bytes.fill(0);
        self.dropped = 0;
        true
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The position in the member of the byte at an index.
    pub(super) fn position(&self, index: usize) -> u64 {
        self.dropped + (index as u64).saturating_sub(HISTORY as u64)
    }

    /// The index of a position that is not dropped, given its lower 32 bits.
    #[expect(clippy::cast_possible_truncation, reason = "the difference fits: the buffer is small")]
    pub(super) fn index(&self, position: u32) -> usize {
        position.wrapping_sub(self.dropped as u32) as usize + HISTORY
    }

    /// Drops bytes that no model looks back at from this index; returns by how much indexes become smaller.
    pub(super) fn drop_before(&mut self, index: usize) -> usize {
        if index < DROP_AT {
            return 0;
        }
        let count = (index - HISTORY) / UNIT * UNIT;
        self.bytes.drain(..count);
        self.dropped += count as u64;
        count
    }

    #[inline]
    pub(super) fn push(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds a copy of earlier bytes; `false` if it begins before the member.
    #[inline]
    pub(super) fn repeat(&mut self, length: u32, distance: u32) -> bool {
        let (length, distance) = (length as usize, distance as usize);
        if distance as u64 > self.position(self.bytes.len()) || distance == 0 {
            return false;
        }
        let mut start = self.bytes.len() - distance;
        let mut left = length;
        while left > distance {
            self.bytes.extend_from_within(start..start + distance);
            start += distance;
            left -= distance;
        }
        self.bytes.extend_from_within(start..start + left);
        true
    }

    /// Adds `count` zeros and returns them, to be overwritten.
    pub(super) fn grow(&mut self, count: usize) -> &mut [u8] {
        let old = self.bytes.len();
        self.bytes.resize(old + count, 0);
        self.bytes.get_mut(old..).unwrap_or_default()
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_beyond_4_gib_is_of_lower_bits() {
        let mut plain = Plain::new();
        plain.grow(DROP_AT + UNIT);
        plain.dropped = (1 << 32) - UNIT as u64;
        for index in [HISTORY, HISTORY + UNIT - 1, HISTORY + UNIT, plain.len()] {
            let lower_bits = u32::try_from(plain.position(index) & 0xffff_ffff).unwrap();
            assert_eq!(plain.index(lower_bits), index);
        }
        assert_eq!(plain.position(HISTORY + UNIT), 1 << 32);
    }
}
