//! Encoders that keep all positions in chains by hash: Go up to 1.26 (G), and zlib and its relatives (Z).

use super::bytes::{Slots, common, load32, mark};
use super::span::{Match, SPAN, Span};
use crate::rebuild::codes::{MAX_DISTANCE, MAX_LENGTH};
use crate::rebuild::encoder::Family;
use crate::rebuild::plain::{HISTORY, Plain};

const WINDOW: usize = 32 << 10;
/// Bytes that encoders need ahead of a position.
const MIN_AHEAD: usize = 262;
/// A shortest match must not be farther.
const FAR: usize = 4096;
const GO_HASHES: usize = 1 << 17;

/// How hard a level searches.
#[derive(Clone, Copy)]
struct Effort {
    /// From this length on a quarter of the chain is enough.
    good: usize,
    /// From this length on the next position is not searched. For greedy levels: up to this length, positions inside a
    /// match are entered.
    lazy: usize,
    /// From this length on a search ends.
    nice: usize,
    chain: usize,
    is_greedy: bool,
}

impl Effort {
    fn new(family: Family, level: u8) -> Option<Self> {
        let (good, lazy, nice, chain) = match level {
            1 => (4, 4, 8, 4),
            2 => (4, 5, 16, 8),
            3 => (4, 6, 32, 32),
            4 => (4, 4, 16, 16),
            5 => (8, 16, 32, 32),
            6 => (8, 16, 128, 128),
            7 => (8, 32, 128, 256),
            8 => (32, 128, 258, 1024),
            9 => (32, 258, 258, 4096),
            _ => return None,
        };
        let is_known = family == Family::Z || (family == Family::G && level >= 4);
        is_known.then_some(Self { good, lazy, nice, chain, is_greedy: level < 4 })
    }
}

/// A length, 0 for no match, and a distance.
type Best = (usize, usize);

pub(super) struct Chain {
    is_go: bool,
    effort: Effort,
    piece: Option<u64>,
    heads: Slots<u32, GO_HASHES>,
    previous: Slots<u32, WINDOW>,
    /// The next position to enter.
    entered: usize,
    /// The next position to search.
    position: usize,
    /// The match at the position before, which a longer one can still replace.
    pending: Best,
    /// Where the buffer of Go begins, which holds twice the window.
    base: usize,
    /// First byte of the member.
    first: usize,
    /// Where the input ends as far as the encoder knew.
    end: usize,
}

impl Chain {
    pub(super) fn new(family: Family, level: u8, piece: Option<u64>) -> Option<Self> {
        let mut chain = Self {
            is_go: family == Family::G,
            effort: Effort::new(family, level)?,
            piece,
            heads: Slots::new(),
            previous: Slots::new(),
            entered: 0,
            position: 0,
            pending: (0, 0),
            base: 0,
            first: 0,
            end: 0,
        };
        chain.restart();
        Some(chain)
    }

    pub(super) fn restart(&mut self) {
        self.heads.clear();
        self.previous.clear();
        self.pending = (0, 0);
        (self.entered, self.position, self.base, self.first) = (HISTORY, HISTORY, HISTORY, HISTORY);
    }

    pub(super) fn drop_before(&mut self, count: usize) {
        let less = mark(count);
        self.heads.iter_mut().for_each(|at| *at = at.saturating_sub(less));
        self.previous.iter_mut().for_each(|at| *at = at.saturating_sub(less));
        for index in
            [&mut self.entered, &mut self.position, &mut self.base, &mut self.first, &mut self.end]
        {
            *index = index.saturating_sub(count);
        }
    }

    pub(super) fn span(&mut self, plain: &Plain, from: usize) -> Span {
        self.end = plain.len();
        if let Some(size) = self.piece {
            let left = size - plain.position(from) % size;
            self.end = self.end.min(usize::try_from(left).map_or(usize::MAX, |left| from + left));
        }
        Span { limit: self.end.min(from + SPAN), is_new_chunk: false }
    }

