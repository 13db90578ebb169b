//! What [`Unpacker`] reads a layer from: its tar, or entries that were read ahead.

use std::io::{self, BufRead};

use super::directories::OpenDir;
use super::unpacker::Unpacker;
use crate::layer::{Entries, LayerEntry};

/// The entries of a layer in their order. Spec: image-spec `layer.md`, "Changesets".
pub(super) trait Changeset {
    fn next_entry(&mut self) -> io::Result<Option<LayerEntry>>;

    /// Creates the entry that was read last, a regular file, under this name. Replaces an existing entry.
    fn write_file(
        &mut self,
        unpacker: &mut Unpacker,
        parent: &OpenDir,
        name: &[u8],
        entry: &LayerEntry,
    ) -> io::Result<()>;
}

impl<R: BufRead> Changeset for Entries<R> {
    fn next_entry(&mut self) -> io::Result<Option<LayerEntry>> {
        Entries::next_entry(self)
    }

    fn write_file(
        &mut self,
        unpacker: &mut Unpacker,
        parent: &OpenDir,
        name: &[u8],
        entry: &LayerEntry,
    ) -> io::Result<()> {
        unpacker.file(parent, name, entry, self)
    }
}
