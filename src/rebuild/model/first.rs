//! Level 1 of Go from 1.27 on and of klauspost's library: one table by five bytes.

use super::bytes::{Slots, common, is_within, load32, load64, mark};
use super::table::{LongMatch, Search, drop_positions};

const SLOTS: usize = 1 << 15;
const FARTHEST: usize = 32_768;
/// Bytes at the end of a chunk in which no match begins.
const MARGIN: usize = 11;

pub(super) struct First {
    slots: Slots<u32, SLOTS>,
    base: usize,
    end: usize,
    /// First position at which no search begins.
    limit: usize,
    position: usize,
    next: usize,
    /// End of the last match.
    emitted: usize,
    /// A match that begins where the last one ended.
    candidate: Option<usize>,
    is_done: bool,
}

fn hash_five(bytes: u64) -> usize {
    ((bytes << 24).wrapping_mul(889_523_592_379) >> 49) as usize
}

impl First {
    pub(super) fn new() -> Self {
        Self {
            slots: Slots::new(),
            base: 0,
            end: 0,
            limit: 0,
            position: 0,
            next: 0,
            emitted: 0,
            candidate: None,
            is_done: true,
        }
    }

    /// Whether the candidate may be at most so far away, and begins with the lower four bytes.
    #[inline]
    fn fits(plain: &[u8], position: usize, bytes: u64, candidate: u32, farthest: usize) -> bool {
        is_within(position, candidate, farthest)
            && load32(plain, candidate as usize) == (bytes & 0xffff_ffff) as u32
    }

    /// Exchanges the position of a slot.
    #[inline]
    fn exchange(&mut self, slot: usize, position: usize) -> u32 {
        let old = self.slots.get(slot);
        self.slots.set(slot, mark(position));
        old
    }

    fn search(&mut self, plain: &[u8]) -> Option<(usize, usize)> {
        let mut position = self.position;
        let mut bytes = load64(plain, position);
        loop {
            self.next = position + 2 + ((position - self.emitted) >> 5);
            if self.next > self.limit {
                return None;
            }
            let ahead = load64(plain, self.next);
            let candidate = self.exchange(hash_five(bytes), position);
            let slot = hash_five(ahead);
            if Self::fits(plain, position, bytes, candidate, FARTHEST - 1) {
                self.slots.set(slot, mark(self.next));
                return Some((position, candidate as usize));
            }
            (bytes, position) = (ahead, self.next);
            self.next += 1;
            let candidate = self.exchange(slot, position);
            if Self::fits(plain, position, bytes, candidate, FARTHEST - 1) {
                // Under the hash of the position before: so do the encoders.
                self.slots.set(slot, mark(self.next));
                return Some((position, candidate as usize));
            }
            (bytes, position) = (ahead >> 8, self.next);
        }
    }
}

impl Search for First {
    fn restart(&mut self, base: usize) {
        self.slots.clear();
        (self.base, self.is_done) = (base, true);
    }

    fn drop_before(&mut self, count: usize) {
        drop_positions(&mut self.slots, mark(count));
        let indexes = [
            &mut self.base,
            &mut self.end,
            &mut self.limit,
            &mut self.position,
            &mut self.next,
            &mut self.emitted,
        ];
        for index in indexes.into_iter().chain(&mut self.candidate) {
            *index = index.saturating_sub(count);
        }
    }

    fn begin_chunk(&mut self, start: usize, end: usize) {
        (self.end, self.limit) = (end, end.saturating_sub(MARGIN));
        (self.position, self.next, self.emitted) = (start, start, start);
        self.candidate = None;
        self.is_done = end - start < MARGIN + 2;
    }

    fn find(&mut self, plain: &[u8]) -> Option<LongMatch> {
        if self.is_done {
            return None;
        }
        let at_once = self.candidate.take().map(|candidate| (self.position, candidate));
        let Some((mut start, mut candidate)) = at_once.or_else(|| self.search(plain)) else {
            self.is_done = true;
            return None;
        };
        let mut length = common(plain, start, candidate, self.end - start);
        let distance = start - candidate;
        while candidate > self.base
            && start > self.emitted
            && plain.get(candidate - 1) == plain.get(start - 1)
        {
            (start, candidate, length) = (start - 1, candidate - 1, length + 1);
        }
        Some(LongMatch { start, length, distance })
    }

    fn accept(&mut self, plain: &[u8], found: LongMatch) {
        self.emitted = found.start + found.length;
        let position = self.emitted.max(self.next + 1);
        (self.position, self.candidate) = (position, None);
        if position >= self.limit {
            if position + found.length + 8 < self.end {
                self.slots.set(hash_five(load64(plain, position)), mark(position));
            }
            self.is_done = true;
            return;
        }
        self.slots.set(hash_five(load64(plain, position - 2)), mark(position - 2));
        let bytes = load64(plain, position);
        let candidate = self.exchange(hash_five(bytes), position);
        if Self::fits(plain, position, bytes, candidate, FARTHEST) {
            self.candidate = Some(candidate as usize);
        } else {
            self.position += 1;
        }
    }

    fn stop(&mut self) {
        self.is_done = true;
    }
}
