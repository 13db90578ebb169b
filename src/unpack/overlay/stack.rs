//! The layers of one image while they are unpacked concurrently. A layer that needs the lower ones waits for them.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind};
use crate::unpack::root::RootDir;

/// The state of each layer, base first.
#[derive(Debug)]
pub(super) struct LayerStack {
    layers: Mutex<Vec<LayerState>>,
    changed: Condvar,
}

#[derive(Clone, Debug)]
pub(super) enum LayerState {
    Open,
    /// Verified and published.
    Done(Arc<RootDir>),
    Failed,
}

impl LayerStack {
    pub(super) fn new(layers: Vec<LayerState>) -> Self {
        Self { layers: Mutex::new(layers), changed: Condvar::new() }
    }

    fn layers(&self) -> MutexGuard<'_, Vec<LayerState>> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, number: usize, layer: LayerState) {
        if let Some(slot) = self.layers().get_mut(number) {
            *slot = layer;
        }
        self.changed.notify_all();
    }

    /// Waits for the layers below this one and returns them, the top one first.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] if one of them failed: that layer reports the reason.
    pub(super) fn wait_for_lower(&self, number: usize) -> io::Result<Vec<Arc<RootDir>>> {
        let mut layers = self.layers();
        loop {
            let lower = layers.get(..number).unwrap_or_default();
            if lower.iter().any(|layer| matches!(layer, LayerState::Failed)) {
                let error = Error::new(ErrorKind::Interrupted, "unpack");
                return Err(io::Error::other(error.with_reason("a lower layer failed")));
            }
            let done: Option<Vec<_>> = lower
                .iter()
                .rev()
                .map(|layer| match layer {
                    LayerState::Done(root) => Some(Arc::clone(root)),
                    LayerState::Open | LayerState::Failed => None,
                })
                .collect();
            match done {
                Some(done) => return Ok(done),
                None => {
                    layers = self.changed.wait(layers).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}
