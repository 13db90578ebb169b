//! All layers of an image in one root: read and written several at once, applied one after the other.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use super::blobs::{LayerBlob, PIECES, at_once, gone, read_layer};
use super::inflate::{Inflated, Watch, connect};
use super::stage::Stage;
use super::staged::{self, Batch, StagedLayer};
use super::stop::Stop;
use super::unpacker::Unpacker;
use super::waiting::Waiting;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Error, Result};
use crate::layer::Inflation;

/// Inflated pieces of a layer that is staged which may wait.
const PIECES_AHEAD: usize = 32;

impl Unpacker {
    /// Applies layers, base first, and gives the uncompressed size of each. `watch` hears of compressed bytes as they
    /// are read and tells whether to go on.
    ///
    /// Nothing that was unpacked can be trusted before this succeeded.
    ///
    /// # Errors
    /// With the number of the layer: [`ErrorKind::Mismatch`] for another `diff_id`, [`ErrorKind::Unsupported`] for a
    /// compression that is not read, [`ErrorKind::Interrupted`], else [`ErrorKind::Unpack`], or what the blob's reader
    /// says.
    pub fn apply_all(
        &mut self,
        layers: Vec<LayerBlob<'_>>,
        watch: &(dyn Fn(u64) -> bool + Sync),
    ) -> Result<Vec<u64>, (usize, Error)> {
        let all = &Inflation::default();
        let names: Vec<_> = layers.iter().map(|layer| layer.name.clone()).collect();
        // What is there already may be other file systems, which no file can be moved to.
        let at_once = if self.bare { at_once(layers.len()) } else { 1 };
        // One is applied, the others are staged.
        let stagers = at_once.saturating_sub(1);
        if stagers > 0 {
            self.begin_stage().map_err(|error| (0, super::failed("unpack", "", error)))?;
        }
        let (stage, options) = (self.stage.clone(), self.options);
        let (waiting, staged) = Waiting::new(layers);
        let stop = &Stop::default();
        let watch = Watch { hear: watch, stop };
        let outcome = std::thread::scope(|scope| {
            // Made in here: where a layer fails, the threads must hear of it before they are waited for.
            let _stopped = stop.at_end();
            let (inflater, bytes) = connect(PIECES, watch);
            scope.spawn(|| inflater.run(all, || waiting.take_lowest()));
            for stage in stage.iter().flat_map(|stage| std::iter::repeat_n(&**stage, stagers)) {
                let (inflater, layers) = connect(PIECES_AHEAD, watch);
                let (inflate, taken) = sync_channel(1);
                let waiting = &waiting;
                scope.spawn(move || inflater.run(all, || taken.recv().ok()));
                scope.spawn(move || staged::fill(stage, options, waiting, &inflate, layers));
            }
            self.apply_in_order(&names, &waiting, bytes, staged)
        });
        self.stage = None;
        outcome
    }

    fn begin_stage(&mut self) -> io::Result<()> {
        // It remembers when the root was changed last.
        self.parent(b"")?;
        self.stage = Some(Arc::new(Stage::begin(&self.root)?));
        Ok(())
    }

    fn apply_in_order(
        &mut self,
        names: &[String],
        waiting: &Waiting<'_>,
        mut bytes: Inflated,
        staged: Vec<Receiver<Batch>>,
    ) -> Result<Vec<u64>, (usize, Error)> {
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
                    let mut layer = StagedLayer::new(Arc::clone(stage), entries);
                    self.apply_changes(name, &mut layer).and_then(|()| layer.end())
                }
                _ => Err(gone(name)),
            };
            sizes.push(size.map_err(|error| (number, error))?);
        }
        Ok(sizes)
    }
}
