//! Level 1 of Go from 1.27 on and of klauspost's library: one table by five bytes.

use super::bytes::{Slots, common, has_four, load64, mark};
use super::chunk::Chunk;
use super::table::{LongMatch, Search, drop_positions};

const SLOTS: usize = 1 << 15;
const FARTHEST: usize = 32_768;
/// Bytes at the end of a chunk in which no match begins.
const MARGIN: usize = 11;

pub(super) struct First {
    slots: Slots<u32, SLOTS>,
    chunk: Chunk,
    /// A match that begins where the last one ended.
    candidate: Option<usize>,
}

fn hash_five(bytes: u64) -> usize {
    ((bytes << 24).wrapping_mul(889_523_592_379) >> 49) as usize
}

impl First {
    pub(super) fn new() -> Self {
        Self { slots: Slots::new(), chunk: Chunk::new(), candidate: None }
    }

    /// Exchanges the position of a slot.
    #[inline]
    fn exchange(&mut self, slot: usize, position: usize) -> u32 {
        let old = self.slots.get(slot);
        self.slots.set(slot, mark(position));
        old
    }

    fn search(&mut self, plain: &[u8]) -> Option<(usize, usize)> {
        let mut position = self.chunk.position;
        let mut bytes = load64(plain, position);
        loop {
            let mut next = position + 2 + ((position - self.chunk.emitted) >> 5);
            self.chunk.next = next;
            if next > self.chunk.limit {
                return None;
            }
            let ahead = load64(plain, next);
            let candidate = self.exchange(hash_five(bytes), position);
            let slot = hash_five(ahead);
            if has_four(plain, position, bytes, candidate, FARTHEST - 1) {
                self.slots.set(slot, mark(next));
                return Some((position, candidate as usize));
            }
            (bytes, position) = (ahead, next);
            next += 1;
            self.chunk.next = next;
            let candidate = self.exchange(slot, position);
            if has_four(plain, position, bytes, candidate, FARTHEST - 1) {
                // Under the hash of the position before: so do the encoders.
                self.slots.set(slot, mark(next));
                return Some((position, candidate as usize));
            }
            (bytes, position) = (ahead >> 8, next);
        }
    }
}

impl Search for First {
    fn restart(&mut self, base: usize) {
        self.slots.clear();
        self.chunk.restart(base);
    }

    fn drop_before(&mut self, count: usize) {
        drop_positions(&mut self.slots, mark(count));
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
        let at_once = self.candidate.take().map(|candidate| (self.chunk.position, candidate));
        let Some((start, candidate)) = at_once.or_else(|| self.search(plain)) else {
            self.chunk.is_done = true;
            return None;
        };
        let length = common(plain, start, candidate, self.chunk.end - start);
        Some(self.chunk.extended_back(plain, (start, candidate, length)))
    }

    fn accept(&mut self, plain: &[u8], found: LongMatch) {
        self.candidate = None;
        let goes_on = self.chunk.accept(found);
        let position = self.chunk.position;
        if !goes_on {
            if position + found.length + 8 < self.chunk.end {
                self.slots.set(hash_five(load64(plain, position)), mark(position));
            }
            return;
        }
        self.slots.set(hash_five(load64(plain, position - 2)), mark(position - 2));
        let bytes = load64(plain, position);
        let candidate = self.exchange(hash_five(bytes), position);
        if has_four(plain, position, bytes, candidate, FARTHEST) {
            self.candidate = Some(candidate as usize);
        } else {
            self.chunk.position += 1;
        }
    }

    fn stop(&mut self) {
        self.chunk.is_done = true;
    }
}
