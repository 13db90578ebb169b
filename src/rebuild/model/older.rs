//! Level 1 of Go up to 1.26: one table by four bytes, which holds these bytes too.

use super::bytes::{Slots, common, is_within, load32, mark};
use super::table::{LongMatch, Search};

const SLOTS: usize = 1 << 14;
const FARTHEST: usize = 32_768;
const MAX_LENGTH: usize = 258;
/// Bytes at the end of a chunk in which no match begins.
const MARGIN: usize = 15;

pub(super) struct Older {
    /// The bytes at a position, and the position.
    slots: Slots<(u32, u32), SLOTS>,
    end: usize,
    /// First position at which no search begins.
    limit: usize,
    position: usize,
    /// A match that begins where the last one ended.
    candidate: Option<usize>,
    is_done: bool,
}

fn hash(bytes: u32) -> usize {
    (bytes.wrapping_mul(0x1e35_a7bd) >> 18) as usize
}

impl Older {
    pub(super) fn new() -> Self {
        let slots = Slots::new();
        Self { slots, end: 0, limit: 0, position: 0, candidate: None, is_done: true }
    }

    /// Enters a position; returns the one that was there before, if the same bytes are there and it is near.
    #[inline]
    fn exchange(&mut self, bytes: u32, position: usize) -> Option<usize> {
        let slot = hash(bytes);
        let (old_bytes, old) = self.slots.get(slot);
        self.slots.set(slot, (bytes, mark(position)));
        (old_bytes == bytes && is_within(position, old, FARTHEST)).then_some(old as usize)
    }

    fn search(&mut self, plain: &[u8]) -> Option<usize> {
        let (mut next, mut skip) = (self.position, 32);
        loop {
            let position = next;
            let step = skip >> 5;
            next = position + step;
            skip += step;
            if next > self.limit {
                return None;
            }
            if let Some(candidate) = self.exchange(load32(plain, position), position) {
                self.position = position;
                return Some(candidate);
            }
        }
    }
}

impl Search for Older {
    fn restart(&mut self, _: usize) {
        self.slots.clear();
        self.is_done = true;
    }

    fn drop_before(&mut self, count: usize) {
        for (_, position) in self.slots.iter_mut() {
            *position = position.saturating_sub(mark(count));
        }
        let indexes = [&mut self.end, &mut self.limit, &mut self.position];
        for index in indexes.into_iter().chain(&mut self.candidate) {
            *index = index.saturating_sub(count);
        }
    }

    fn begin_chunk(&mut self, start: usize, end: usize) {
        (self.end, self.limit) = (end, end.saturating_sub(MARGIN));
        (self.position, self.candidate) = (start, None);
        self.is_done = end - start < MARGIN + 2;
    }

    fn find(&mut self, plain: &[u8]) -> Option<LongMatch> {
        if self.is_done {
            return None;
        }
        let Some(candidate) = self.candidate.take().or_else(|| self.search(plain)) else {
            self.is_done = true;
            return None;
        };
        let start = self.position;
        let length = common(plain, start, candidate, MAX_LENGTH.min(self.end - start));
        Some(LongMatch { start, length, distance: start - candidate })
    }

    fn accept(&mut self, plain: &[u8], found: LongMatch) {
        let position = found.start + found.length;
        (self.position, self.candidate) = (position, None);
        self.is_done = position >= self.limit;
        if !self.is_done {
            self.exchange(load32(plain, position - 1), position - 1);
            self.candidate = self.exchange(load32(plain, position), position);
            self.position += usize::from(self.candidate.is_none());
        }
    }

    fn stop(&mut self) {
        self.is_done = true;
    }
}
