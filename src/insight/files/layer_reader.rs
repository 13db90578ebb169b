//! Reads the entries of several layers at once, and passes them in order.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use super::change::ContentId;
use crate::control::{Control, PhaseCounter};
use crate::error::{Error, ErrorKind, Result};
use crate::image_layers::inflate::{InflatedReader, LayerStart, Watch, connect};
use crate::image_layers::read::{BlobEntries, concurrency, read_layer, worker_exited};
use crate::image_layers::{LayerBlob, failed};
use crate::layer::{BombGuard, EntryKind, LayerEntry};
use crate::progress::Phase;

/// Approximate bytes of entries that are sent together.
const BATCH_BYTES: usize = 64 << 10;

/// Batches that wait while lower layers are read, of all layers: 4 MiB.
const MAX_WAITING_BATCHES: usize = 64;

/// Decompressed buffers in flight, of all layers: 4 MiB. Readers of entries never wait for the disk.
const BUFFERS_IN_FLIGHT: usize = 16;

/// A regular file in a layer, before its bytes are read.
pub(crate) struct FileInLayer<'a> {
    /// The path in the layer's tar, which may have links in its parents.
    #[cfg_attr(
        not(feature = "cli"),
        expect(dead_code, reason = "only the command line prints a file")
    )]
    pub(crate) path: &'a [u8],
    pub(crate) size: u64,
}

/// What was read of a regular file.
#[derive(Default)]
pub(crate) struct Inspected {
    pub(crate) content: Option<ContentId>,
    /// Some of its bytes.
    pub(crate) bytes: Option<Vec<u8>>,
}

/// An entry of a layer, with what was read if it is a regular file.
pub(super) struct ReadEntry {
    pub(super) entry: LayerEntry,
    pub(super) inspected: Inspected,
}

enum Message {
    Entries(Vec<ReadEntry>),
    /// The uncompressed size if the layer was verified, otherwise the error.
    End(Result<u64>),
}

/// What comes next of a layer.
pub(super) enum Step<'a> {
    /// An entry of the layer with this name in errors.
    Entry(&'a str, ReadEntry),
    /// The layer is verified and has this uncompressed size.
    End(u64),
}

