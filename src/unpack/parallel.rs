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
use crate::progress::Phase;

/// Maximum number of decompressed buffers that wait for a layer that is read ahead.
const PIECES_AHEAD: usize = 32;

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
        let at_once = if self.root_was_empty { concurrency(layers.len()) } else { 1 };
        // One thread applies layers, the others read ahead.
        let stagers = at_once.saturating_sub(1);
        if stagers > 0 {
            self.start_read_ahead().map_err(|error| super::failed("unpack", "", error))?;
        }
        let (stage, options) = (self.stage.clone(), self.options);
        let (waiting, staged) = LayerQueue::new(layers);
        let stop = &control.cancel.child_token();
        let watch = Watch { counter: &counter, stop };
        let outcome = std::thread::scope(|scope| {
            // Created in this scope: the threads must be stopped before the scope waits for them.
            let _stopped = stop.clone().drop_guard();
            let (inflater, bytes) = connect(BUFFERS_IN_FLIGHT, watch);
            scope.spawn(|| inflater.run(all, || waiting.take_lowest()));
            for stage in stage.iter().flat_map(|stage| std::iter::repeat_n(&**stage, stagers)) {
                let (inflater, layers) = connect(PIECES_AHEAD, watch);
                let (inflate, taken) = sync_channel(1);
                let waiting = &waiting;
                scope.spawn(move || inflater.run(all, || taken.recv().ok()));
                scope.spawn(move || read_ahead::fill(stage, options, waiting, &inflate, layers));
            }
            self.apply_in_order(&names, &waiting, bytes, staged)
        });
        self.stage = None;
        outcome
    }

    fn start_read_ahead(&mut self) -> io::Result<()> {
        // This records the time of the root before it changes.
        self.parent(b"")?;
        self.stage = Some(Arc::new(ReadAheadDir::begin(&self.root)?));
        Ok(())
    }

    fn apply_in_order(
        &mut self,
        names: &[String],
        waiting: &LayerQueue<'_>,
        mut bytes: InflatedReader,
        staged: Vec<Receiver<EntryBatch>>,
    ) -> Result<Vec<u64>> {
        let mut sizes = Vec::new();
        let mut begun = bytes.next_layer();
        for (number, (name, entries)) in names.iter().zip(staged).enumerate() {
            let size = match (&begun, &self.stage) {
                (Some(here), _) if here.number == number => {
                    let size = read_layer(here, &mut bytes, |entries| self.apply(name, entries));
                    if size.is_ok() {
                        begun = bytes.next_layer();
                    }
                    size
                }
                (_, Some(stage)) if !waiting.has(number) => {
                    let mut layer = ReadAheadLayer::new(Arc::clone(stage), entries);
                    self.apply_changes(name, &mut layer).and_then(|()| layer.end())
                }
                _ => Err(worker_exited(name)),
            };
            sizes.push(size.map_err(|error| error.with_layer(number))?);
        }
        Ok(sizes)
    }
}
