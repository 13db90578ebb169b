//! Unpacks the missing layers of an image, several concurrently.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::directory::{OverlayDirectory, OverlayLock};
use super::layer_dir::LayerMetadata;
use super::stack::{LayerStack, LayerState};
use super::state::OverlayState;
use crate::control::{Control, PhaseCounter};
use crate::digest::Digest;
use crate::error::{ErrorKind, Result};
use crate::image_layers::LayerBlob;
use crate::image_layers::read::{concurrency, read_all};
use crate::layer::BombGuard;
use crate::progress::Phase;
use crate::unpack::root_builder::BuildOptions;
use crate::unpack::unpacker::{UnpackOptions, Unpacked, Unpacker};

/// A layer with the chain id of the stack that ends with it.
#[derive(Debug)]
#[non_exhaustive]
pub struct OverlayLayer<'a> {
    /// The layer's blob.
    pub blob: LayerBlob<'a>,
    /// The chain id.
    pub chain: Digest,
}

impl<'a> OverlayLayer<'a> {
    /// A layer with its chain id, as [`chain_ids`](crate::insight::layers::chain_ids) gives it.
    pub fn new(blob: LayerBlob<'a>, chain: Digest) -> Self {
        Self { blob, chain }
    }
}

/// The result of unpacking an image's layers.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct OverlayResult {
    /// Totals of newly unpacked layers.
    pub unpacked: Unpacked,
    /// Uncompressed bytes of each layer, base first; `None` if it existed already.
    pub sizes: Vec<Option<u64>>,
    /// Layers that existed already.
    pub shared: u64,
    /// Bytes of their files.
    pub shared_bytes: u64,
}

/// The state shared by all threads.
struct OverlayRun<'a> {
    directory: &'a OverlayDirectory,
    stack: Arc<LayerStack>,
    chains: &'a [Digest],
    preserve: bool,
    counter: PhaseCounter,
    /// Limits the output of all layers together.
    bomb_guard: BombGuard,
    /// Stops the other layers after one failed.
    stop: CancellationToken,
}

struct LayerTask<'a> {
    number: usize,
    blob: LayerBlob<'a>,
}

/// Reports a failed layer to the others, also by a panic: they would wait for it.
struct FailureGuard<'a> {
    run: &'a OverlayRun<'a>,
    number: usize,
    is_done: bool,
}

impl Drop for FailureGuard<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.run.stack.set(self.number, LayerState::Failed);
            self.run.stop.cancel();
        }
    }
}

type LayerOutcome = (usize, Result<(u64, Unpacked)>);

impl OverlayDirectory {
    /// Unpacks missing layers; the layers are listed base first. Layers that were complete before another failed are kept.
    ///
    /// # Errors
    /// As [`Unpacker::apply_parallel`].
    pub fn unpack(
        &self,
        _lock: &OverlayLock,
        layers: Vec<OverlayLayer<'_>>,
        options: BuildOptions,
        control: &Control,
    ) -> Result<OverlayResult> {
        let failed = |error| self.failed(error);
        self.sweep().map_err(failed)?;
        let chains: Vec<_> = layers.iter().map(|layer| layer.chain.clone()).collect();
        let mut result =
            OverlayResult { sizes: vec![None; layers.len()], ..OverlayResult::default() };
        let (mut stack, mut missing, mut any_unsynced) = (Vec::new(), Vec::new(), false);
        for (number, layer) in layers.into_iter().enumerate() {
            if let Some(size) = self.trusted_size(&layer.chain).map_err(failed)? {
                result.shared += 1;
                result.shared_bytes += size;
                stack.push(LayerState::Done(Arc::new(self.diff_of(&layer.chain).map_err(failed)?)));
            } else {
                any_unsynced |= self.size_of(&layer.chain).map_err(failed)?.is_some();
                stack.push(LayerState::Open);
                missing.push(LayerTask { number, blob: layer.blob });
            }
        }
        let to_read = missing.iter().map(|task| task.blob.size).sum();
        let run = OverlayRun {
            directory: self,
            stack: Arc::new(LayerStack::new(stack)),
            chains: &chains,
            preserve: options.preserve,
            counter: PhaseCounter::new(control, Phase::Unpack, to_read),
            bomb_guard: BombGuard::default(),
            stop: control.cancel.child_token(),
        };
        for (number, outcome) in run.run_all(missing) {
            let (size, unpacked) = outcome.map_err(|error| error.with_layer(number))?;
            if let Some(slot) = result.sizes.get_mut(number) {
                *slot = Some(size);
            }
            result.unpacked.add(unpacked);
        }
        // A run that replaces unsynced layers syncs the new ones, so that the next boot need not replace them again.
        if options.sync || any_unsynced {
            self.make_durable(&chains).map_err(failed)?;
        }
        Ok(result)
    }
}

impl OverlayRun<'_> {
    /// Returns the outcomes in the order of the layers. The error to report comes first.
    fn run_all(&self, missing: Vec<LayerTask<'_>>) -> Vec<LayerOutcome> {
        let threads = concurrency(missing.len());
        let missing: Vec<_> = missing.into_iter().map(|task| Mutex::new(Some(task))).collect();
        let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            // Base first: a layer that waits for lower ones waits for threads that are running.
            while let Some(task) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                let task = task.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(LayerTask { number, blob }) = task {
                    let outcome = self.run_one(number, blob);
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((number, outcome));
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcomes.sort_by_key(|(number, outcome)| match outcome {
            Err(error) if error.kind() != ErrorKind::Interrupted => (0, *number),
            Err(_) => (1, *number),
            Ok(_) => (2, *number),
        });
        outcomes
    }

    fn run_one(&self, number: usize, blob: LayerBlob<'_>) -> Result<(u64, Unpacked)> {
        let mut guard = FailureGuard { run: self, number, is_done: false };
        let outcome = self.unpack(number, blob);
        guard.is_done = outcome.is_ok();
        outcome
    }

    fn unpack(&self, number: usize, blob: LayerBlob<'_>) -> Result<(u64, Unpacked)> {
        let (name, diff_id) = (blob.name.clone(), blob.diff_id.clone());
        let failed = |error| crate::unpack::failed(&name, "", error);
        let new_layer = self.directory.begin_layer().map_err(failed)?;
        let root = Arc::new(new_layer.diff().map_err(failed)?);
        let options = UnpackOptions { preserve: self.preserve, new_root: number == 0 };
        let mut unpacker = Unpacker::new(new_layer.diff().map_err(failed)?, options)?;
        unpacker.overlay =
            Some(OverlayState::new(&self.stack, number, self.directory.xattr_namespace()));
        let (stop, counter) = (&self.stop, &self.counter);
        let sizes = read_all(&self.bomb_guard, vec![blob], stop, counter, |name, layer| {
            unpacker.apply(name, layer)
        })?;
        let receipt = unpacker.finish()?;
        // Files copied up from lower layers are only valid if these are.
        self.stack.wait_for_lower(number).map_err(failed)?;
        let (lower, chain) = self.chains.split_at(number);
        if let Some(chain) = chain.first() {
            let metadata = LayerMetadata { chain, diff_id: &diff_id, lower, size: receipt.bytes };
            new_layer.publish(&metadata).map_err(failed)?;
        }
        self.stack.set(number, LayerState::Done(root));
        Ok((sizes.into_iter().sum(), receipt))
    }
}
