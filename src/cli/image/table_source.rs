//! Layers of a registry by their tables of contents: only the table and the needed chunks are fetched.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;

use crate::blocking::{run_blocking, run_cancellable};
use crate::content::{BlobRequest, Source};
use crate::control::Control;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::image_layers::failed;
use crate::layer::toc::{Contents, Opened, Table, TableLocation};
use crate::retry::{Failures, RetryPolicy, announce};

/// Maximum responses for one range: some registries respond with less than was requested.
const MAX_RESPONSES: u32 = 100;

/// Most bytes of tables that are kept, for a second look into one.
const MAX_KEPT_BYTES: usize = 64 << 20;

/// Fetches ranges of blobs, and counts what is transferred.
pub(in crate::cli) struct RangeReader {
    source: Arc<dyn Source>,
    policy: RetryPolicy,
    transferred: Arc<AtomicU64>,
    is_unsupported: AtomicBool,
    tables: Mutex<KeptRanges>,
}

/// Ranges of blobs that have tables in them, and their bytes.
#[derive(Default)]
struct KeptRanges {
    ranges: HashMap<(Digest, Range<u64>), Bytes>,
    size: usize,
}

impl RangeReader {
    pub(in crate::cli) fn new(
        source: Arc<dyn Source>,
        policy: RetryPolicy,
        transferred: Arc<AtomicU64>,
    ) -> Self {
        let (is_unsupported, tables) = (AtomicBool::new(false), Mutex::default());
        Self { source, policy, transferred, is_unsupported, tables }
    }

    /// As [`fetch`](Self::fetch), once for a range, as long as all of them are small.
    async fn fetch_table(&self, layer: &Descriptor, range: Range<u64>) -> Result<Option<Bytes>> {
        let key = (layer.digest.clone(), range.clone());
        let kept = self.tables().ranges.get(&key).cloned();
        if kept.is_some() {
            return Ok(kept);
        }
        let bytes = self.fetch(layer, range).await?;
        let mut tables = self.tables();
        if let Some(bytes) = &bytes
            && tables.size + bytes.len() <= MAX_KEPT_BYTES
        {
            tables.size += bytes.len();
            tables.ranges.insert(key, bytes.clone());
        }
        Ok(bytes)
    }

    fn tables(&self) -> MutexGuard<'_, KeptRanges> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the bytes of a range; `None` if the source does not support ranges.
    async fn fetch(&self, layer: &Descriptor, range: Range<u64>) -> Result<Option<Bytes>> {
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let (mut bytes, mut failures) = (BytesMut::new(), Failures::default());
        let mut responses = 0..MAX_RESPONSES;
        while bytes.len() < length {
            if self.is_unsupported.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let before = bytes.len();
            let start = range.start + before as u64;
            let fetched = self.append(layer, start..range.end, &mut bytes).await;
            if bytes.len() > before {
                failures = Failures::default();
                let is_last = responses.next().is_none() && bytes.len() < length;
                if is_last {
                    return Err(ended_early(layer).permanent());
                }
            } else if let Err(error) = fetched {
                let (delay, error) = self.policy.backoff(&mut failures, error)?;
                announce(&self.policy, &error);
                tracing::info!("{}; retrying in {} ms", error.chain(), delay.as_millis());
                tokio::time::sleep(delay).await;
            }
        }
        bytes.truncate(length);
        Ok(Some(bytes.freeze()))
    }

    /// Adds the bytes of one response.
    async fn append(
        &self,
        layer: &Descriptor,
        range: Range<u64>,
        bytes: &mut BytesMut,
    ) -> Result<()> {
        let request = BlobRequest::from(layer, range.start).range(range.clone());
        let mut blob = self.source.open_blob(request).await?;
        if blob.start != range.start {
            self.is_unsupported.store(true, Ordering::Relaxed);
            return Ok(());
        }
        let mut left = range.end - range.start;
        while left > 0
            && let Some(buffer) = blob.stream.try_next().await?
        {
            self.transferred.fetch_add(buffer.len() as u64, Ordering::Relaxed);
            bytes.extend_from_slice(&buffer);
            left = left.saturating_sub(buffer.len() as u64);
        }
        if left < range.end - range.start {
            return Ok(());
        }
        Err(ended_early(layer))
    }
}

fn ended_early(layer: &Descriptor) -> Error {
    let error = Error::new(ErrorKind::Transport, format!("layer {}", layer.digest));
    error.with_reason("response ended early").transient(None)
}

/// A layer whose table was fetched.
pub(in crate::cli) struct TableSource {
    ranges: Arc<RangeReader>,
    layer: Descriptor,
    contents: Contents,
}

impl TableSource {
    /// A layer with the table that [`fetch_table`] gave, or what of it is needed.
    pub(in crate::cli) fn new(ranges: Arc<RangeReader>, layer: Descriptor, table: Table) -> Self {
        Self { ranges, layer, contents: table.contents }
    }

    /// Whether it is known where the bytes of this file are.
    pub(in crate::cli) fn has(&self, entry: u32) -> bool {
        self.contents.has(entry)
    }

    /// Passes the bytes of a file to `output`, each chunk after it was verified. Returns false, and passes nothing, if only
    /// the whole layer gives them.
    ///
    /// # Errors
    /// Those of the source and of `output`, and a chunk that is not as in the table.
    pub(in crate::cli) async fn read_file(
        &self,
        entry: u32,
        path: &str,
        output: fn(&[u8]) -> Result<()>,
    ) -> Result<bool> {
        let Some(groups) = self.contents.file(entry) else { return Ok(false) };
        let mut is_first = true;
        for group in groups {
            let bytes = if group.range.is_empty() {
                Some(Bytes::new())
            } else {
                self.ranges.fetch(&self.layer, group.range.clone()).await?
            };
            let name = format!("layer {}", self.layer.digest);
            let Some(bytes) = bytes else {
                if is_first {
                    return Ok(false);
                }
                let error = Error::new(ErrorKind::Registry, name);
                return Err(error.with_reason("the registry stopped supporting range requests"));
            };
            is_first = false;
            let path = path.to_owned();
            let read = move || group.read(&bytes, |error| failed(&name, &path, error), output);
            run_blocking("read layers", read).await?;
        }
        Ok(true)
    }
}

/// Fetches the table of a layer. `None` if it has none that is understood, or the source does not support ranges. Dropping
/// the future ends the parsing too.
///
/// # Errors
/// Those of the source, and a table that is not the annotated one or is malformed.
pub(in crate::cli) async fn fetch_table(
    ranges: &RangeReader,
    layer: &Descriptor,
) -> Result<Option<Table>> {
    let name = format!("layer {}", layer.digest);
    let mut location = TableLocation::of(layer).map_err(|error| failed(&name, "", error))?;
    while let Some(here) = location.take() {
        let bytes = ranges.fetch_table(layer, here.range.clone()).await?;
        let Some(bytes) = bytes else { return Ok(None) };
        let own = name.clone();
        let open = move |control: &Control| {
            here.open(&bytes, control).map_err(|error| failed(&own, "", error))
        };
        match run_cancellable(&Control::default(), "read layers", open).await? {
            Opened::None => return Ok(None),
            Opened::Further(further) => location = Some(further),
            Opened::Table(table) => return Ok(Some(*table)),
        }
    }
    Ok(None)
}
