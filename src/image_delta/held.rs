//! The layers of a store, by `diff_id`, and decompressed once a run.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use crate::blocking::run_cancellable;
use crate::control::Control;
use crate::delta::{OldLayer, TarFile};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::layout::Layout;

/// Layers that are rebuilt at once.
const MAX_AT_ONCE: u32 = 2;
/// MiB of memory for all layers that are rebuilt at once. A layer that needs more is rebuilt alone; limits of deltas keep that
/// below 144 MiB.
const MEMORY: u32 = 128;

/// The layers of a layout's images, for deltas.
pub struct HeldLayers {
    layout: Arc<Layout>,
    by_diff_id: OnceCell<BTreeMap<Digest, Digest>>,
    /// Permits to rebuild, one for each MiB of memory.
    memory: Arc<Semaphore>,
    /// Permits that a layer takes at least, as it takes a core too.
    least_memory: u32,
    /// Decompressed layers. Each takes as much disk as it is long until this is dropped.
    tars: Mutex<HashMap<Digest, Arc<OnceCell<TarFile>>>>,
    /// Sizes of the layers that the run has to write to the same disk.
    missing: Mutex<HashMap<Digest, u64>>,
    control: Control,
}

impl std::fmt::Debug for HeldLayers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeldLayers").field("layout", &self.layout).finish_non_exhaustive()
    }
}

impl HeldLayers {
    /// The layers of this layout. Nothing is read before it is needed.
    pub fn new(layout: Arc<Layout>, control: Control) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let at_once = if cores > 1 { MAX_AT_ONCE } else { 1 };
        Self {
            layout,
            by_diff_id: OnceCell::new(),
            memory: Arc::new(Semaphore::new(MEMORY as usize)),
            least_memory: MEMORY / at_once,
            tars: Mutex::default(),
            missing: Mutex::default(),
            control,
        }
    }

    /// Whether there are no images, and so no layers. Reads the index only.
    pub(super) fn is_empty(&self) -> bool {
        self.layout.entries().is_ok_and(|entries| entries.is_empty())
    }

    /// Those of these layers that no image has.
    pub(super) async fn lacks<'a>(&self, diff_ids: &'a [Digest]) -> Result<Vec<&'a Digest>> {
        let held = self.by_diff_id().await?;
        Ok(diff_ids.iter().filter(|diff_id| !held.contains_key(*diff_id)).collect())
    }

    /// Notes layers that the run has to write. Old layers take no disk that these need: otherwise a rebuilt layer would make the others
    /// fail.
    pub(super) fn reserve(&self, layers: &[&Descriptor]) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.extend(layers.iter().map(|layer| (layer.digest.clone(), layer.size)));
    }

    fn reserved(&self) -> u64 {
        let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.values().fold(0, |sum, size| sum.saturating_add(*size))
    }

    async fn by_diff_id(&self) -> Result<&BTreeMap<Digest, Digest>> {
        let layout = &self.layout;
        let read = || {
            let layout = Arc::clone(layout);
            run_cancellable(&self.control, "read layers", move |_| layout.layers_by_diff_id())
        };
        self.by_diff_id.get_or_try_init(read).await
    }

    /// The tar of a layer.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if no image has it, and those of [`TarFile::check_space`] and [`TarFile::decompress`].
    pub(super) async fn tar(&self, wanted: &OldLayer) -> Result<TarFile> {
        let missing = || {
            let reason = format!("the store has no layer with the diff_id {}", wanted.diff_id);
            Error::new(ErrorKind::NotFound, "delta").with_reason(reason)
        };
        let layer = self.by_diff_id().await?.get(&wanted.diff_id).ok_or_else(missing)?;
        let cell = {
            let mut tars = self.tars.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(tars.entry(wanted.diff_id.clone()).or_default())
        };
        let decompress = || {
            let (layout, layer, wanted) = (Arc::clone(&self.layout), layer.clone(), wanted.clone());
            let reserved = self.reserved();
            run_cancellable(&self.control, "decompress layer", move |control| {
                let (dir, OldLayer { diff_id, size, .. }) = (layout.root(), &wanted);
                TarFile::check_space(dir, *size, reserved)?;
                TarFile::decompress(layout.blob_file(&layer)?, diff_id, *size, dir, control)
            })
        };
        let tar = cell.get_or_try_init(decompress).await;
        tar.cloned().map_err(|error| {
            let full = matches!(
                error.detail(),
                Some(ErrorDetail::SpoolDiskFull | ErrorDetail::StoreDiskFull)
            );
            Error::new(error.kind(), format!("old layer {layer}"))
                .with_data_of(&error)
                .with_detail(full.then_some(ErrorDetail::StoreDiskFull))
                .with_source(error)
        })
    }

    /// Waits until a layer that takes so many bytes of memory may be rebuilt. It may as long as the permit exists.
    pub(super) async fn permit(&self, memory: u64) -> Result<OwnedSemaphorePermit> {
        let closed = |error| Error::new(ErrorKind::Interrupted, "delta").with_source(error);
        let memory = u32::try_from(memory.div_ceil(1 << 20)).unwrap_or(MEMORY);
        let permits = memory.clamp(self.least_memory, MEMORY);
        Arc::clone(&self.memory).acquire_many_owned(permits).await.map_err(closed)
    }

    /// Where temporary files belong.
    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }
}
