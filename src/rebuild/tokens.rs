//! Literals and matches in the order of their bytes.

use super::parse::Mark;

/// What some plain bytes consist of.
#[derive(Clone, Copy)]
pub(super) struct Tokens<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) matches: &'a [Mark],
    /// The position of the first byte, which those of the matches refer to.
    pub(super) start: usize,
}

impl<'a> Tokens<'a> {
    /// The literals before each match, with the match, and those after the last one.
    pub(super) fn parts(self) -> impl Iterator<Item = (&'a [u8], Option<Mark>)> {
        let Self { bytes, matches, start } = self;
        let ends = matches.iter().copied().map(Some).chain([None]);
        ends.scan(0, move |from, found| {
            let position = |found: Mark| (found.position as usize).saturating_sub(start);
            let to = found.map_or(bytes.len(), position);
            let literals = bytes.get(*from..to).unwrap_or_default();
            *from = to + found.map_or(0, |found| usize::from(found.length));
            Some((literals, found))
        })
    }
}
