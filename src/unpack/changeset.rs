//! A layer as whoever applies it wants it.

use std::io::{self, BufRead};

use super::directories::Directory;
use super::unpacker::Unpacker;
use crate::layer::{Entries, Entry};

/// The entries of a layer in their order. Spec: image-spec `layer.md`, "Changesets".
pub(super) trait Changeset {
    fn next_entry(&mut self) -> io::Result<Option<Entry>>;

    /// Makes the present entry, a regular file, under this name, whatever is there.
    fn make_file(
        &mut self,
        unpacker: &mut Unpacker,
        parent: &Directory,
        name: &[u8],
        entry: &Entry,
    ) -> io::Result<()>;
}

/// From the tar itself.
impl<R: BufRead> Changeset for Entries<R> {
    fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        Entries::next_entry(self)
    }

    fn make_file(
        &mut self,
        unpacker: &mut Unpacker,
        parent: &Directory,
        name: &[u8],
        entry: &Entry,
    ) -> io::Result<()> {
        unpacker.file(parent, name, entry, self)
    }
}
