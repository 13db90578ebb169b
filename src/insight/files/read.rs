//! Reads the layers of an image into a tree.

use std::io;

use sha2::{Digest as _, Sha256};

use super::change::{Change, ContentId, LayerTotals};
use super::layer_reader::{FileInLayer, Inspected, ReadEntry, Step, read_entries};
use super::tree::FileTree;
use crate::control::Control;
use crate::error::Result;
use crate::image_layers::read::BlobEntries;
use crate::image_layers::{LayerBlob, failed};
use crate::layer::{EntryKind, LayerEntry};
use crate::progress::Phase;
use crate::setters::setters;

/// Maximum bytes of a head that [`read_layers_with_heads`] passes.
pub const MAX_HEAD_BYTES: usize = 4096;

/// How layers are read.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Hash regular files without holes, so that [`FileInfo::content`](super::FileInfo::content) is known. Reading takes
    /// about half as long again.
    pub contents: bool,
}

impl ReadOptions {
    setters! {
        flag contents;
    }
}

/// Reads layers, base first, each once. Passes the changes of each to `visit` and then its totals to `end`, both with the
/// number of the layer. Returns the tree of all layers, and the uncompressed size of each.
///
/// Blocks. The changes of a layer are passed after all of its bytes were verified.
///
/// # Errors
/// With [the position](crate::error::Error::layer) of the layer: those of `visit` and `end`,
/// [`ErrorKind::Mismatch`](crate::error::ErrorKind::Mismatch) for another `diff_id`, otherwise as for unpacking.
pub fn read_layers(
    layers: Vec<LayerBlob<'_>>,
    options: ReadOptions,
    control: &Control,
    visit: impl FnMut(usize, &Change<'_>) -> Result<()>,
    end: impl FnMut(usize, LayerTotals) -> Result<()>,
) -> Result<(FileTree, Vec<u64>)> {
    read_layers_onto(new_tree()?, layers, options, control, visit, end)
}

/// Like [`read_layers`], for the layers above those of a tree. They are numbered from the base of the image.
///
/// # Errors
/// As for [`read_layers`].
pub fn read_layers_onto(
    tree: FileTree,
    layers: Vec<LayerBlob<'_>>,
    options: ReadOptions,
    control: &Control,
    visit: impl FnMut(usize, &Change<'_>) -> Result<()>,
    end: impl FnMut(usize, LayerTotals) -> Result<()>,
) -> Result<(FileTree, Vec<u64>)> {
    let inspect = |file: &FileInLayer<'_>, layer: &mut BlobEntries<'_>| {
        let content = if options.contents { content(layer, file.size, |_| {})? } else { None };
        Ok(Inspected { content, bytes: None })
    };
    let layers = layers.into_iter().map(LayerInput::Blob).collect();
    read_layers_with(tree, layers, control, inspect, |_, _| {}, visit, end)
}

/// Like [`read_layers`] with contents. Passes the first bytes of each regular file without holes to `head`, at most
/// [`MAX_HEAD_BYTES`], with the layer, and the file's content and size.
///
/// The heads of a layer come before its changes, and before it is verified: what they say must not be used if this fails.
///
/// # Errors
/// As for [`read_layers`].
pub fn read_layers_with_heads(
    layers: Vec<LayerBlob<'_>>,
    control: &Control,
    mut head: impl FnMut(usize, ContentId, u64, &[u8]),
    visit: impl FnMut(usize, &Change<'_>) -> Result<()>,
    end: impl FnMut(usize, LayerTotals) -> Result<()>,
) -> Result<(FileTree, Vec<u64>)> {
    let inspect = |file: &FileInLayer<'_>, layer: &mut BlobEntries<'_>| {
        let mut first = Vec::new();
        let keep = |bytes: &[u8]| first.extend(bytes.iter().take(MAX_HEAD_BYTES - first.len()));
        let content = content(layer, file.size, keep)?;
        Ok(Inspected { content, bytes: content.map(|_| first) })
    };
    let accept = |file: &CreatedFile, inspected: Inspected| {
        if let (Some(content), Some(first)) = (inspected.content, inspected.bytes) {
            head(file.at.0, content, file.size, &first);
        }
    };
    let layers = layers.into_iter().map(LayerInput::Blob).collect();
    read_layers_with(new_tree()?, layers, control, inspect, accept, visit, end)
}

/// How the entries of a layer are given.
pub(crate) enum LayerInput<'a> {
    Blob(LayerBlob<'a>),
    /// Its entries, by a table of contents, and its name in errors.
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "made by the command line"))]
    Entries(String, Vec<LayerEntry>),
}

