//! Finds the bytes of entries inside a tar, for image archives, which are read in place.
//!
//! Layers and archives have one reader, so that both accept, reject and see the same entries.

use std::io::{self, BufRead};
use std::ops::Range;

use super::entries::Entries;
use super::entry::clean;
use super::raw_entry::RawEntry;

/// An entry of a tar that is read in place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Located {
    /// The name as written, not normalized.
    pub(crate) name: Vec<u8>,
    pub(crate) content: Content,
}

/// The content of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A file, and the range of its bytes in the tar.
    File(Range<u64>),
    Directory,
    /// A symbolic link with its target as written.
    Symlink(Vec<u8>),
    /// A hard link with the name of the other entry.
    Hardlink(Vec<u8>),
    /// A sparse file, whose bytes are not contiguous.
    Sparse,
    /// A device, or an unknown type.
    Other,
}

/// Where an entry is in its tar. Entries follow each other without gaps.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EntrySpan {
    /// The normalized path.
    pub(crate) path: Vec<u8>,
    /// Its header, and the extension headers before it.
    pub(crate) header: Range<u64>,
    /// Its stored bytes with their padding, which the last entry of a tar may lack.
    pub(crate) content: Range<u64>,
}

impl<R: BufRead> Entries<R> {
    /// Returns where the next entry is, and skips its bytes.
    ///
    /// # Errors
    /// Like [`Entries::next_entry`].
    pub(crate) fn next_span(&mut self) -> io::Result<Option<EntrySpan>> {
        self.skip_body()?;
        let start = self.position();
        let Some(RawEntry { entry, .. }) = self.next_raw()? else { return Ok(None) };
        let content = self.position()..self.position() + self.body_length();
        Ok(Some(EntrySpan { path: clean(&entry.path), header: start..content.start, content }))
    }

    /// Returns the next entry and skips its bytes. Names that mark whiteouts in layers have no meaning here.
    ///
    /// # Errors
    /// Like [`Entries::next_entry`].
    pub(crate) fn next_located(&mut self) -> io::Result<Option<Located>> {
        let Some(RawEntry { kind, entry, stored, has_holes, .. }) = self.next_raw()? else {
            return Ok(None);
        };
        let content = match kind {
            _ if has_holes => Content::Sparse,
            0 | b'0' if entry.path.ends_with(b"/") && stored == 0 => Content::Directory,
            0 | b'0' | b'7' => Content::File(self.position()..self.position() + stored),
            b'1' => Content::Hardlink(entry.link),
            b'2' => Content::Symlink(entry.link),
            b'5' => Content::Directory,
            _ => Content::Other,
        };
        Ok(Some(Located { name: entry.path, content }))
    }
}
