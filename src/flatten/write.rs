//! Writes a tree as a tar, with data from its layers.

use std::collections::HashSet;
use std::io::{self, BufRead};

use super::order::{TarItem, items};
use super::tree::Tree;
use crate::control::{Control, PhaseCounter};
use crate::error::{Error, ErrorKind, Result};
use crate::image_layers::read::read_all;
use crate::image_layers::{LayerBlob, failed};
use crate::layer::{BombGuard, Entries, EntryKind, LayerEntry, header};
use crate::progress::Phase;
use crate::tar_block::BLOCK_BYTES;

/// Written for holes, and at the end of the tar.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Receives the bytes of a tar, in chunks of any size.
pub type TarSink<'a> = dyn FnMut(&[u8]) -> Result<()> + 'a;

impl Tree {
    /// Writes the tree as a tar. Each name appears once, files come before their hard links, and directories where
    /// extracting keeps their times. The same layers give the same bytes.
    ///
    /// The layers are the same as for [`Tree::read`]; those without visible data are not read.
    ///
    /// # Errors
    /// With [the position](Error::layer) of the layer: errors of `output`, or as [`Tree::read`]. The output is
    /// incomplete then.
    pub fn write(
        &self,
        layers: Vec<LayerBlob<'_>>,
        control: &Control,
        output: &mut TarSink<'_>,
    ) -> Result<()> {
        if layers.len() != self.sizes.len() {
            let reason = "differ from the layers that were read";
            return Err(Error::new(ErrorKind::Unpack, "layers").with_reason(reason));
        }
        let items = items(&self.names);
        let needed: HashSet<_> = items
            .iter()
            .filter(|item| item.has_data())
            .filter_map(|item| Some(item.position?.layer as usize))
            .collect();
        let (numbers, layers): (Vec<_>, Vec<_>) =
            layers.into_iter().enumerate().filter(|(number, _)| needed.contains(number)).unzip();
        let counter = PhaseCounter::new(control, Phase::Export, self.shown.bytes);
        let output = &mut |bytes: &[u8]| {
            counter.add(bytes.len() as u64)?;
            output(bytes)
        };
        let mut writer = TreeWriter { output, items: &items };
        let mut remaining = numbers.iter();
        let reading = PhaseCounter::new(&control.without_progress(), Phase::Export, 0);
        let (guard, cancel) = (&BombGuard::default(), &control.cancel);
        let written = read_all(guard, layers, cancel, &reading, |name, layer| {
            let number = remaining.next().copied().unwrap_or_default();
            writer.write_layer(number, name, layer)
        });
        // The reader numbers only the layers that it was given.
        written.map_err(|error| match error.layer().and_then(|at| numbers.get(at)) {
            Some(number) => error.with_layer(*number),
            None => error,
        })?;
        writer.finish()
    }
}

struct TreeWriter<'a, 'b> {
    output: &'b mut TarSink<'b>,
    /// The remaining entries.
    items: &'a [TarItem<'a>],
}

impl TreeWriter<'_, '_> {
    /// Writes all entries up to the end of this layer.
    fn write_layer<R: BufRead>(
        &mut self,
        number: usize,
        name: &str,
        layer: &mut Entries<R>,
    ) -> Result<()> {
        let mut entries_read = 0;
        while let Some((item, rest)) = self.items.split_first()
            && let Some(position) = item.position
            && position.layer as usize <= number
        {
            self.items = rest;
            self.write_header(item)?;
            if !item.has_data() {
                continue;
            }
            let path = String::from_utf8_lossy(item.path);
            let mut found = None;
            while entries_read <= position.entry {
                found = layer.next_entry().map_err(|error| failed(name, &path, error))?;
                entries_read += 1;
            }
            let is_same = |entry: &LayerEntry| {
                entry.kind == EntryKind::File && entry.size == item.inode.entry.size
            };
            if !found.as_ref().is_some_and(is_same) {
                return Err(failed(name, &path, io::Error::other("has changed since it was read")));
            }
            self.write_data(item.inode.entry.size, name, &path, layer)?;
        }
        Ok(())
    }

    /// Writes the entries that come after all layers, and the end of the tar.
    fn finish(mut self) -> Result<()> {
        for item in std::mem::take(&mut self.items) {
            self.write_header(item)?;
        }
        self.write_zeros(2 * BLOCK_BYTES as u64)
    }

    /// Writes the header of an entry, with its PAX records.
    fn write_header(&mut self, item: &TarItem<'_>) -> Result<()> {
        let (path, metadata) = (item.path.to_vec(), &item.inode.entry);
        let entry = match item.hardlink_to {
            None => LayerEntry { path, ..metadata.clone() },
            // The first name has all other metadata.
            Some(target) => LayerEntry {
                path,
                kind: EntryKind::Hardlink,
                size: 0,
                link: target.to_vec(),
                xattrs: Vec::new(),
                ..*metadata
            },
        };
        (self.output)(&header(&entry))
    }

    /// Copies the data of an entry, with zeros for holes and padding.
    fn write_data<R: BufRead>(
        &mut self,
        size: u64,
        name: &str,
        path: &str,
        layer: &mut Entries<R>,
    ) -> Result<()> {
        let mut end = 0;
        while let Some((offset, bytes)) =
            layer.next_data().map_err(|error| failed(name, path, error))?
        {
            self.write_zeros(offset - end)?;
            (self.output)(bytes)?;
            end = offset + bytes.len() as u64;
        }
        self.write_zeros(size.next_multiple_of(BLOCK_BYTES as u64) - end)
    }

    fn write_zeros(&mut self, mut count: u64) -> Result<()> {
        while count > 0 {
            let zeros = usize::try_from(count).ok().and_then(|count| ZEROS.get(..count));
            let zeros = zeros.unwrap_or(&ZEROS);
            (self.output)(zeros)?;
            count -= zeros.len() as u64;
        }
        Ok(())
    }
}
