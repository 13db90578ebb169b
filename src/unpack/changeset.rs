//! A layer as [`Unpacker`] applies it.

use std::io::{self, BufRead};

use super::directories::OpenDir;
use super::unpacker::Unpacker;
use crate::layer::{Entries, LayerEntry};

/// The entries of a layer in their order. Spec: image-spec `layer.md`, "Changesets".
pub(super) trait Changeset {
    fn next_entry(&mut self) -> io::Result<Option<LayerEntry>>;

    /// Makes the present entry, a regular file, under this name, whatever is there.
    fn make_file(
        &mut self,
        unpacker: &mut Unpacker,
        parent: &OpenDir,
        name: &[u8],
        entry: &LayerEntry,
    ) -> io::Result<()>;
}

/// From the tar itself.
impl<R: BufRead> Changeset for Entries<R> {
    fn next_entry(&mut self) -> io::Result<Option<LayerEntry>> {
        Entries::next_entry(self)
    }

    fn make_file(
        &mut self,
        unpacker: &mut Unpacker,
        parent: &OpenDir,
        name: &[u8],
        entry: &LayerEntry,
    ) -> io::Result<()> {
        unpacker.file(parent, name, entry, self)
    }
}
