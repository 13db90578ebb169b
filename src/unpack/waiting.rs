//! The layers of an image that nobody has begun with.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use super::apply::LayerBlob;
use super::staged::{BATCHES, Batch};

/// A layer that one of the threads has taken.
pub(super) struct Taken<'a> {
    pub(super) number: usize,
    pub(super) blob: LayerBlob<'a>,
    /// Where its entries go if it is staged.
    pub(super) entries: SyncSender<Batch>,
}

/// By their numbers, base first.
pub(super) struct Waiting<'a>(Mutex<BTreeMap<usize, Taken<'a>>>);

impl<'a> Waiting<'a> {
    /// Also gives, for each layer, where its entries come out if it is staged.
    pub(super) fn new(layers: Vec<LayerBlob<'a>>) -> (Self, Vec<Receiver<Batch>>) {
        let (mut waiting, mut staged) = (BTreeMap::new(), Vec::new());
        for (number, blob) in layers.into_iter().enumerate() {
            let (entries, out) = sync_channel(BATCHES);
            waiting.insert(number, Taken { number, blob, entries });
            staged.push(out);
        }
        (Self(Mutex::new(waiting)), staged)
    }

    /// The one that is applied next.
    pub(super) fn take_lowest(&self) -> Option<Taken<'a>> {
        self.with(|waiting| waiting.pop_first().map(|(_, taken)| taken))
    }

    /// The one that it is most worth to be ahead with. The lowest is never it: its turn comes at once.
    pub(super) fn take_largest(&self) -> Option<Taken<'a>> {
        self.with(|waiting| {
            let above = waiting.iter().skip(1);
            let (number, _) = above.max_by_key(|(_, taken)| taken.blob.size)?;
            let number = *number;
            waiting.remove(&number)
        })
    }

    /// Whether nobody has taken this one.
    pub(super) fn has(&self, number: usize) -> bool {
        self.with(|waiting| waiting.contains_key(&number))
    }

    fn with<T>(&self, take: impl FnOnce(&mut BTreeMap<usize, Taken<'a>>) -> T) -> T {
        take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
