//! A model over the plain bytes of one member at a time: what both sides of a record advance in the same way.

use flate2::Crc;

use super::encoder::Encoder;
use super::model::{Match, Model, Span};
use super::plain::{HISTORY, Plain, REACH, READ_AHEAD};
use crate::error::Result;

/// Predicts the matches of members, and computes their trailers.
pub(super) struct Predictor {
    pub(super) plain: Plain,
    model: Model,
    crc: Crc,
}

impl Predictor {
    /// Creates a predictor; `None` if the encoder has no model.
    pub(super) fn new(encoder: Encoder) -> Option<Self> {
        let model = Model::new(encoder)?;
        Some(Self { plain: Plain::new(), model, crc: Crc::new() })
    }

    /// Begins the next member; returns the index of its first byte.
    pub(super) fn begin_member(&mut self) -> usize {
        if self.plain.restart() {
            self.model.restart();
        }
        self.crc.reset();
        HISTORY
    }

    /// Makes everything available that the model looks at from an index on: drops what is behind, and lets `add` add bytes up
    /// to the length that is its argument. Returns where the byte at the index is now.
    pub(super) fn advance(
        &mut self,
        mut from: usize,
        add: impl FnOnce(&mut Plain, usize) -> Result<()>,
    ) -> Result<usize> {
        let dropped = self.plain.drop_before(from);
        if dropped > 0 {
            self.model.drop_before(dropped);
            from -= dropped;
        }
        if !self.plain.is_complete && self.plain.len() < from + REACH {
            let old = self.plain.len();
            add(&mut self.plain, from + REACH + READ_AHEAD)?;
            self.crc.update(self.plain.bytes().get(old..).unwrap_or_default());
        }
        Ok(from)
    }

    /// The trailer of the member, once all of its bytes were added.
    pub(super) fn trailer(&self) -> [u8; 8] {
        trailer(&self.crc)
    }

    /// Whether the tokens behind a stored block are unknown to the model.
    pub(super) fn stops_at_stored_blocks(&self) -> bool {
        self.model.stops_at_stored_blocks()
    }

    /// Begins to predict from an index on.
    pub(super) fn span(&mut self, from: usize) -> Span {
        self.model.span(&self.plain, from)
    }

    /// Predicts the next match that begins in the span.
    pub(super) fn find(&mut self, limit: usize) -> Option<Match> {
        self.model.find(&self.plain, limit)
    }

    /// Takes the match that the encoder wrote.
    pub(super) fn accept(&mut self, found: Match) {
        self.model.accept(&self.plain, found);
    }

    /// Goes on at `to`: the encoder wrote no match before it.
    pub(super) fn skip(&mut self, to: usize) {
        self.model.skip(to);
    }

    /// Takes its own predictions up to the end of the chunk; returns whether there were any.
    pub(super) fn run_freely(&mut self) -> bool {
        self.model.run_freely(&self.plain)
    }
}

/// CRC and length as a member ends with them.
pub(super) fn trailer(crc: &Crc) -> [u8; 8] {
    (u64::from(crc.amount()) << 32 | u64::from(crc.sum())).to_le_bytes()
}
