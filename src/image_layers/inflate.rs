//! Decompresses layers on a separate thread ahead of the reader, in parallel with hashing and writing.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use tokio_util::sync::CancellationToken;

use super::layer_blob::LayerBlob;
use crate::control::PhaseCounter;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::layer::{BombGuard, decompress_detected};
use crate::limits::BUFFER_SIZE;

/// Facts about a layer that its reader needs.
pub(crate) struct LayerStart {
    pub(crate) number: usize,
    pub(crate) name: String,
    pub(crate) diff_id: Digest,
}

enum Message {
    Begin(LayerStart),
    Bytes(Vec<u8>),
    /// The end of the layer, or an error.
    End(io::Result<()>),
}

/// The sending half, for the decompression thread.
pub(crate) struct InflateWorker<'a> {
    messages: SyncSender<Message>,
    spare: Receiver<Vec<u8>>,
    watch: Watch<'a>,
}

/// Reports progress and checks whether to continue.
#[derive(Clone, Copy)]
pub(crate) struct Watch<'a> {
    /// Counts the compressed bytes that were read.
    pub(crate) counter: &'a PhaseCounter,
    /// Stops the readers alone.
    pub(crate) stop: &'a CancellationToken,
}

impl Watch<'_> {
    fn check(self, bytes: u64) -> io::Result<()> {
        self.counter.add(bytes).map_err(io::Error::other)?;
        if self.stop.is_cancelled() {
            let stopped = Error::new(ErrorKind::Interrupted, "unpack").with_reason("interrupted");
            return Err(io::Error::other(stopped));
        }
        Ok(())
    }
}

/// The receiving half: the bytes of one layer after the other.
pub(crate) struct InflatedReader {
    messages: Receiver<Message>,
    spare: Sender<Vec<u8>>,
    buffer: Vec<u8>,
    at: usize,
    ended: bool,
}

/// Connects both halves; at most `waiting` buffers are in flight.
pub(crate) fn connect(capacity: usize, watch: Watch<'_>) -> (InflateWorker<'_>, InflatedReader) {
    let (messages, to_read) = sync_channel(capacity);
    let (used, spare) = channel();
    let bytes =
        InflatedReader { messages: to_read, spare: used, buffer: Vec::new(), at: 0, ended: true };
    (InflateWorker { messages, spare, watch }, bytes)
}

impl InflateWorker<'_> {
    /// Decompresses layers until none is left, one fails or the reader is dropped.
    pub(crate) fn run<'b>(
        self,
        guard: &BombGuard,
        mut take: impl FnMut() -> Option<(usize, LayerBlob<'b>)>,
    ) {
        while let Some((number, blob)) = take() {
            let (name, diff_id) = (blob.name.clone(), blob.diff_id.clone());
            let layer = LayerStart { number, name, diff_id };
            if self.messages.send(Message::Begin(layer)).is_err() {
                return;
            }
            let end = self.inflate(guard, blob);
            let failed = end.is_err();
            if self.messages.send(Message::End(end)).is_err() || failed {
                return;
            }
        }
    }

    fn inflate(&self, guard: &BombGuard, layer: LayerBlob<'_>) -> io::Result<()> {
        let blob = ProgressReader { blob: (layer.open)(self.watch.stop)?, watch: self.watch };
        let mut decompressed = decompress_detected(guard, blob)?;
        loop {
            // Check also while a small input gives much output.
            self.watch.check(0)?;
            let mut buffer = self.spare.try_recv().unwrap_or_default();
            buffer.resize(BUFFER_SIZE, 0);
            let (length, end) = fill(&mut *decompressed, &mut buffer);
            buffer.truncate(length);
            if length > 0 && self.messages.send(Message::Bytes(buffer)).is_err() {
                // The reader has failed and reports its own error.
                return Ok(());
            }
            if let Some(end) = end {
                return end;
            }
        }
    }
}

/// Fills the buffer. Returns its length, and an end or error after these bytes.
fn fill(decompressed: &mut dyn Read, buffer: &mut [u8]) -> (usize, Option<io::Result<()>>) {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match decompressed.read(rest) {
            Ok(0) => return (length, Some(Ok(()))),
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (length, Some(Err(error))),
        }
    }
    (length, None)
}

impl InflatedReader {
    /// Starts the next layer, if any; the current one must have been read to its end.
    pub(crate) fn next_layer(&mut self) -> Option<LayerStart> {
        let Ok(Message::Begin(layer)) = self.messages.recv() else { return None };
        self.ended = false;
        Some(layer)
    }
}

impl BufRead for InflatedReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.buffer.len() && !self.ended {
            let used = std::mem::take(&mut self.buffer);
            if !used.is_empty() {
                // The thread may have finished.
                _ = self.spare.send(used).is_ok();
            }
            self.at = 0;
            match self.messages.recv() {
                Ok(Message::Bytes(buffer)) => self.buffer = buffer,
                Ok(Message::End(end)) => {
                    self.ended = true;
                    end?;
                }
                // A layer begins when the one before it has ended.
                Ok(Message::Begin(_)) | Err(_) => {
                    return Err(io::Error::other("decompression thread exited unexpectedly"));
                }
            }
        }
        Ok(self.buffer.get(self.at..).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.at = (self.at + amount).min(self.buffer.len());
    }
}

impl Read for InflatedReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

struct ProgressReader<'a, R> {
    blob: R,
    watch: Watch<'a>,
}

impl<R: Read> Read for ProgressReader<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.blob.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => self.watch.check(0)?,
                other => {
                    let read = other?;
                    self.watch.check(read as u64)?;
                    return Ok(read);
                }
            }
        }
    }
}
