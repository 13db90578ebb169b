//! Unpacks all layers of an image into one root: several are read at the same time, and applied one after the other.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use super::entry_batch::EntryBatch;
use super::layer_queue::LayerQueue;
use super::read_ahead::{self, ReadAheadLayer};
use super::read_ahead_dir::ReadAheadDir;
use super::unpacker::Unpacker;
use crate::control::{Control, PhaseCounter};
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::image_layers::LayerBlob;
use crate::image_layers::inflate::{InflatedReader, Watch, connect};
use crate::image_layers::read::{BUFFERS_IN_FLIGHT, concurrency, read_layer, worker_exited};
use crate::layer::BombGuard;
use crate::limits::BUFFER_SIZE;
use crate::progress::Phase;

/// Maximum number of decompressed buffers that wait for a layer that is read ahead.
const READ_AHEAD_BUFFERS: usize = 16;

/// Bytes of decompressed layers that wait between threads, on two cores. A transfer that runs meanwhile can leave them out of its
/// [window](crate::transfer::TransferOptions::window).
pub const WAITING_BYTES: u64 = ((BUFFERS_IN_FLIGHT + READ_AHEAD_BUFFERS) * BUFFER_SIZE) as u64;

impl Unpacker {
    /// Applies layers, base first, and gives the uncompressed size of each.
    ///
    /// Nothing that was unpacked can be trusted before this succeeded.
    ///
    /// # Errors
    /// With [the position](crate::error::Error::layer) of the layer: [`ErrorKind::Mismatch`] for another `diff_id`,
    /// [`ErrorKind::Unsupported`] for a compression that is not read, [`ErrorKind::Interrupted`], else
    /// [`ErrorKind::Unpack`], or what the blob's reader says.
    pub fn apply_parallel(
        &mut self,
        layers: Vec<LayerBlob<'_>>,
        control: &Control,
    ) -> Result<Vec<u64>> {
        let all = &BombGuard::default();
        let total = layers.iter().map(|layer| layer.size).sum();
        let counter = PhaseCounter::new(control, Phase::Unpack, total);
        let names: Vec<_> = layers.iter().map(|layer| layer.name.clone()).collect();
        // An existing root may contain mount points, and files cannot be moved to another file system.
        let threads = if self.root_was_empty { concurrency(layers.len()) } else { 1 };
        // One thread applies layers, the others read ahead.
        let read_ahead_threads = threads.saturating_sub(1);
        if read_ahead_threads > 0 {
            self.start_read_ahead().map_err(|error| super::failed("unpack", "", error))?;
        }
        let (dir, options) = (self.read_ahead_dir.clone(), self.options);
        let (waiting, batches) = LayerQueue::new(layers);
        let stop = &control.cancel.child_token();
        let watch = Watch { counter: &counter, stop };
        let outcome = std::thread::scope(|scope| {
            // Created in this scope: the threads must be stopped before the scope waits for them.
            let _stopped = stop.clone().drop_guard();
            let (inflater, bytes) = connect(BUFFERS_IN_FLIGHT, watch);
            scope.spawn(|| inflater.run(all, || waiting.take_lowest()));
            for dir in dir.iter().flat_map(|dir| std::iter::repeat_n(&**dir, read_ahead_threads)) {
                let (inflater, layers) = connect(READ_AHEAD_BUFFERS, watch);
                let (inflate, taken) = sync_channel(1);
                let waiting = &waiting;
                scope.spawn(move || inflater.run(all, || taken.recv().ok()));
                scope.spawn(move || read_ahead::fill(dir, options, waiting, &inflate, layers));
            }
            self.apply_in_order(&names, &waiting, bytes, batches)
        });
        self.read_ahead_dir = None;
        outcome
    }

    fn start_read_ahead(&mut self) -> io::Result<()> {
        // This records the time of the root before it changes.
        self.parent(b"")?;
        self.read_ahead_dir = Some(Arc::new(ReadAheadDir::begin(&self.root)?));
        Ok(())
    }

    fn apply_in_order(
        &mut self,
        names: &[String],
        waiting: &LayerQueue<'_>,
        mut bytes: InflatedReader,
        batches: Vec<Receiver<EntryBatch>>,
    ) -> Result<Vec<u64>> {
        let mut sizes = Vec::new();
        let mut started = bytes.next_layer();
        for (number, (name, entries)) in names.iter().zip(batches).enumerate() {
            let size = match (&started, &self.read_ahead_dir) {
                (Some(layer), _) if layer.number == number => {
                    let size = read_layer(layer, &mut bytes, |entries| self.apply(name, entries));
                    if size.is_ok() {
                        started = bytes.next_layer();
                    }
                    size
                }
                (_, Some(dir)) if !waiting.has(number) => {
                    let mut layer = ReadAheadLayer::new(Arc::clone(dir), entries);
                    self.apply_changes(name, &mut layer).and_then(|()| layer.end())
                }
                _ => Err(worker_exited(name)),
            };
            sizes.push(size.map_err(|error| error.with_layer(number))?);
        }
        Ok(sizes)
    }
}
