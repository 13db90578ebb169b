//! What `--plan` prints of one image.

use std::ops::AddAssign;

use serde::{Serialize, Serializer};

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::Error;
use crate::transfer::report::{ImageSummary, is_zero};

/// State of a blob before the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlobState {
    /// The target has it.
    Shared,
    /// This many bytes of it are at the target, from an earlier run.
    Partial(u64),
    /// Another repository of the target's registry has it.
    Mountable,
    /// It can be rebuilt from layers of the target and this many bytes of a delta.
    Rebuildable(u64),
    /// It must be moved.
    Missing,
    /// A foreign layer that is not fetched.
    Skipped,
}

impl Serialize for BlobState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Shared => "shared",
            Self::Partial(_) => "partial",
            Self::Mountable => "mountable",
            Self::Rebuildable(_) => "rebuildable",
            Self::Missing => "missing",
            Self::Skipped => "skipped",
        })
    }
}

/// What a run would transfer for one image.
#[derive(Debug)]
#[non_exhaustive]
pub struct PlannedImage {
    /// The plan of the image, without blobs if it failed.
    pub report: PlanReport,
    /// Why the image cannot be transferred.
    pub error: Option<Error>,
}

impl PlannedImage {
    /// Returns the plan of an image that failed before anything else was known.
    pub fn failed(error: Error) -> Self {
        Self { report: PlanReport::default(), error: Some(error) }
    }
}

/// What `--plan` prints of one image.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct PlanReport {
    /// Names, digests and platforms.
    #[serde(flatten)]
    pub summary: ImageSummary,
    /// Sums over its blobs.
    pub bytes: PlanBytes,
    /// Its blobs, in the order of its manifests.
    pub blobs: Vec<PlannedBlobReport>,
}

impl PlanReport {
    /// Returns the plan of an image with these blobs.
    pub(in crate::transfer) fn new(
        summary: ImageSummary,
        blobs: impl Iterator<Item = PlannedBlobReport>,
    ) -> Self {
        let (mut bytes, blobs) = (PlanBytes::default(), blobs.collect::<Vec<_>>());
        for blob in &blobs {
            bytes.add(blob.size, blob.state);
        }
        Self { summary, bytes, blobs }
    }
}

/// Sums of a plan in bytes, over unique blobs. Always: total = shared + mountable + partial + rebuildable + missing.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct PlanBytes {
    /// Sizes of all blobs, without skipped foreign layers.
    pub total: u64,
    /// Already at the target.
    pub shared: u64,
    /// In another repository of the target's registry.
    pub mountable: u64,
    /// At the target from an earlier run.
    pub partial: u64,
    /// To be rebuilt from layers of the target. Left out of JSON if 0, as the next one.
    #[serde(skip_serializing_if = "is_zero")]
    pub rebuildable: u64,
    /// Deltas to receive for these.
    #[serde(skip_serializing_if = "is_zero")]
    pub delta_bytes: u64,
    /// To be moved.
    pub missing: u64,
}

impl AddAssign for PlanBytes {
    fn add_assign(&mut self, more: Self) {
        self.total += more.total;
        self.shared += more.shared;
        self.mountable += more.mountable;
        self.partial += more.partial;
        self.rebuildable += more.rebuildable;
        self.delta_bytes += more.delta_bytes;
        self.missing += more.missing;
    }
}

impl PlanBytes {
    fn add(&mut self, size: u64, state: BlobState) {
        match state {
            BlobState::Skipped => return,
            BlobState::Shared => self.shared += size,
            BlobState::Partial(bytes) => {
                self.partial += bytes;
                self.missing += size.saturating_sub(bytes);
            }
            BlobState::Mountable => self.mountable += size,
            BlobState::Rebuildable(delta) => {
                self.rebuildable += size;
                self.delta_bytes += delta;
            }
            BlobState::Missing => self.missing += size,
        }
        self.total += size;
    }
}

/// One blob of a plan.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PlannedBlobReport {
    /// Digest of the blob.
    pub digest: Digest,
    /// Media type in its descriptor.
    pub media_type: String,
    /// Size in bytes.
    pub size: u64,
    /// State before the run.
    pub state: BlobState,
}

impl PlannedBlobReport {
    pub(in crate::transfer) fn new(descriptor: &Descriptor, state: BlobState) -> Self {
        Self {
            digest: descriptor.digest.clone(),
            media_type: descriptor.media_type.to_string(),
            size: descriptor.size,
            state,
        }
    }
}
