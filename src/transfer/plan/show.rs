//! What `--plan` tells of one image.

use serde::{Serialize, Serializer};

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::Error;
use crate::transfer::report::ImageSummary;

/// How a blob stands before the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlobState {
    /// The target has it.
    Shared,
    /// This many bytes of it are at the target, from an earlier run.
    Partial(u64),
    /// Another repository of the target's registry has it.
    Mountable,
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
            Self::Missing => "missing",
            Self::Skipped => "skipped",
        })
    }
}

/// What a run would do for one image, or why it would fail.
#[derive(Debug)]
#[non_exhaustive]
pub struct PlannedImage {
    /// What would move.
    pub report: PlanReport,
    /// Why nothing can be said.
    pub error: Option<Error>,
}

impl PlannedImage {
    /// Of an image of which nothing is known but this.
    pub fn failed(error: Error) -> Self {
        Self { report: PlanReport::default(), error: Some(error) }
    }
}

/// What `--plan` tells of one image.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct PlanReport {
    /// Names and digests.
    #[serde(flatten)]
    pub summary: ImageSummary,
    /// Totals.
    pub bytes: PlanBytes,
    /// Blob by blob.
    pub blobs: Vec<PlannedBlobReport>,
}

impl PlanReport {
    /// Of an image with these blobs; none if they are not known.
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

/// Totals of a plan in bytes, over unique blobs; total = shared + mountable + partial + missing.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct PlanBytes {
    /// All of them, foreign layers left out.
    pub total: u64,
    /// The target has these.
    pub shared: u64,
    /// The target's registry has these in another repository.
    pub mountable: u64,
    /// At the target from an earlier run.
    pub partial: u64,
    /// Must be moved.
    pub missing: u64,
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
            BlobState::Missing => self.missing += size,
        }
        self.total += size;
    }
}

/// One blob of a plan.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PlannedBlobReport {
    /// Identity.
    pub digest: Digest,
    /// As its manifest says.
    pub media_type: String,
    /// In bytes.
    pub size: u64,
    /// How it stands.
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
