//! Where in a tar the bytes of its entries are, for archives of images, which are read in place.
//!
//! The same reader as for layers, so that both take, refuse and see the same entries.

use std::io::{self, BufRead};
use std::ops::Range;

use super::entries::{Entries, RawEntry};

/// An entry of a tar that is not extracted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Located {
    /// Its name as it is written.
    pub(crate) name: Vec<u8>,
    pub(crate) content: Content,
}

/// What an entry has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A file, and where in the tar its bytes are.
    File(Range<u64>),
    Directory,
    /// A symbolic link, as it is written.
    Symlink(Vec<u8>),
    /// The name of another entry.
    Hardlink(Vec<u8>),
    /// A file with holes: its bytes are not in one run.
    Sparse,
    /// A device, or something of an unknown type.
    Other,
}

impl<R: BufRead> Entries<R> {
    /// The next entry, whatever its name would mean in a layer; its bytes are passed over.
    ///
    /// # Errors
    /// As [`Entries::next_entry`].
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
