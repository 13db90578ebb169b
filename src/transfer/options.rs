//! How a transfer runs.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::artifacts::ArtifactOptions;
use super::feeds::Feeder;
use super::progress::{NoProgress, Progress};
use super::reader::TransferContext;
use super::throttle::Throttle;
use crate::retry::{RetryPolicy, Timeouts};

/// How to run.
pub struct TransferOptions {
    /// Blobs on their way at once.
    pub jobs: usize,
    /// Transfer blobs in the order of the manifests, for readers that use them meanwhile; otherwise the largest first.
    pub as_listed: bool,
    /// How often a body is continued.
    pub retry: RetryPolicy,
    /// How long a body may be silent.
    pub idle: Duration,
    /// Fetch foreign layers too.
    pub foreign_layers: bool,
    /// What goes along with the images.
    pub along: ArtifactOptions,
    /// The whole run stays under this rate.
    pub throttle: Option<Throttle>,
    /// Takes what happens.
    pub progress: Arc<dyn Progress>,
    /// Hands what the run's only image brings to those who use it meanwhile.
    pub feeder: Option<Feeder>,
    /// Stops the run.
    pub cancel: CancellationToken,
}

impl Default for TransferOptions {
    fn default() -> Self {
        Self {
            jobs: 6,
            as_listed: false,
            retry: RetryPolicy::default(),
            idle: Timeouts::default().idle,
            foreign_layers: false,
            along: ArtifactOptions::default(),
            throttle: None,
            progress: Arc::new(NoProgress),
            feeder: None,
            cancel: CancellationToken::new(),
        }
    }
}

impl TransferOptions {
    /// The part that readers share.
    pub(super) fn into_context(self) -> TransferContext {
        TransferContext {
            policy: self.retry,
            idle: self.idle,
            progress: self.progress,
            throttle: self.throttle,
        }
    }
}

impl std::fmt::Debug for TransferOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransferOptions").field("jobs", &self.jobs).finish_non_exhaustive()
    }
}
