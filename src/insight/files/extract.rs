//! Reads the bytes of one file out of the layers of an image.

use std::io::{self, Read as _, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use super::change::{Change, FileInfo};
use super::layer_reader::{FileInLayer, Inspected};
use super::read::{CreatedFile, LayerInput, new_tree, read_layers_with};
use super::tree::FileTree;
use crate::control::{Control, PhaseCounter};
use crate::error::Result;
use crate::image_layers::read::{BlobEntries, read_all};
use crate::image_layers::{LayerBlob, failed};
use crate::layer::{BombGuard, Entries, EntryKind, LayerEntry, split};
use crate::progress::Phase;

/// Bytes of the candidates that are kept while names are read.
const MAX_KEPT_BYTES: u64 = 16 << 20;

/// Files of all layers with one name, by their layer and entry.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    files: Vec<((usize, u32), Vec<u8>)>,
}

impl Candidates {
    /// Returns the bytes of a file, if they were kept.
    pub(crate) fn take(&mut self, file: &FileInfo<'_>) -> Option<Vec<u8>> {
        let at = self.files.iter().position(|(at, _)| *at == (file.layer, file.entry))?;
        Some(self.files.swap_remove(at).1)
    }
}

/// Reads the names of all layers, and keeps small files whose name is that of `path`: the wanted file is probably one of
/// them, so that no layer is read twice.
pub(crate) fn read_with_candidates(
    layers: Vec<LayerInput<'_>>,
    path: &[u8],
    control: &Control,
) -> Result<(FileTree, Candidates)> {
    let wanted = split(path).1;
    let bytes = AtomicU64::new(0);
    let inspect = |file: &FileInLayer<'_>, layer: &mut BlobEntries<'_>| {
        let mut inspected = Inspected::default();
        if split(file.path).1 == wanted
            && file.size <= MAX_KEPT_BYTES
            && bytes.fetch_add(file.size, Ordering::Relaxed) <= MAX_KEPT_BYTES - file.size
        {
            copy_file(layer, file.size, inspected.bytes.insert(Vec::new()))?;
        }
        Ok(inspected)
    };
    let mut kept = Candidates::default();
    let accept = |file: &CreatedFile, inspected: Inspected| {
        kept.files.extend(inspected.bytes.map(|bytes| (file.at, bytes)));
    };
    let (visit, end) = (|_: usize, _: &Change<'_>| Ok(()), |_, _| Ok(()));
    let (tree, _) = read_layers_with(new_tree()?, layers, control, inspect, accept, visit, end)?;
    Ok((tree, kept))
}

/// Writes the bytes of the entry with this number. Returns false if it is not a regular file.
///
/// They are written before the rest of the layer is verified.
pub(crate) fn write_entry(
    layer: LayerBlob<'_>,
    number: u32,
    control: &Control,
    output: &mut impl Write,
) -> Result<bool> {
    let counter = PhaseCounter::new(control, Phase::Read, layer.size);
    let mut found = false;
    let take = |name: &str, entries: &mut BlobEntries<'_>| {
        let fail = |error| failed(name, "", error);
        let mut index = 0;
        while let Some(entry) = entries.next_entry().map_err(fail)? {
            if index == number && entry.kind == EntryKind::File {
                copy_file(entries, entry.size, output).map_err(fail)?;
                found = true;
            }
            index += 1;
        }
        Ok(())
    };
    read_all(&BombGuard::default(), vec![layer], &control.cancel, &counter, take)?;
    Ok(found)
}

/// The last entry of a layer that names a path.
pub(crate) struct LayerFile {
    pub(crate) entry: LayerEntry,
    pub(crate) number: u32,
    /// The bytes of a small regular file.
    pub(crate) bytes: Option<Vec<u8>>,
}

/// As [`find_in_layer`], in the entries of a table of contents.
pub(crate) fn find_entry(entries: &[LayerEntry], path: &[u8]) -> Option<LayerFile> {
    let number = entries.iter().rposition(|entry| is_at(entry, path))?;
    let entry = entries.get(number)?.clone();
    Some(LayerFile { entry, number: u32::try_from(number).ok()?, bytes: None })
}

/// Whether the entry is what a layer has at the path. An opaque marker has the path of its directory.
fn is_at(entry: &LayerEntry, path: &[u8]) -> bool {
    entry.path == path && entry.kind != EntryKind::Opaque
}

/// Looks for a path in one layer alone.
pub(crate) fn find_in_layer(
    layer: LayerBlob<'_>,
    path: &[u8],
    control: &Control,
) -> Result<Option<LayerFile>> {
    let counter = PhaseCounter::new(control, Phase::Read, layer.size);
    let mut found = None;
    let take = |name: &str, entries: &mut BlobEntries<'_>| {
        let fail = |error| failed(name, "", error);
        let mut number = 0;
        while let Some(entry) = entries.next_entry().map_err(fail)? {
            if is_at(&entry, path) {
                let mut bytes = None;
                if entry.kind == EntryKind::File && entry.size <= MAX_KEPT_BYTES {
                    let bytes = bytes.insert(Vec::new());
                    copy_file(entries, entry.size, bytes).map_err(fail)?;
                }
                found = Some(LayerFile { entry, number, bytes });
            }
            number += 1;
        }
        Ok(())
    };
    read_all(&BombGuard::default(), vec![layer], &control.cancel, &counter, take)?;
    Ok(found)
}

/// Copies the file that the reader is at; holes are written as zeros.
fn copy_file<R: io::BufRead>(
    layer: &mut Entries<R>,
    size: u64,
    output: &mut impl Write,
) -> io::Result<()> {
    let mut end = 0;
    while let Some((offset, bytes)) = layer.next_data()? {
        io::copy(&mut io::repeat(0).take(offset - end), output)?;
        output.write_all(bytes)?;
        end = offset + bytes.len() as u64;
    }
    io::copy(&mut io::repeat(0).take(size - end), output)?;
    Ok(())
}
