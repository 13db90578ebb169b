//! Where a search with tables is in its chunk.

use super::table::LongMatch;

/// The positions of a search.
pub(super) struct Chunk {
    /// No match begins at or refers to bytes before it.
    pub(super) base: usize,
    pub(super) end: usize,
    /// First position at which no search begins.
    pub(super) limit: usize,
    pub(super) position: usize,
    /// Where the search goes on if nothing is found at the position.
    pub(super) next: usize,
    /// End of the last match.
    pub(super) emitted: usize,
    pub(super) is_done: bool,
}

impl Chunk {
    pub(super) fn new() -> Self {
        Self { base: 0, end: 0, limit: 0, position: 0, next: 0, emitted: 0, is_done: true }
    }

    /// Waits for the first chunk after `base`.
    pub(super) fn restart(&mut self, base: usize) {
        (self.base, self.is_done) = (base, true);
    }

    /// Begins a chunk. In its last `margin` bytes no match begins.
    pub(super) fn begin(&mut self, start: usize, end: usize, margin: usize) {
        (self.end, self.limit) = (end, end.saturating_sub(margin));
        (self.position, self.next, self.emitted) = (start, start, start);
        self.is_done = end - start < margin + 2;
    }

    /// Subtracts `count` from all positions.
    pub(super) fn drop_before(&mut self, count: usize) {
        for index in [
            &mut self.base,
            &mut self.end,
            &mut self.limit,
            &mut self.position,
            &mut self.next,
            &mut self.emitted,
        ] {
            *index = index.saturating_sub(count);
        }
    }

    /// A match that also has the equal bytes before it, up to the end of the last one.
    pub(super) fn extended_back(
        &self,
        plain: &[u8],
        (mut start, mut candidate, mut length): (usize, usize, usize),
    ) -> LongMatch {
        let distance = start - candidate;
        while candidate > self.base
            && start > self.emitted
            && plain.get(candidate - 1) == plain.get(start - 1)
        {
            (start, candidate, length) = (start - 1, candidate - 1, length + 1);
        }
        LongMatch { start, length, distance }
    }

    /// Goes on after a match; returns whether the chunk has further positions to search.
    pub(super) fn accept(&mut self, found: LongMatch) -> bool {
        self.emitted = found.start + found.length;
        self.position = self.emitted.max(self.next + 1);
        self.is_done = self.position >= self.limit;
        !self.is_done
    }
}
