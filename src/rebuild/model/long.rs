//! Levels 5 and 6 of Go from 1.27 on and of klauspost's library, which pgzip uses: a table by four bytes, and one by
//! seven with two positions per slot.

use super::bytes::{Slots, common, has_four, is_within, load32, load64, mark};
use super::chunk::Chunk;
use super::table::{LongMatch, Search, drop_positions};

const SLOTS: usize = 1 << 15;
/// Distances must be below.
const NEAR: usize = 32_768;
/// Bytes at the end of a chunk in which no match begins.
const MARGIN: usize = 11;
const MAX_LENGTH: usize = 258;
/// Where a match is sought that ends as the first one does.
const SKIPPED: usize = 2;
/// From this length on, level 5 does not look for a better match by the end.
const LONG_ENOUGH: usize = 30;

/// The search of level 6 if `SIX`, else of level 5.
pub(super) struct Long<const SIX: bool> {
    by_four: Slots<u32, SLOTS>,
    /// The last two positions by hash, the latest one first.
    by_seven: Slots<[u32; 2], SLOTS>,
    chunk: Chunk,
    last_distance: usize,
}

/// Where a search stopped: position, candidate, and the length if it is known.
type Candidate = (usize, usize, usize);

fn hash_four(bytes: u64) -> usize {
    ((bytes & 0xffff_ffff).wrapping_mul(2_654_435_761) as u32 >> 17) as usize
}

fn hash_seven(bytes: u64) -> usize {
    ((bytes << 8).wrapping_mul(58_295_818_150_454_627) >> 49) as usize
}

impl<const SIX: bool> Long<SIX> {
    pub(super) fn new() -> Self {
        Self {
            by_four: Slots::new(),
            by_seven: Slots::new(),
            chunk: Chunk::new(),
            last_distance: 1,
        }
    }

    #[inline]
    fn enter_short(&mut self, hash: usize, position: usize) {
        self.by_four.set(hash, mark(position));
    }

    #[inline]
    fn enter_long(&mut self, hash: usize, position: usize) {
        let [current, _] = self.by_seven.get(hash);
        self.by_seven.set(hash, [mark(position), current]);
    }

    #[inline]
    fn enter(&mut self, bytes: u64, position: usize) {
        self.enter_short(hash_four(bytes), position);
        self.enter_long(hash_seven(bytes), position);
    }

    #[inline]
    fn length(&self, plain: &[u8], position: usize, candidate: usize, most: usize) -> usize {
        common(plain, position, candidate, most.min(self.chunk.end - position))
    }

    /// Whether the candidate is near and begins with the lower four bytes.
    #[inline]
    fn fits(plain: &[u8], position: usize, bytes: u64, candidate: u32) -> bool {
        has_four(plain, position, bytes, candidate, NEAR - 1)
    }

    fn search(&mut self, plain: &[u8]) -> Option<Candidate> {
        let mut bytes = load64(plain, self.chunk.position);
        self.chunk.next = self.chunk.position;
        loop {
            let position = self.chunk.next;
            self.chunk.next =
                position + 1 + ((position - self.chunk.emitted) >> if SIX { 7 } else { 6 });
            if self.chunk.next > self.chunk.limit {
                return None;
            }
            let (short, long) = (hash_four(bytes), hash_seven(bytes));
            let next_bytes = load64(plain, self.chunk.next);
            let by_four = self.by_four.get(short);
            let by_seven = self.by_seven.get(long);
            self.enter_short(short, position);
            self.by_seven.set(long, [mark(position), by_seven[0]]);
            if let Some(found) = self.among_long(plain, position, bytes, by_seven) {
                self.enter(next_bytes, self.chunk.next);
                return Some(found);
            }
            if Self::fits(plain, position, bytes, by_four) {
                return Some(self.among_next(plain, position, bytes, by_four as usize));
            }
            bytes = next_bytes;
        }
    }

    #[inline]
    fn among_long(
        &self,
        plain: &[u8],
        position: usize,
        bytes: u64,
        [current, previous]: [u32; 2],
    ) -> Option<Candidate> {
        if !is_within(position, current, NEAR - 1) {
            return None;
        }
        let previous_fits = Self::fits(plain, position, bytes, previous);
        let (current_at, previous_at) = (current as usize, previous as usize);
        match (Self::fits(plain, position, bytes, current), previous_fits) {
            (true, true) => {
                let length = self.length(plain, position, current_at, MAX_LENGTH);
                let other = self.length(plain, position, previous_at, MAX_LENGTH);
                let is_longer = other > length;
                Some((
                    position,
                    if is_longer { previous_at } else { current_at },
                    length.max(other),
                ))
            }
            (true, false) => Some((position, current_at, 0)),
            (false, true) => Some((position, previous_at, 0)),
            (false, false) => None,
        }
    }

