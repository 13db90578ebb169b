//! The layers of an image that no thread has started.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use super::entry_batch::{EntryBatch, MAX_QUEUED_BATCHES};
use crate::image_layers::LayerBlob;

/// The layers by position, base first, each with the channel for its entries if it is read ahead.
type PendingLayers<'a> = BTreeMap<usize, (LayerBlob<'a>, SyncSender<EntryBatch>)>;

pub(super) struct LayerQueue<'a>(Mutex<PendingLayers<'a>>);

impl<'a> LayerQueue<'a> {
    /// Also returns one receiver per layer, for its entries if it is read ahead.
    pub(super) fn new(layers: Vec<LayerBlob<'a>>) -> (Self, Vec<Receiver<EntryBatch>>) {
        let (mut waiting, mut receivers) = (BTreeMap::new(), Vec::new());
        for (number, blob) in layers.into_iter().enumerate() {
            let (entries, receiver) = sync_channel(MAX_QUEUED_BATCHES);
            waiting.insert(number, (blob, entries));
            receivers.push(receiver);
        }
        (Self(Mutex::new(waiting)), receivers)
    }

    /// Takes the layer to apply next.
    pub(super) fn take_lowest(&self) -> Option<(usize, LayerBlob<'a>)> {
        self.with(|layers| layers.pop_first().map(|(number, (blob, _))| (number, blob)))
    }

    /// Takes the layer most worth reading ahead. Never the lowest one, which is applied next.
    pub(super) fn take_largest(&self) -> Option<(usize, LayerBlob<'a>, SyncSender<EntryBatch>)> {
        self.with(|layers| {
            let above = layers.iter().skip(1);
            let (&number, _) = above.max_by_key(|(_, (blob, _))| blob.size)?;
            layers.remove(&number).map(|(blob, entries)| (number, blob, entries))
        })
    }

    /// Whether this layer was not taken yet.
    pub(super) fn has(&self, number: usize) -> bool {
        self.with(|layers| layers.contains_key(&number))
    }

    fn with<T>(&self, take: impl FnOnce(&mut PendingLayers<'a>) -> T) -> T {
        take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