/// As [`read_layers`], of layers that are given in any way, without contents.
#[cfg(feature = "cli")]
pub(crate) fn read_names(
    layers: Vec<LayerInput<'_>>,
    control: &Control,
    visit: impl FnMut(usize, &Change<'_>) -> Result<()>,
    end: impl FnMut(usize, LayerTotals) -> Result<()>,
) -> Result<(FileTree, Vec<u64>)> {
    let inspect = |_: &FileInLayer<'_>, _: &mut BlobEntries<'_>| Ok(Inspected::default());
    read_layers_with(new_tree()?, layers, control, inspect, |_, _| {}, visit, end)
}

/// A regular file that was added to the tree.
pub(crate) struct CreatedFile {
    pub(crate) size: u64,
    /// Number of the layer, and of the entry in it.
    pub(crate) at: (usize, u32),
}

/// Like [`read_layers`]. `inspect` may read the bytes of each regular file, on several threads; `accept` gets what it
/// returns once the file is in the tree. Nothing of it can be trusted before this has succeeded.
pub(crate) fn read_layers_with(
    tree: FileTree,
    layers: Vec<LayerInput<'_>>,
    control: &Control,
    inspect: impl Fn(&FileInLayer<'_>, &mut BlobEntries<'_>) -> io::Result<Inspected> + Sync,
    accept: impl FnMut(&CreatedFile, Inspected),
    visit: impl FnMut(usize, &Change<'_>) -> Result<()>,
    end: impl FnMut(usize, LayerTotals) -> Result<()>,
) -> Result<(FileTree, Vec<u64>)> {
    let lower = tree.layer();
    let end_of_all = lower + layers.len();
    let (mut blobs, mut numbers, mut tables) = (vec![], vec![], vec![]);
    for (number, layer) in (lower..).zip(layers) {
        match layer {
            LayerInput::Blob(blob) => {
                blobs.push(blob);
                numbers.push(number);
            }
            LayerInput::Entries(name, entries) => tables.push((number, name, entries)),
        }
    }
    tables.reverse();
    let mut reading = Reading { tree, index: 0, tables, control, accept, visit, end };
    let mut next = numbers.iter().copied().chain([end_of_all]);
    reading.end_layers_before(next.next().unwrap_or(end_of_all))?;
    let mut sizes = Vec::new();
    let read = read_entries(blobs, control, &inspect, |step| match step {
        Step::Entry(name, read) => reading.add(name, read),
        Step::End(size) => {
            sizes.push(size);
            reading.end_layers_before(next.next().unwrap_or(end_of_all))
        }
    });
    read.map_err(|error| match error.layer().and_then(|at| numbers.get(at)) {
        Some(number) => error.with_layer(*number),
        None => error,
    })?;
    Ok((reading.tree, sizes))
}

/// An empty tree.
pub(crate) fn new_tree() -> Result<FileTree> {
    FileTree::new().map_err(|error| failed("layers", "", error))
}

struct Reading<'a, A, V, E> {
    tree: FileTree,
    /// The number of the next entry in its layer.
    index: u32,
    /// Layers that are given by their entries, the next one last.
    tables: Vec<(usize, String, Vec<LayerEntry>)>,
    control: &'a Control,
    accept: A,
    visit: V,
    end: E,
}

impl<A, V, E> Reading<'_, A, V, E>
where
    A: FnMut(&CreatedFile, Inspected),
    V: FnMut(usize, &Change<'_>) -> Result<()>,
    E: FnMut(usize, LayerTotals) -> Result<()>,
{
    fn add(&mut self, name: &str, read: ReadEntry) -> Result<()> {
        let ReadEntry { entry, inspected } = read;
        let (path, kind, size) = (entry.path.clone(), entry.kind, entry.size);
        let added = self.tree.entry(entry);
        added.map_err(|error| failed(name, &String::from_utf8_lossy(&path), error))?;
        if kind == EntryKind::File {
            if let Some(content) = inspected.content {
                self.tree.set_content(content);
            }
            let at = (self.tree.layer(), self.index);
            (self.accept)(&CreatedFile { size, at }, inspected);
        }
        self.index += 1;
        Ok(())
    }

    /// Ends the layers before this one, and applies those of them that are given by their entries.
    fn end_layers_before(&mut self, count: usize) -> Result<()> {
        while self.tree.layer() < count {
            let number = self.tree.layer();
            if let Some((_, name, entries)) = self.tables.pop_if(|(at, ..)| *at == number) {
                for entry in entries {
                    self.control.check(Phase::Read.what())?;
                    let path = String::from_utf8_lossy(&entry.path).into_owned();
                    self.tree.entry(entry).map_err(|error| failed(&name, &path, error))?;
                }
            }
            self.index = 0;
            let totals = self.tree.end_layer(|change| {
                self.control.check(Phase::Read.what())?;
                (self.visit)(number, change)
            })?;
            (self.end)(number, totals)?;
        }
        Ok(())
    }
}

/// Hashes the file that the reader is at, and passes its bytes to `pass`; `None` for one with holes, which may be far
/// larger than the layer.
fn content(
    layer: &mut BlobEntries<'_>,
    size: u64,
    mut pass: impl FnMut(&[u8]),
) -> io::Result<Option<ContentId>> {
    let (mut hasher, mut at) = (Sha256::new(), 0);
    while let Some((offset, bytes)) = layer.next_data()? {
        if offset != at {
            return Ok(None);
        }
        hasher.update(bytes);
        pass(bytes);
        at += bytes.len() as u64;
    }
    Ok((at == size).then(|| ContentId::from_sha256(&hasher.finalize().into())))
}