    pub(super) fn find(&mut self, plain: &[u8], limit: usize) -> Option<Match> {
        loop {
            let (length, distance) = self.pending;
            let start = self.position - usize::from(length > 0);
            if start >= limit {
                return None;
            }
            let mut best = (0, 0);
            if self.position < self.end {
                self.move_window(plain.len());
                self.enter(plain, self.position);
                if self.effort.is_greedy || length < self.effort.lazy {
                    best = self.search(plain, length);
                }
            }
            let is_decided = length > 0 && best.0 <= length;
            if is_decided || (self.effort.is_greedy && best.0 > 0) {
                let (length, distance) = if is_decided { (length, distance) } else { best };
                return Some(Match { start, length: mark(length), distance: mark(distance) });
            }
            self.pending = best;
            self.position += 1;
        }
    }

    pub(super) fn accept(&mut self, found: Match) {
        let end = found.end();
        // Long matches of greedy levels are not entered.
        if self.effort.is_greedy && found.length as usize > self.effort.lazy {
            self.entered = self.entered.max(end);
        }
        self.skip(end);
    }

    pub(super) fn skip(&mut self, to: usize) {
        (self.position, self.pending) = (to, (0, 0));
    }

    /// Go moves the upper half of its buffer down when it is used up and more input follows.
    fn move_window(&mut self, length: usize) {
        let used_up = 2 * WINDOW - MIN_AHEAD;
        while self.is_go && self.position > self.base + used_up && self.base + 2 * WINDOW < length {
            self.base += WINDOW;
        }
    }

    #[inline]
    fn hash(&self, plain: &[u8], at: usize) -> usize {
        let bytes = load32(plain, at);
        if self.is_go {
            return (bytes.swap_bytes().wrapping_mul(0x1e35_a7bd) >> 15) as usize;
        }
        let [a, b, c, _] = bytes.to_le_bytes().map(usize::from);
        (a << 10 ^ b << 5 ^ c) & 0x7fff
    }

    /// Enters all positions up to this one, except those with too few bytes after them.
    fn enter(&mut self, plain: &[u8], to: usize) {
        let hashed = if self.is_go { 4 } else { 3 };
        while self.entered <= to && self.entered + hashed <= self.end {
            let hash = self.hash(plain, self.entered);
            self.previous.set(self.entered, self.heads.get(hash));
            self.heads.set(hash, mark(self.entered));
            self.entered += 1;
        }
    }

    /// The best match at the position that is longer than the one at the position before.
    fn search(&self, plain: &[u8], before: usize) -> Best {
        let (position, effort) = (self.position, &self.effort);
        let ahead = self.end - position;
        if ahead < if self.is_go { 4 } else { 3 } {
            return (0, 0);
        }
        let most = ahead.min(MAX_LENGTH as usize);
        let nice = effort.nice.min(ahead);
        let mut longest = if self.is_go { 3 } else { before.max(2) };
        let mut left =
            if !self.is_go && before >= effort.good { effort.chain / 4 } else { effort.chain };
        let (mut oldest, later) = self.oldest();
        // Not the head of the chain: after a wrong prediction, later positions are entered too.
        let mut candidate = self.previous.get(position) as usize;
        let mut found = (0, 0);
        // After a wrong prediction a slot can hold a position that comes later.
        while (oldest..position).contains(&candidate) && left > 0 {
            // The byte that a longer match needs is rarely there.
            if plain.get(candidate + longest) == plain.get(position + longest) {
                let length = common(plain, position, candidate, most);
                let distance = position - candidate;
                if length > longest && !(self.is_go && length == 4 && distance > FAR) {
                    (longest, found) = (length, (length, distance));
                    if length >= nice {
                        break;
                    }
                }
            }
            // The slot of a candidate that is as far as the window holds the position itself.
            if position - candidate >= WINDOW {
                break;
            }
            oldest = later;
            candidate = self.previous.get(candidate) as usize;
            left -= 1;
        }
        let is_too_far = found.0 == 3 && found.1 > FAR && !effort.is_greedy;
        if is_too_far { (0, 0) } else { found }
    }

    /// The oldest position that the first candidate may be at, and that for later ones.
    fn oldest(&self) -> (usize, usize) {
        if self.is_go {
            let oldest = self.base.max(self.position - WINDOW);
            return (oldest, oldest);
        }
        // The first byte of the member is never matched: its position means "none" to zlib.
        let farthest = self.position - (WINDOW - MIN_AHEAD);
        (farthest.max(self.first + 1), (farthest + 1).max(self.first + 1))
    }
}

const _: () = assert!(WINDOW == MAX_DISTANCE as usize);
