//! The input and output of models.

/// Longest span of models without chunks.
pub(super) const SPAN: usize = 32 << 10;

/// Pieces must be longer than the window of deflate.
pub(in crate::rebuild) const MIN_PIECE: u64 = 64 << 10;

/// A match: where it begins in the plain bytes, its length, 3 to 258, and its distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rebuild) struct Match {
    pub(in crate::rebuild) start: usize,
    pub(in crate::rebuild) length: u32,
    pub(in crate::rebuild) distance: u32,
}

impl Match {
    pub(in crate::rebuild) fn end(&self) -> usize {
        self.start + self.length as usize
    }
}

/// The span in which one match is predicted, if any: it begins before `limit`.
#[derive(Clone, Copy, Debug)]
pub(in crate::rebuild) struct Span {
    pub(in crate::rebuild) limit: usize,
    /// Whether a chunk of a table model begins here.
    pub(in crate::rebuild) is_new_chunk: bool,
}
