//! Reads layers before the lower ones are applied. Their files are written to a hidden directory, their entries wait
//! in memory.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use super::changeset::Changeset;
use super::directories::OpenDir;
use super::entry_batch::{BatchItem, EntryBatch};
use super::layer_queue::LayerQueue;
use super::read_ahead_dir::ReadAheadDir;
use super::unpacker::{UnpackOptions, Unpacker};
use crate::error::{Error, ErrorKind, Result};
use crate::image_layers::LayerBlob;
use crate::image_layers::inflate::{InflatedReader, LayerStart};
use crate::image_layers::read::read_layer;
use crate::image_layers::skipped::SkipLog;
use crate::layer::{EntryKind, LayerEntry};

/// Approximate bytes of entries in one batch.
const BATCH_BYTES: usize = 128 << 10;

fn entry_bytes(entry: &LayerEntry) -> usize {
    let xattrs = entry.xattrs.iter().map(|(name, value)| name.len() + value.len() + 64);
    size_of::<BatchItem>() + entry.path.len() + entry.link.len() + xattrs.sum::<usize>()
}

/// Reads layers into the staging directory until one fails or the unpacker exits.
///
/// A layer is started only when the lower one is done: while its entries wait, those of the lower one must not.
pub(super) fn fill<'a>(
    dir: &ReadAheadDir,
    options: UnpackOptions,
    waiting: &LayerQueue<'a>,
    inflate: &SyncSender<(usize, LayerBlob<'a>)>,
    mut layers: InflatedReader,
) {
    while dir.has_capacity()
        && let Some((number, blob, entries)) = waiting.take_largest()
        && inflate.send((number, blob)).is_ok()
        && let Some(start) = layers.next_layer()
    {
        let mut out = BatchSender { to: &entries, entries: Vec::new(), bytes: 0, dir };
        let end = stage_layer(dir, options, &start, &mut layers, &mut out);
        let failed = end.is_err();
        out.entries.push(BatchItem::End(end));
        if !out.flush() || failed {
            return;
        }
    }
}

fn stage_layer(
    dir: &ReadAheadDir,
    options: UnpackOptions,
    start: &LayerStart,
    bytes: &mut InflatedReader,
    out: &mut BatchSender<'_>,
) -> Result<u64> {
    let failed =
        |entry: &[u8], error| super::failed(&start.name, &String::from_utf8_lossy(entry), error);
    let root = dir.root().map_err(|error| failed(b"", error))?;
    let mut unpacker = Unpacker::new(root, UnpackOptions { new_root: false, ..options })?;
    let parent = unpacker.parent(b"").map_err(|error| failed(b"", error))?;
    read_layer(start, bytes, |entries| {
        let mut last = Vec::new();
        while let Some(entry) = entries.next_entry().map_err(|error| failed(&last, error))? {
            let file = dir.next();
            if entry.kind == EntryKind::File {
                let name = file.to_string();
                let made = unpacker.file(&parent, name.as_bytes(), &entry, entries);
                made.map_err(|error| failed(&entry.path, error))?;
            }
            last.clone_from(&entry.path);
            let skipped = unpacker.take_skipped();
            if !out.push(entry, file, skipped) {
                return Err(Error::new(ErrorKind::Interrupted, &start.name));
            }
        }
        Ok(())
    })
}

/// Sends entries in batches.
struct BatchSender<'a> {
    to: &'a SyncSender<EntryBatch>,
    entries: Vec<BatchItem>,
    bytes: usize,
    dir: &'a ReadAheadDir,
}

impl BatchSender<'_> {
    /// Adds an entry. Returns whether the receiver still exists.
    fn push(&mut self, entry: LayerEntry, file: u64, skipped: SkipLog) -> bool {
        self.bytes += entry_bytes(&entry);
        self.entries.push(BatchItem::Entry { entry, file, skipped });
        self.bytes < BATCH_BYTES || self.flush()
    }

    fn flush(&mut self) -> bool {
        let (entries, bytes) = (std::mem::take(&mut self.entries), std::mem::take(&mut self.bytes));
        self.dir.add_pending(bytes);
        self.to.send(EntryBatch { entries, bytes }).is_ok()
    }
}

/// The receiving end: a changeset to apply.
pub(super) struct ReadAheadLayer {
    dir: Arc<ReadAheadDir>,
    batches: Receiver<EntryBatch>,
    batch: std::vec::IntoIter<BatchItem>,
    file: u64,
    skipped: SkipLog,
    end: Option<Result<u64>>,
}

impl ReadAheadLayer {
    pub(super) fn new(dir: Arc<ReadAheadDir>, batches: Receiver<EntryBatch>) -> Self {
        let batch = Vec::new().into_iter();
        Self { dir, batches, batch, file: 0, skipped: SkipLog::default(), end: None }
    }

    /// Returns the layer's result, after all its entries were taken.
    pub(super) fn end(self) -> Result<u64> {
        self.end.unwrap_or_else(|| Ok(0))
    }
}

impl Changeset for ReadAheadLayer {
    fn next_entry(&mut self) -> io::Result<Option<LayerEntry>> {
        loop {
            match self.batch.next() {
                Some(BatchItem::Entry { entry, file, skipped }) => {
                    (self.file, self.skipped) = (file, skipped);
                    return Ok(Some(entry));
                }
                Some(BatchItem::End(end)) => {
                    self.end = Some(end);
                    return Ok(None);
                }
                None => {
                    let batch = self.batches.recv();
                    let batch = batch
                        .map_err(|_| io::Error::other("read-ahead thread exited unexpectedly"))?;
                    self.dir.remove_pending(batch.bytes);
                    self.batch = batch.entries.into_iter();
                }
            }
        }
    }

    fn write_file(
        &mut self,
        unpacker: &mut Unpacker,
        parent: &OpenDir,
        name: &[u8],
        _entry: &LayerEntry,
    ) -> io::Result<()> {
        unpacker.skipped.add(std::mem::take(&mut self.skipped));
        let (dir, file) = (&self.dir, self.file);
        unpacker.replace_existing(parent, name, || dir.move_out(file, &parent.handle, name))
    }
}
