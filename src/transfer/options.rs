//! Options of a run.

use std::time::Duration;

use crate::control::Control;
use crate::retry::{RetryPolicy, Timeouts};
use crate::setters::setters;
use crate::transfer::blob::throttle::Throttle;
use crate::transfer::feed::feeds::Feeder;
use crate::transfer::request::ArtifactOptions;

/// Options of a run.
#[non_exhaustive]
pub struct TransferOptions {
    /// Maximum number of blobs that move concurrently, and of manifests that are put concurrently at a registry.
    pub jobs: usize,
    /// Move blobs in the order of the manifests, for a reader that uses them meanwhile. Otherwise image by image, each config first,
    /// then the largest blobs.
    pub listed_order: bool,
    /// Retries of requests, and of bodies that break off.
    pub retry: RetryPolicy,
    /// Longest time without a byte of a body before it is requested again.
    pub idle: Duration,
    /// Fetch foreign layers, too.
    pub foreign_layers: bool,
    /// Referrers and digest tags to transfer with the images.
    pub artifacts: ArtifactOptions,
    /// Limits the bytes per second of the whole run.
    pub throttle: Option<Throttle>,
    /// Stops the run after this many new bytes of blobs; the next run continues it.
    pub max_bytes: Option<u64>,
    /// Gives the blobs of a run with one image to readers while they arrive.
    pub feeder: Option<Feeder>,
    /// Cancels the run, and receives its progress.
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
            max_bytes: None,
            feeder: None,
            control: Control::default(),
        }
    }
}

impl TransferOptions {
    setters! {
        value jobs: usize;
        flag listed_order;
        value retry: RetryPolicy;
        value idle: Duration;
        flag foreign_layers;
        value artifacts: ArtifactOptions;
        optional throttle: Throttle;
        optional max_bytes: u64;
        optional feeder: Feeder;
        value control: Control;
    }
}

impl std::fmt::Debug for TransferOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransferOptions").field("jobs", &self.jobs).finish_non_exhaustive()
    }
}
