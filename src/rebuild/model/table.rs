//! Chunks and pieces, as encoders with tables of fixed size cut their input.

use super::bytes::Slots;
use super::span::{Match, Span};
use crate::rebuild::codes::MAX_LENGTH;
use crate::rebuild::plain::{HISTORY, Plain};

/// Bytes of a chunk, however the encoder was fed.
pub(in crate::rebuild) const CHUNK: usize = 65_535;
/// A shorter last chunk is not searched.
const MIN_LAST_CHUNK: usize = 128;
/// Bytes before a piece that its encoder gets as a dictionary.
const DICTIONARY: usize = 16 << 10;

/// A long match, which becomes several of at most 258 bytes.
#[derive(Clone, Copy)]
pub(super) struct LongMatch {
    pub(super) start: usize,
    pub(super) length: usize,
    pub(super) distance: usize,
}

/// How one encoder searches a chunk.
pub(super) trait Search {
    /// Empties the tables. No match may begin before `base`.
    fn restart(&mut self, base: usize);
    fn drop_before(&mut self, count: usize);
    fn begin_chunk(&mut self, start: usize, end: usize);
    /// The next match of the chunk.
    fn find(&mut self, plain: &[u8]) -> Option<LongMatch>;
    fn accept(&mut self, plain: &[u8], found: LongMatch);
    /// Skips the rest of this chunk.
    fn stop(&mut self);
}

/// A search in chunks, restarted for each piece.
pub(super) struct Table<S> {
    search: S,
    piece_size: Option<u64>,
    /// Number of the piece, from 0.
    piece: u64,
    chunk_end: usize,
    /// The long match that is being accepted, and how many of its bytes were.
    long: Option<(LongMatch, usize)>,
}

impl<S: Search> Table<S> {
    pub(super) fn new(search: S, piece_size: Option<u64>) -> Self {
        let mut table = Self { search, piece_size, piece: 0, chunk_end: 0, long: None };
        table.restart();
        table
    }

    pub(super) fn restart(&mut self) {
        self.search.restart(HISTORY);
        (self.piece, self.chunk_end, self.long) = (0, 0, None);
    }

    pub(super) fn drop_before(&mut self, count: usize) {
        self.search.drop_before(count);
        self.chunk_end = self.chunk_end.saturating_sub(count);
        if let Some((long, _)) = &mut self.long {
            long.start = long.start.saturating_sub(count);
        }
    }

    pub(super) fn span(&mut self, plain: &Plain, from: usize) -> Span {
        if from < self.chunk_end {
            return Span { limit: self.chunk_end, is_new_chunk: false };
        }
        let position = plain.position(from);
        let chunk = CHUNK as u64;
        let mut length = chunk - position % chunk;
        if let Some(size) = self.piece_size {
            let (piece, offset) = (position / size, position % size);
            length = (chunk - offset % chunk).min(size - offset);
            if piece != self.piece {
                self.piece = piece;
                self.begin_piece(plain.bytes(), from);
            }
        }
        let limit = plain.len().min(from + usize::try_from(length).unwrap_or(0));
        self.search.begin_chunk(from, limit);
        if limit - from < MIN_LAST_CHUNK {
            self.search.stop();
        }
        (self.chunk_end, self.long) = (limit, None);
        Span { limit, is_new_chunk: true }
    }

    fn begin_piece(&mut self, plain: &[u8], from: usize) {
        let base = from - DICTIONARY;
        self.search.restart(base);
        self.search.begin_chunk(base, from);
        self.long = None;
        self.run_freely(plain);
    }

    pub(super) fn find(&mut self, plain: &[u8]) -> Option<Match> {
        if self.long.is_none() {
            self.long = Some((self.search.find(plain)?, 0));
        }
        self.next_part()
    }

    /// The next part of the long match.
    fn next_part(&self) -> Option<Match> {
        let (long, done) = self.long?;
        let most = MAX_LENGTH as usize;
        // At least 3 bytes must be left for the last part.
        let length = match long.length - done {
            left if left <= most => left,
            left if left <= most + 3 => most - 3,
            _ => most,
        };
        let (length, distance) = (u32::try_from(length).ok()?, u32::try_from(long.distance).ok()?);
        Some(Match { start: long.start + done, length, distance })
    }

    pub(super) fn accept(&mut self, plain: &[u8], found: Match) {
        if self.next_part() == Some(found)
            && let Some((long, done)) = &mut self.long
        {
            *done += found.length as usize;
            if *done < long.length {
                return;
            }
            let long = *long;
            self.search.accept(plain, long);
        } else {
            let (length, distance) = (found.length as usize, found.distance as usize);
            self.search.accept(plain, LongMatch { start: found.start, length, distance });
        }
        self.long = None;
    }

    pub(super) fn stop(&mut self) {
        self.search.stop();
        self.long = None;
    }

    pub(super) fn run_freely(&mut self, plain: &[u8]) -> bool {
        let mut found = false;
        while let Some(long) = self.search.find(plain) {
            found = true;
            self.search.accept(plain, long);
        }
        found
    }
}

/// Subtracts from all positions of a table.
pub(super) fn drop_positions<const N: usize>(slots: &mut Slots<u32, N>, count: u32) {
    slots.iter_mut().for_each(|position| *position = position.saturating_sub(count));
}