/// Passes the entries of each layer and its end to `take`, base first. `inspect` may read the bytes of regular files, on
/// several threads.
///
/// # Errors
/// With the position of the layer among `layers`: those of `take`, otherwise as for
/// [`read_all`](crate::image_layers::read::read_all).
pub(super) fn read_entries(
    layers: Vec<LayerBlob<'_>>,
    control: &Control,
    inspect: &(impl Fn(&FileInLayer<'_>, &mut BlobEntries<'_>) -> io::Result<Inspected> + Sync),
    mut take: impl FnMut(Step<'_>) -> Result<()>,
) -> Result<()> {
    let counter = &PhaseCounter::new(control, Phase::Read, layers.iter().map(|own| own.size).sum());
    // What waits for a server must not wait for lower layers.
    let can_wait = layers.iter().all(|layer| layer.can_wait);
    let threads = if can_wait { concurrency(layers.len()) } else { 1 }.max(1);
    let names: Vec<_> = layers.iter().map(|layer| layer.name.clone()).collect();
    let (queue, receivers) = LayerQueue::new(layers, MAX_WAITING_BATCHES / threads);
    let (queue, all) = (&queue, &BombGuard::default());
    let stop = &control.cancel.child_token();
    std::thread::scope(|scope| {
        // Created in this scope: the threads must be stopped before the scope waits for them.
        let _stopped = stop.clone().drop_guard();
        for _ in 0..threads {
            let (inflater, bytes) = connect(BUFFERS_IN_FLIGHT / threads, Watch { counter, stop });
            scope.spawn(move || inflater.run(all, || queue.take()));
            scope.spawn(move || send_layers(queue, bytes, inspect));
        }
        for (number, (name, receiver)) in names.iter().zip(receivers).enumerate() {
            let mut read = || loop {
                match receiver.recv() {
                    Ok(Message::Entries(entries)) => {
                        let mut entries = entries.into_iter();
                        entries.try_for_each(|entry| take(Step::Entry(name, entry)))?;
                    }
                    Ok(Message::End(size)) => return take(Step::End(size?)),
                    Err(_) => return Err(worker_exited(name)),
                }
            };
            read().map_err(|error| error.with_layer(number))?;
        }
        Ok(())
    })
}

/// Layers that no thread has begun, and where to send the entries of each.
struct LayerQueue<'a> {
    layers: Mutex<VecDeque<(usize, LayerBlob<'a>)>>,
    senders: Mutex<HashMap<usize, SyncSender<Message>>>,
}

impl<'a> LayerQueue<'a> {
    fn new(layers: Vec<LayerBlob<'a>>, waiting: usize) -> (Self, Vec<Receiver<Message>>) {
        let (mut senders, mut receivers) = (HashMap::new(), Vec::new());
        for number in 0..layers.len() {
            let (sender, receiver) = sync_channel(waiting);
            senders.insert(number, sender);
            receivers.push(receiver);
        }
        let layers = Mutex::new(layers.into_iter().enumerate().collect());
        (Self { layers, senders: Mutex::new(senders) }, receivers)
    }

    /// Takes the lowest layer: it is needed first.
    fn take(&self) -> Option<(usize, LayerBlob<'a>)> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn sender(&self, number: usize) -> Option<SyncSender<Message>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner).remove(&number)
    }
}

/// Reads layers until none is left, one fails, or the receiver of the entries is dropped.
fn send_layers(
    queue: &LayerQueue<'_>,
    mut bytes: InflatedReader,
    inspect: &impl Fn(&FileInLayer<'_>, &mut BlobEntries<'_>) -> io::Result<Inspected>,
) {
    while let Some(start) = bytes.next_layer()
        && let Some(sender) = queue.sender(start.number)
    {
        let mut batch = Batch { sender: &sender, entries: Vec::new(), bytes: 0 };
        let size = read_layer(&start, &mut bytes, |entries| {
            read_one(&start, entries, inspect, &mut batch)
        });
        let is_received = batch.flush().is_ok();
        let failed = size.is_err();
        if !is_received || sender.send(Message::End(size)).is_err() || failed {
            return;
        }
    }
}

fn read_one(
    start: &LayerStart,
    entries: &mut BlobEntries<'_>,
    inspect: &impl Fn(&FileInLayer<'_>, &mut BlobEntries<'_>) -> io::Result<Inspected>,
    batch: &mut Batch<'_>,
) -> Result<()> {
    let failed = |path: &[u8], error| failed(&start.name, &String::from_utf8_lossy(path), error);
    let mut last = Vec::new();
    while let Some(entry) = entries.next_entry().map_err(|error| failed(&last, error))? {
        let mut inspected = Inspected::default();
        if entry.kind == EntryKind::File {
            let file = FileInLayer { path: &entry.path, size: entry.size };
            inspected = inspect(&file, entries).map_err(|error| failed(&entry.path, error))?;
        }
        last.clone_from(&entry.path);
        batch.push(ReadEntry { entry, inspected }).map_err(|()| stopped(start))?;
    }
    Ok(())
}

/// Ends the layer after its receiver was dropped. This error is not reported.
fn stopped(start: &LayerStart) -> Error {
    Error::new(ErrorKind::Interrupted, &start.name)
}

/// Entries that are sent together.
struct Batch<'a> {
    sender: &'a SyncSender<Message>,
    entries: Vec<ReadEntry>,
    bytes: usize,
}

impl Batch<'_> {
    /// Adds an entry. Fails if the receiver was dropped.
    fn push(&mut self, read: ReadEntry) -> Result<(), ()> {
        let ReadEntry { entry, inspected } = &read;
        let xattrs = entry.xattrs.iter().map(|(name, value)| name.len() + value.len() + 64);
        let bytes = inspected.bytes.as_ref().map_or(0, Vec::len);
        self.bytes += size_of::<ReadEntry>() + entry.path.len() + entry.link.len() + bytes;
        self.bytes += xattrs.sum::<usize>();
        self.entries.push(read);
        if self.bytes < BATCH_BYTES { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), ()> {
        self.bytes = 0;
        let entries = std::mem::take(&mut self.entries);
        if entries.is_empty() {
            return Ok(());
        }
        self.sender.send(Message::Entries(entries)).map_err(|_| ())
    }
}
