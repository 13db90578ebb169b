//! Shared by all reads of a run.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;

use crate::error::Result;
use crate::progress::{NoProgress, Progress};
use crate::retry::RetryPolicy;
use crate::transfer::blob::byte_limit::{ByteLimit, Reservation};
use crate::transfer::blob::throttle::Throttle;
use crate::transfer::options::TransferOptions;
use crate::transfer::ranges::hosts::Hosts;

#[derive(Clone)]
pub(in crate::transfer) struct TransferContext {
    pub(in crate::transfer) policy: RetryPolicy,
    pub(in crate::transfer) idle: Duration,
    pub(in crate::transfer) progress: Arc<dyn Progress>,
    pub(in crate::transfer) throttle: Option<Throttle>,
    pub(in crate::transfer) limit: Option<Arc<ByteLimit>>,
    pub(in crate::transfer) hosts: Arc<Hosts>,
    /// Bytes of blobs received from sources, including discarded ones.
    pub(in crate::transfer) received: Arc<AtomicU64>,
}

impl TransferContext {
    pub(in crate::transfer) fn new(options: &TransferOptions) -> Self {
        Self {
            policy: options.retry,
            idle: options.idle,
            progress: Arc::clone(&options.control.progress),
            throttle: options.throttle.clone(),
            limit: options.max_bytes.map(|max| Arc::new(ByteLimit::new(max))),
            hosts: Arc::new(Hosts::new(options.max_connections(), options.window)),
            received: Arc::default(),
        }
    }

    /// For reading bytes again that were already reported.
    pub(in crate::transfer) fn without_progress(&self) -> Self {
        Self { progress: Arc::new(NoProgress), throttle: None, limit: None, ..self.clone() }
    }

    /// Reserves the `rest` of a blob for a target that keeps nothing of fewer than `min_kept` bytes. Returns the context for
    /// reading the blob, with a limit of its own if only whole chunks are reserved.
    ///
    /// # Errors
    /// [`ErrorKind::Stopped`](crate::error::ErrorKind::Stopped) if the run may not receive that many bytes.
    pub(in crate::transfer) fn reserve(
        &self,
        what: &str,
        rest: u64,
        min_kept: u64,
    ) -> Result<(Self, Option<Reservation>)> {
        let Some(limit) = self.limit.as_ref().filter(|_| min_kept > 0) else {
            return Ok((self.clone(), None));
        };
        if min_kept < rest {
            let reservation = limit.reserve_chunks(what, min_kept, rest)?;
            let context = Self { limit: Some(reservation.limit()), ..self.clone() };
            return Ok((context, Some(reservation)));
        }
        let reservation = limit.reserve(what, min_kept)?;
        Ok((Self { limit: None, ..self.clone() }, Some(reservation)))
    }

    /// Keeps the run from ending at its limit until this is dropped.
    pub(in crate::transfer) fn hold(&self) -> Option<Reservation> {
        self.limit.as_ref().map(ByteLimit::hold)
    }

    /// Shortens new bytes to what the run may still receive.
    pub(in crate::transfer) fn take_within_limit(&self, bytes: Bytes) -> Bytes {
        match &self.limit {
            Some(limit) => limit.take(bytes),
            None => bytes,
        }
    }

    /// # Errors
    /// [`ErrorKind::Stopped`](crate::error::ErrorKind::Stopped) if the run may receive no more bytes.
    pub(in crate::transfer) fn check_limit(&self, what: &str) -> Result<()> {
        self.limit.as_ref().map_or(Ok(()), |limit| limit.check(what))
    }
}
