//! A blob while it is fetched, for all readers that wait for it.
//!
//! A reader follows the file that is being written. The last byte of every response waits until the digest is verified and the
//! blob is stored: if it is wrong, the connection breaks, so that no client takes wrong bytes for complete ones.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream;
use hyper::StatusCode;
use tokio::sync::{Semaphore, watch};

use super::super::response::ApiError;
use crate::content::ByteStream;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::BUFFER_SIZE;

/// Maximum blobs that are fetched at the same time. Further ones wait.
const MAX_FETCHES: usize = 64;

/// The blobs that are being fetched, by digest.
pub(super) struct ArrivingBlobs {
    running: Mutex<HashMap<Digest, Arc<ArrivingBlob>>>,
    pub(super) permits: Semaphore,
}

impl Default for ArrivingBlobs {
    fn default() -> Self {
        Self { running: Mutex::default(), permits: Semaphore::new(MAX_FETCHES) }
    }
}

/// A blob that is being fetched.
pub(super) struct ArrivingBlob {
    pub(super) descriptor: Descriptor,
    state: watch::Sender<ArrivalState>,
}

#[derive(Default)]
struct ArrivalState {
    file: Option<Arc<File>>,
    /// Bytes that are in the file.
    position: u64,
    end: Option<Result<(), ApiError>>,
}

/// How a fetch has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// Bytes arrive.
    Arriving,
    /// The blob is in the store.
    Stored,
}

impl ArrivingBlobs {
    pub(super) fn running(&self, digest: &Digest) -> Option<Arc<ArrivingBlob>> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(digest).map(Arc::clone)
    }

    /// Registers a fetch. Returns the running one instead, if any.
    pub(super) fn register(
        &self,
        descriptor: Descriptor,
    ) -> Result<Arc<ArrivingBlob>, Arc<ArrivingBlob>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = running.get(&descriptor.digest) {
            return Err(Arc::clone(found));
        }
        let digest = descriptor.digest.clone();
        let state = watch::Sender::new(ArrivalState::default());
        let fetch = Arc::new(ArrivingBlob { descriptor, state });
        running.insert(digest, Arc::clone(&fetch));
        Ok(fetch)
    }

    /// Removes this fetch, and no later one of the same blob.
    pub(super) fn remove(&self, fetch: &Arc<ArrivingBlob>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = &fetch.descriptor.digest;
        if running.get(digest).is_some_and(|found| Arc::ptr_eq(found, fetch)) {
            running.remove(digest);
        }
    }
}

impl ArrivingBlob {
    pub(super) fn size(&self) -> u64 {
        self.descriptor.size
    }

    /// Records that the blob is being written to this file, which has none of its bytes.
    pub(super) fn set_file(&self, file: Option<File>) {
        self.state.send_modify(|state| state.file = file.map(Arc::new));
    }

    /// Records that further bytes are in the file.
    pub(super) fn advance(&self, bytes: u64) {
        self.state.send_modify(|state| state.position += bytes);
    }

    /// Records the end, unless it is recorded already.
    pub(super) fn end(&self, result: Result<(), ApiError>) {
        self.state.send_modify(|state| {
            state.end.get_or_insert(result);
        });
    }

    /// Waits for the first bytes, or the end.
    ///
    /// # Errors
    /// The response for a fetch that has failed before its first byte.
    pub(super) async fn begun(&self) -> Result<Begun, ApiError> {
        let mut state = self.state.subscribe();
        let state = state.wait_for(|state| state.position > 0 || state.end.is_some()).await;
        match state.as_ref().map(|state| &state.end) {
            Ok(Some(Err(error))) => Err(error.clone()),
            Ok(Some(Ok(()))) => Ok(Begun::Stored),
            Ok(None) => Ok(Begun::Arriving),
            Err(_) => Err(stopped()),
        }
    }

    /// Streams a range of the blob as it arrives.
    pub(super) fn stream(fetch: &Arc<Self>, range: Range<u64>) -> ByteStream<'static> {
        let reader = (Arc::clone(fetch), fetch.state.subscribe(), range);
        Box::pin(stream::try_unfold(reader, |(fetch, mut state, mut range)| async move {
            if range.is_empty() {
                return Ok(None);
            }
            let (file, end) = fetch.wait_for(&mut state, &range).await?;
            // Reading a file never yields by itself; other tasks would wait.
            tokio::task::consume_budget().await;
            let bytes = fetch.read(&file, range.start..end)?;
            range.start += bytes.len() as u64;
            Ok(Some((bytes, (fetch, state, range))))
        }))
    }

    /// Waits for bytes at the start of the range. Returns where those that may be sent end.
    async fn wait_for(
        &self,
        state: &mut watch::Receiver<ArrivalState>,
        range: &Range<u64>,
    ) -> Result<(Arc<File>, u64)> {
        let ready = |state: &ArrivalState| match state.end {
            Some(_) => range.end,
            None => state.position.min(range.end - 1),
        };
        let has_more = |state: &ArrivalState| state.end.is_some() || ready(state) > range.start;
        let failed = |reason: &str| {
            let what = format!("blob {}", self.descriptor.digest);
            Error::new(ErrorKind::Transport, what).with_reason(reason)
        };
        let state = state.wait_for(has_more).await.map_err(|_| failed("the fetch was stopped"))?;
        match (&state.file, &state.end) {
            (_, Some(Err(_))) => Err(failed("the upstream failed")),
            (Some(file), _) => Ok((Arc::clone(file), ready(&state))),
            (None, _) => Err(failed("cannot be read while it arrives")),
        }
    }

    fn read(&self, file: &File, range: Range<u64>) -> Result<Bytes> {
        let length = usize::try_from(range.end - range.start).unwrap_or(BUFFER_SIZE);
        let mut buffer = vec![0; length.min(BUFFER_SIZE)];
        let what = || format!("blob {}", self.descriptor.digest);
        let read = file
            .read_at(&mut buffer, range.start)
            .map_err(|error| Error::new(ErrorKind::Store, what()).with_source(error))?;
        if read == 0 {
            return Err(Error::new(ErrorKind::Store, what()).with_reason("was truncated"));
        }
        buffer.truncate(read);
        Ok(buffer.into())
    }
}

/// The error of a fetch that the end of the server has stopped.
pub(super) fn stopped() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "the server is shutting down")
}
