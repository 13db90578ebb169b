//! How a transfer runs.

use std::time::Duration;

use crate::control::Control;
use crate::retry::{RetryPolicy, Timeouts};
use crate::transfer::blob::throttle::Throttle;
use crate::transfer::feed::feeds::Feeder;
use crate::transfer::request::ArtifactOptions;

/// How to run.
pub struct TransferOptions {
    /// Blobs on their way at once.
    pub jobs: usize,
    /// Move blobs in the order of the manifests, for readers that use them meanwhile; otherwise image by image, the largest
    /// blobs first.
    pub listed_order: bool,
    /// How often a body is continued.
    pub retry: RetryPolicy,
    /// How long a body may be silent.
    pub idle: Duration,
    /// Fetch foreign layers too.
    pub foreign_layers: bool,
    /// Which artifacts come with the images.
    pub artifacts: ArtifactOptions,
    /// The whole run stays under this rate.
    pub throttle: Option<Throttle>,
    /// Hands what the run's only image brings to those who use it meanwhile.
    pub feeder: Option<Feeder>,
    /// Stops the run, and takes what happens.
    pub control: Control,
}

impl Default for TransferOptions {
    fn default() -> Self {
        Self {
            jobs: 6,
            listed_order: false,
            retry: RetryPolicy::default(),
            idle: Timeouts::default().idle,
            foreign_layers: false,
            artifacts: ArtifactOptions::default(),
            throttle: None,
            feeder: None,
            control: Control::default(),
        }
    }
}

impl std::fmt::Debug for TransferOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransferOptions").field("jobs", &self.jobs).finish_non_exhaustive()
    }
}
