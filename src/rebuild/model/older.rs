//! Level 1 of Go up to 1.26: one table by four bytes, which holds these bytes too.

use super::bytes::{Slots, common, is_within, load32, mark};
use super::chunk::Chunk;
use super::table::{LongMatch, Search};

const SLOTS: usize = 1 << 14;
const FARTHEST: usize = 32_768;
const MAX_LENGTH: usize = 258;
/// Bytes at the end of a chunk in which no match begins.
const MARGIN: usize = 15;

pub(super) struct Older {
    /// The bytes at a position, and the position.
    slots: Slots<(u32, u32), SLOTS>,
    chunk: Chunk,
    /// A match that begins where the last one ended.
    candidate: Option<usize>,
}

fn hash(bytes: u32) -> usize {
    (bytes.wrapping_mul(0x1e35_a7bd) >> 18) as usize
}

impl Older {
    pub(super) fn new() -> Self {
        Self { slots: Slots::new(), chunk: Chunk::new(), candidate: None }
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
        let (mut next, mut skip) = (self.chunk.position, 32);
        loop {
            let position = next;
            let step = skip >> 5;
            next = position + step;
            skip += step;
            if next > self.chunk.limit {
                return None;
            }
            if let Some(candidate) = self.exchange(load32(plain, position), position) {
                self.chunk.position = position;
                return Some(candidate);
            }
        }
    }
}

impl Search for Older {
    fn restart(&mut self, base: usize) {
        self.slots.clear();
        self.chunk.restart(base);
    }

    fn drop_before(&mut self, count: usize) {
        for (_, position) in self.slots.iter_mut() {
            *position = position.saturating_sub(mark(count));
        }
        self.chunk.drop_before(count);
        self.candidate = self.candidate.map(|index| index.saturating_sub(count));
    }

    fn begin_chunk(&mut self, start: usize, end: usize) {
        self.chunk.begin(start, end, MARGIN);
        self.candidate = None;
    }

    fn find(&mut self, plain: &[u8]) -> Option<LongMatch> {
        if self.chunk.is_done {
            return None;
        }
        let Some(candidate) = self.candidate.take().or_else(|| self.search(plain)) else {
            self.chunk.is_done = true;
            return None;
        };
        let start = self.chunk.position;
        let length = common(plain, start, candidate, MAX_LENGTH.min(self.chunk.end - start));
        Some(LongMatch { start, length, distance: start - candidate })
    }

    fn accept(&mut self, plain: &[u8], found: LongMatch) {
        let position = found.start + found.length;
        (self.chunk.position, self.candidate) = (position, None);
        self.chunk.is_done = position >= self.chunk.limit;
        if !self.chunk.is_done {
            self.exchange(load32(plain, position - 1), position - 1);
            self.candidate = self.exchange(load32(plain, position), position);
            self.chunk.position += usize::from(self.candidate.is_none());
        }
    }

    fn stop(&mut self) {
        self.chunk.is_done = true;
    }
}
