//! Options of a run.

use std::time::Duration;

use crate::control::Control;
use crate::retry::{RetryPolicy, Timeouts};
use crate::setters::setters;
use crate::transfer::blob::throttle::Throttle;
use crate::transfer::feed::feeds::Feeder;
use crate::transfer::request::ArtifactOptions;

/// A connection each for the usual six blobs, and ten more for the largest ones.
const DEFAULT_CONNECTIONS: usize = 16;

/// Options of a run.
#[non_exhaustive]
pub struct TransferOptions {
    /// Maximum number of blobs that move concurrently, and of manifests that are put concurrently at a registry.
    pub jobs: usize,
    /// Maximum number of blobs that move concurrently if those beyond `jobs` are small, so that many of them do not wait for one
    /// round trip after the other.
    pub small_jobs: usize,
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
    /// Maximum number of connections to one source for blobs; by default 16, or one for each of `jobs`. A large blob gets several
    /// if that is faster.
    pub connections: Option<usize>,
    /// Maximum bytes in memory that have arrived before those in front of them, of all blobs together. With 0,
    /// each blob has one connection.
    pub window: u64,
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
            small_jobs: DEFAULT_CONNECTIONS,
            listed_order: false,
            retry: RetryPolicy::default(),
            idle: Timeouts::default().idle,
            foreign_layers: false,
            artifacts: ArtifactOptions::default(),
            connections: None,
            window: 64 << 20,
            throttle: None,
            max_bytes: None,
            feeder: None,
            control: Control::default(),
        }
    }
}

impl TransferOptions {
    setters! {
        value small_jobs: usize;
        flag listed_order;
        value retry: RetryPolicy;
        value idle: Duration;
        flag foreign_layers;
        value artifacts: ArtifactOptions;
        optional connections: usize;
        value window: u64;
        optional throttle: Throttle;
        optional max_bytes: u64;
        optional feeder: Feeder;
        value control: Control;
    }

    /// Sets [`jobs`](#structfield.jobs), and [`small_jobs`](#structfield.small_jobs) to the same.
    #[must_use]
    pub fn jobs(mut self, jobs: usize) -> Self {
        (self.jobs, self.small_jobs) = (jobs, jobs);
        self
    }
}

impl TransferOptions {
    /// Returns the maximum number of connections to one source.
    pub(super) fn max_connections(&self) -> usize {
        self.connections.unwrap_or_else(|| self.jobs.max(DEFAULT_CONNECTIONS))
    }
}

impl std::fmt::Debug for TransferOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransferOptions").field("jobs", &self.jobs).finish_non_exhaustive()
    }
}
