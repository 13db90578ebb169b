//! Shared by all reads of a run.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::progress::{NoProgress, Progress};
use crate::retry::RetryPolicy;
use crate::transfer::blob::throttle::Throttle;
use crate::transfer::options::TransferOptions;

pub(in crate::transfer) struct TransferContext {
    pub(in crate::transfer) policy: RetryPolicy,
    pub(in crate::transfer) idle: Duration,
    pub(in crate::transfer) progress: Arc<dyn Progress>,
    pub(in crate::transfer) throttle: Option<Throttle>,
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
            received: Arc::default(),
        }
    }

    /// For reading bytes again that were already reported.
    pub(in crate::transfer) fn without_progress(&self) -> Self {
        Self {
            policy: self.policy,
            idle: self.idle,
            progress: Arc::new(NoProgress),
            throttle: None,
            received: Arc::clone(&self.received),
        }
    }
}
