//! Layers that are read before the ones below are applied: their files are whole in the stage, and their entries wait.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use super::blobs::{LayerBlob, read_layer};
use super::changeset::Changeset;
use super::directories::Directory;
use super::inflate::{Begun, Inflated};
use super::left_out::Ledger;
use super::stage::Stage;
use super::unpacker::{Options, Unpacker};
use super::waiting::Waiting;
use crate::error::{Error, ErrorKind, Result};
use crate::layer::{Entry, Kind};

/// Batches of one layer that may wait.
pub(super) const BATCHES: usize = 64;

/// About as many bytes of entries are handed over at once.
const BATCH: usize = 128 << 10;

/// Entries of a layer, or its end.
pub(super) struct Batch {
    entries: Vec<Staged>,
    bytes: usize,
}

enum Staged {
    Entry {
        entry: Entry,
        file: u64,
        left_out: Ledger,
    },
    /// The uncompressed size, where the layer is what it should be.
    End(Result<u64>),
}

fn weight(entry: &Entry) -> usize {
    let xattrs = entry.xattrs.iter().map(|(name, value)| name.len() + value.len() + 64);
    size_of::<Staged>() + entry.path.len() + entry.link.len() + xattrs.sum::<usize>()
}

/// Reads layers into the stage until one fails or nobody wants them.
///
/// A layer is taken only when the one before is done: while its entries wait, those of a lower one must not.
pub(super) fn fill<'a>(
    stage: &Stage,
    options: Options,
    waiting: &Waiting<'a>,
    inflate: &SyncSender<(usize, LayerBlob<'a>)>,
    mut layers: Inflated,
) {
    while stage.has_room()
        && let Some((number, blob, entries)) = waiting.take_largest()
        && inflate.send((number, blob)).is_ok()
        && let Some(begun) = layers.next_layer()
    {
        let mut out = Out { to: &entries, entries: Vec::new(), bytes: 0, stage };
        let end = fill_one(stage, options, &begun, &mut layers, &mut out);
        let failed = end.is_err();
        out.entries.push(Staged::End(end));
        if !out.hand_over() || failed {
            return;
        }
    }
}

fn fill_one(
    stage: &Stage,
    options: Options,
    begun: &Begun,
    bytes: &mut Inflated,
    out: &mut Out<'_>,
) -> Result<u64> {
    let failed =
        |entry: &[u8], error| super::failed(&begun.name, &String::from_utf8_lossy(entry), error);
    let root = stage.root().map_err(|error| failed(b"", error))?;
    let mut unpacker = Unpacker::new(root, Options { new_root: false, ..options })?;
    let parent = unpacker.parent(b"").map_err(|error| failed(b"", error))?;
    read_layer(begun, bytes, |entries| {
        let mut last = Vec::new();
        while let Some(entry) = entries.next_entry().map_err(|error| failed(&last, error))? {
            let file = stage.next();
            if entry.kind == Kind::File {
                let name = file.to_string();
                let made = unpacker.file(&parent, name.as_bytes(), &entry, entries);
                made.map_err(|error| failed(&entry.path, error))?;
            }
            last.clone_from(&entry.path);
            let left_out = unpacker.take_left_out();
            if !out.push(entry, file, left_out) {
                return Err(Error::new(ErrorKind::Interrupted, &begun.name));
            }
        }
        Ok(())
    })
}

/// Where entries go.
struct Out<'a> {
    to: &'a SyncSender<Batch>,
    entries: Vec<Staged>,
    bytes: usize,
    stage: &'a Stage,
}

impl Out<'_> {
    /// Whether anybody wants more.
    fn push(&mut self, entry: Entry, file: u64, left_out: Ledger) -> bool {
        self.bytes += weight(&entry);
        self.entries.push(Staged::Entry { entry, file, left_out });
        self.bytes < BATCH || self.hand_over()
    }

    fn hand_over(&mut self) -> bool {
        let (entries, bytes) = (std::mem::take(&mut self.entries), std::mem::take(&mut self.bytes));
        self.stage.wait(bytes);
        self.to.send(Batch { entries, bytes }).is_ok()
    }
}

/// The other end: a layer to apply.
pub(super) struct StagedLayer {
    stage: Arc<Stage>,
    batches: Receiver<Batch>,
    batch: std::vec::IntoIter<Staged>,
    file: u64,
    left_out: Ledger,
    end: Option<Result<u64>>,
}

impl StagedLayer {
    pub(super) fn new(stage: Arc<Stage>, batches: Receiver<Batch>) -> Self {
        let batch = Vec::new().into_iter();
        Self { stage, batches, batch, file: 0, left_out: Ledger::default(), end: None }
    }

    /// What became of it, once all its entries were taken.
    pub(super) fn end(self) -> Result<u64> {
        self.end.unwrap_or_else(|| Ok(0))
    }
}

impl Changeset for StagedLayer {
    fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        loop {
            match self.batch.next() {
                Some(Staged::Entry { entry, file, left_out }) => {
                    (self.file, self.left_out) = (file, left_out);
                    return Ok(Some(entry));
                }
                Some(Staged::End(end)) => {
                    self.end = Some(end);
                    return Ok(None);
                }
                None => {
                    let batch = self.batches.recv();
                    let batch = batch.map_err(|_| io::Error::other("whoever reads it is gone"))?;
                    self.stage.wait_no_more(batch.bytes);
                    self.batch = batch.entries.into_iter();
                }
            }
        }
    }

    fn make_file(
        &mut self,
        unpacker: &mut Unpacker,
        parent: &Directory,
        name: &[u8],
        _entry: &Entry,
    ) -> io::Result<()> {
        unpacker.left_out.add(std::mem::take(&mut self.left_out));
        let (stage, file) = (&self.stage, self.file);
        unpacker.replacing(parent, name, || stage.move_out(file, &parent.handle, name))
    }
}
