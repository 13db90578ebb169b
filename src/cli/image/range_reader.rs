//! Fetches ranges of blobs, and tries again where a response ends early.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;

use super::attribute_error::may_be_corruption;
use crate::content::{BlobRequest, Source};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::retry::{Failures, RetryPolicy, warn_of_outage};

/// Maximum responses for one range: some registries respond with less than was requested.
const MAX_RESPONSES: u32 = 100;

/// Maximum bytes of tables that are kept, for a second look into one.
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
    pub(super) async fn fetch_table(
        &self,
        layer: &Descriptor,
        range: Range<u64>,
    ) -> Result<Option<Bytes>> {
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

    /// Returns the error to report for ranges of a layer that are not as its table says. Later attempts read the layer from
    /// another host, if there is one, and the error is then a transient mismatch.
    pub(super) fn exclude_wrong(&self, layer: &Descriptor, error: Error) -> Error {
        if !may_be_corruption(&error) || !self.source.exclude_wrong(&layer.digest) {
            return error;
        }
        let mut tables = self.tables();
        tables.ranges.retain(|(digest, _), _| *digest != layer.digest);
        tables.size = tables.ranges.values().map(Bytes::len).sum();
        Error::new(ErrorKind::Mismatch, error.chain()).with_data_of(&error).transient(None)
    }

    fn tables(&self) -> MutexGuard<'_, KeptRanges> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the bytes of a range; `None` if the source does not support ranges and this one does not begin at 0.
    pub(in crate::cli) async fn fetch(
        &self,
        layer: &Descriptor,
        range: Range<u64>,
    ) -> Result<Option<Bytes>> {
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
                warn_of_outage(&self.policy, &error);
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
        let request = BlobRequest::starting_at(layer, range.start).range(range.clone());
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
