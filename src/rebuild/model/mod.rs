//! Models of the parts of compressors that look for matches. A model predicts the next match from the plain bytes and the
//! matches before, and is then given the one that the encoder wrote.

mod bytes;
mod chain;
mod chunk;
mod first;
mod long;
mod older;
mod span;
mod table;

use self::chain::Chain;
use self::first::First;
use self::long::Long;
use self::older::Older;
use self::span::SPAN;
pub(super) use self::span::{MIN_PIECE, Match, Span};
pub(super) use self::table::CHUNK;
use self::table::Table;
use super::encoder::{Encoder, Family};
use super::plain::Plain;

/// A model and its state.
pub(super) struct Model(Kind);

enum Kind {
    /// Predicts nothing.
    Nothing,
    Older(Table<Older>),
    First(Table<First>),
    Fifth(Table<Long<false>>),
    Sixth(Table<Long<true>>),
    Chain(Chain),
}

macro_rules! with_table {
    ($self:ident, $table:ident => $result:expr, $chain:ident => $other:expr, $nothing:expr) => {
        match &mut $self.0 {
            Kind::Nothing => $nothing,
            Kind::Older($table) => $result,
            Kind::First($table) => $result,
            Kind::Fifth($table) => $result,
            Kind::Sixth($table) => $result,
            Kind::Chain($chain) => $other,
        }
    };
}

impl Model {
    /// Returns the model of an encoder; `None` if it has no model, or its pieces are shorter than the window.
    pub(super) fn new(encoder: Encoder) -> Option<Self> {
        let piece = encoder.piece;
        if piece.is_some_and(|size| size < MIN_PIECE) {
            return None;
        }
        Some(Self(match (encoder.family, encoder.level) {
            (Family::Unknown, _) => Kind::Nothing,
            (Family::A, 1) => Kind::Older(Table::new(Older::new(), piece)),
            (Family::B, 1) => Kind::First(Table::new(First::new(), piece)),
            (Family::B, 5) => Kind::Fifth(Table::new(Long::new(), piece)),
            (Family::B, 6) => Kind::Sixth(Table::new(Long::new(), piece)),
            (family, level) => Kind::Chain(Chain::new(family, level, piece)?),
        }))
    }

    /// Whether the tokens that an encoder replaced by a stored block are unknown to it.
    pub(super) fn stops_at_stored_blocks(&self) -> bool {
        matches!(self.0, Kind::Chain(_))
    }

    /// Whether its predictions in a piece depend on nothing but the bytes of the piece, and 16 KiB before.
    pub(super) fn has_independent_pieces(&self) -> bool {
        !matches!(self.0, Kind::Nothing | Kind::Chain(_))
    }

    /// Begins the next member.
    pub(super) fn restart(&mut self) {
        with_table!(self, table => table.restart(), chain => chain.restart(), {});
    }

    /// Subtracts `count` from all indexes.
    pub(super) fn drop_before(&mut self, count: usize) {
        with_table!(self, table => table.drop_before(count), chain => chain.drop_before(count), {});
    }

    /// Begins to predict from an index on.
    pub(super) fn span(&mut self, plain: &Plain, from: usize) -> Span {
        with_table!(self, table => table.span(plain, from), chain => chain.span(plain, from), {
            let limit = plain.len().min(from + SPAN);
            Span { limit, is_new_chunk: false }
        })
    }

    /// Predicts the next match that begins in the span.
    pub(super) fn find(&mut self, plain: &Plain, limit: usize) -> Option<Match> {
        let bytes = plain.bytes();
        with_table!(self, table => table.find(bytes), chain => chain.find(bytes, limit), None)
    }

    /// Takes the match that the encoder wrote.
    pub(super) fn accept(&mut self, plain: &Plain, found: Match) {
        let bytes = plain.bytes();
        with_table!(self, table => table.accept(bytes, found), chain => chain.accept(found), {});
    }

    /// Goes on at `to`: the encoder wrote no match before it, though one may have been predicted.
    pub(super) fn skip(&mut self, to: usize) {
        with_table!(self, table => table.stop(), chain => chain.skip(to), {});
    }

    /// Takes its own predictions up to the end of the chunk; returns whether there were any.
    pub(super) fn run_freely(&mut self, plain: &Plain) -> bool {
        let bytes = plain.bytes();
        with_table!(self, table => table.run_freely(bytes), _chain => false, false)
    }
}
