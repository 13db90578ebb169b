//! Writes a tar for a layer.

use std::io::{self, Read, Write};

use crate::image_layers::resolve::push;
use crate::layer::{EntryKind, LayerEntry, WHITEOUT, header, split};
use crate::tar_block::BLOCK_BYTES;

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The name that marks a directory as opaque.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// A tar that is being written. The same entries give the same bytes.
pub(super) struct LayerTar<W> {
    output: W,
}

impl<W: Write> LayerTar<W> {
    pub(super) fn new(output: W) -> Self {
        Self { output }
    }

    /// Writes an entry without data, or the header of one whose data follows.
    pub(super) fn entry(&mut self, entry: LayerEntry) -> io::Result<()> {
        self.output.write_all(&header(&stored(entry)))
    }

    /// Writes data of an entry.
    pub(super) fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)
    }

    /// Writes the bytes of a file of this size.
    ///
    /// # Errors
    /// Those of both sides, and for a file of another size: it is being written to.
    pub(super) fn file(&mut self, mut file: impl Read, size: u64) -> io::Result<()> {
        let copied = io::copy(&mut file.by_ref().take(size), &mut self.output)?;
        if copied != size || file.read(&mut [0])? > 0 {
            return Err(io::Error::other("has changed while it was read"));
        }
        self.pad(size)
    }

    /// Writes zeros up to the end of the last block of an entry of this size.
    pub(super) fn pad(&mut self, size: u64) -> io::Result<()> {
        self.zeros(size.next_multiple_of(BLOCK_BYTES as u64) - size)
    }

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        zeros(count, |bytes| self.output.write_all(bytes))
    }

    /// What the tar is written to.
    pub(super) fn output(&mut self) -> &mut W {
        &mut self.output
    }

    /// Writes the end of the tar.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.zeros(2 * BLOCK_BYTES as u64)?;
        Ok(self.output)
    }
}

/// The entry as a tar has it, in which whiteouts and opaque markers are files.
pub(super) fn stored(entry: LayerEntry) -> LayerEntry {
    let (directory, name) = match entry.kind {
        EntryKind::Whiteout => {
            let (directory, name) = split(&entry.path);
            (directory, [WHITEOUT, name].concat())
        }
        EntryKind::Opaque => (&*entry.path, OPAQUE.to_vec()),
        _ => return entry,
    };
    let mut path = directory.to_vec();
    push(&mut path, &name);
    LayerEntry { path, kind: EntryKind::File, ..entry }
}

/// Passes this many zeros to `sink`, in parts.
pub(super) fn zeros(
    mut count: u64,
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    while count > 0 {
        let zeros = usize::try_from(count).ok().and_then(|count| ZEROS.get(..count));
        let zeros = zeros.unwrap_or(&ZEROS);
        sink(zeros)?;
        count -= zeros.len() as u64;
    }
    Ok(())
}