    /// The short table has a match: maybe one that begins a little later is longer.
    fn among_next(&mut self, plain: &[u8], position: usize, bytes: u64, short: usize) -> Candidate {
        let mut best = (position, short, self.length(plain, position, short, MAX_LENGTH));
        let next = self.chunk.next;
        let next_bytes = load64(plain, next);
        let [current, previous] = self.by_seven.get(hash_seven(next_bytes));
        self.enter(next_bytes, next);
        if SIX
            && let Some(repeated) = (position + 1).checked_sub(self.last_distance)
            && load32(plain, repeated) == (bytes >> 8 & 0xffff_ffff) as u32
        {
            let length = self.length(plain, position + 1, repeated, MAX_LENGTH);
            if length > best.2 {
                return (position + 1, repeated, length);
            }
        }
        if !is_within(next, current, NEAR - 1) {
            return best;
        }
        for candidate in [current, previous] {
            if Self::fits(plain, next, next_bytes, candidate) {
                let length = self.length(plain, next, candidate as usize, MAX_LENGTH);
                if length > best.2 {
                    best = (next, candidate as usize, length);
                    if !SIX {
                        return best;
                    }
                }
            }
        }
        best
    }

    /// Looks for a longer match by the bytes after the end of the first one.
    fn by_the_end(&self, plain: &[u8], found: Candidate) -> Candidate {
        let (position, _, length) = found;
        let end = position + length;
        let mut best = found;
        if end >= self.chunk.limit || (!SIX && length >= LONG_ENOUGH) {
            return best;
        }
        let from = position + SKIPPED;
        for entry in self.by_seven.get(hash_seven(load64(plain, end))) {
            // Both are sums, so that nothing is below zero: distance = from - (entry - length + SKIPPED).
            let (ahead, behind) = (from + best.2, entry as usize + SKIPPED);
            if ahead >= behind + NEAR {
                break;
            }
            if ahead > behind && behind >= best.2 + self.chunk.base {
                let candidate = behind - best.2;
                let length = self.length(plain, from, candidate, usize::MAX);
                if length > best.2 {
                    best = (from, candidate, length);
                }
            }
            if !SIX {
                break;
            }
        }
        best
    }

    /// Enters positions inside a match that was found.
    fn enter_inside(&mut self, plain: &[u8], length: usize) {
        let position = self.chunk.position;
        if SIX {
            let mut at = self.chunk.next + 1;
            while at + 1 < position {
                let bytes = load64(plain, at);
                self.enter(bytes, at);
                self.enter_long(hash_seven(bytes >> 8), at + 1);
                at += 2;
            }
            return;
        }
        let mut at = (position + 1).saturating_sub(length);
        if at + 1 < position {
            let bytes = load64(plain, at);
            self.enter(bytes, at);
            self.enter_long(hash_seven(bytes >> 8), at + 1);
            self.enter_short(hash_four(bytes >> 16), at + 2);
            at += 4;
            while at + 1 < position {
                let bytes = load64(plain, at);
                self.enter_long(hash_seven(bytes), at);
                self.enter_short(hash_four(bytes >> 8), at + 1);
                at += 3;
            }
        }
        self.enter(load64(plain, position - 1), position - 1);
    }
}

impl<const SIX: bool> Search for Long<SIX> {
    fn restart(&mut self, base: usize) {
        self.by_four.clear();
        self.by_seven.clear();
        self.chunk.restart(base);
    }

    fn drop_before(&mut self, count: usize) {
        drop_positions(&mut self.by_four, mark(count));
        for slots in self.by_seven.iter_mut() {
            *slots = slots.map(|position| position.saturating_sub(mark(count)));
        }
        self.chunk.drop_before(count);
    }

    fn begin_chunk(&mut self, start: usize, end: usize) {
        self.chunk.begin(start, end, MARGIN);
        self.last_distance = 1;
    }

    fn find(&mut self, plain: &[u8]) -> Option<LongMatch> {
        if self.chunk.is_done {
            return None;
        }
        let Some((position, candidate, mut length)) = self.search(plain) else {
            self.chunk.is_done = true;
            return None;
        };
        if length == 0 {
            length = self.length(plain, position, candidate, usize::MAX);
        } else if length == MAX_LENGTH {
            length += self.length(plain, position + length, candidate + length, usize::MAX);
        }
        let found = self.by_the_end(plain, (position, candidate, length));
        Some(self.chunk.extended_back(plain, found))
    }

    fn accept(&mut self, plain: &[u8], found: LongMatch) {
        self.last_distance = found.distance;
        if self.chunk.accept(found) {
            self.enter_inside(plain, found.length);
        } else if SIX {
            let mut at = self.chunk.next + 1;
            while at + 8 < self.chunk.end {
                self.enter(load64(plain, at), at);
                at += 2;
            }
        }
    }

    fn stop(&mut self) {
        self.chunk.is_done = true;
    }
}
