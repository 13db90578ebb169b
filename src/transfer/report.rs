//! What a run transferred, per image and blob, in the shape of the command line's JSON.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Duration;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::content::{RateLimit, RequestCounts, Target};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::Error;
use crate::transfer::blob::counters::BlobCounters;
use crate::transfer::request::ImageRequest;
use crate::transfer::resolve::graph::ImageGraph;

/// Names, digests and platforms of one image.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct ImageSummary {
    /// Location of the source, for people.
    pub source: String,
    /// Location of the target, for people.
    pub target: String,
    /// Full reference of the image.
    pub reference: String,
    /// Digest that the name resolved to: the index, if there is one.
    pub digest: Option<Digest>,
    /// Digest that the name has at the source; another one if only some platforms were transferred.
    #[serde(skip)]
    pub resolved: Option<Digest>,
    /// Digest of the platform's manifest; equal to `digest` for an image without an index.
    pub manifest: Option<Digest>,
    /// Media type of what the name resolved to.
    pub media_type: Option<String>,
    /// Platforms of the transferred manifests, without attestations.
    pub platforms: Vec<String>,
    /// Number of referrers that were transferred with it; `None` if they were not requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referrers: Option<usize>,
    /// Number of digest tags that were transferred with it; `None` if they were not requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest_tags: Option<usize>,
}

impl ImageSummary {
    /// Describes a request, and its image as far as it is resolved.
    pub(super) fn new(
        request: &ImageRequest,
        target: &dyn Target,
        graph: Option<&ImageGraph>,
    ) -> Self {
        let mut summary = Self {
            source: request.source.endpoint().location.clone(),
            target: target.endpoint().location.clone(),
            reference: request.reference.clone(),
            ..Self::default()
        };
        let Some(graph) = graph else { return summary };
        let platforms = graph.manifests.iter().filter_map(|(descriptor, platform)| {
            (!descriptor.is_attestation()).then_some(platform.as_ref()?).map(ToString::to_string)
        });
        summary.platforms = platforms.filter(|text| text != "unknown/unknown").collect();
        let (referrers, tags): (Vec<_>, Vec<_>) =
            graph.attached.iter().partition(|artifact| artifact.is_referrer);
        summary.referrers = graph.artifacts.referrers.then_some(referrers.len());
        summary.digest_tags = graph.artifacts.digest_tags.then_some(tags.len());
        summary.digest = Some(graph.root.digest.clone());
        summary.resolved = Some(graph.resolved.clone());
        summary.manifest = graph.root_document().map(|document| document.digest().clone());
        summary.media_type = Some(graph.root.media_type.to_string());
        summary
    }
}

/// Result of a run.
#[derive(Debug)]
#[non_exhaustive]
pub struct RunReport {
    /// Results of the images, in the order in which they were requested.
    pub images: Vec<ImageResult>,
    /// Blob bytes received from all sources, including those that were discarded. A blob for several targets is read once, so
    /// this can be less than the sum over the images.
    pub received: u64,
    /// Duration of the run.
    pub elapsed: Duration,
}

/// Result of one image, whether it was committed or not.
#[derive(Debug)]
#[non_exhaustive]
pub struct ImageResult {
    /// What was transferred, also if the image failed.
    pub report: ImageReport,
    /// Why the image was not committed. `None` if it was.
    pub error: Option<Error>,
    /// Why some of its referrers or digest tags are missing at the target, although the image was committed.
    pub incomplete: Option<Error>,
    /// Time from the start of the run until the image had its name at the target.
    pub committed: Option<Duration>,
}

impl ImageResult {
    /// Returns the result of an image that failed before anything else was known.
    pub fn failed(error: Error) -> Self {
        Self {
            report: ImageReport::default(),
            error: Some(error),
            incomplete: None,
            committed: None,
        }
    }
}

/// What was transferred for one image.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct ImageReport {
    /// Names, digests and platforms.
    #[serde(flatten)]
    pub summary: ImageSummary,
    /// Sums over its blobs.
    pub bytes: ByteCounts,
    /// HTTP requests: those of its source handle, and for the first image of a target those of the target.
    #[serde(serialize_with = "requests")]
    pub requests: RequestCounts,
    /// Bytes of blobs by the host that they came from, for its source handle. Left out of JSON if there was only one host.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<String, u64>,
    /// What the registry of the source, else of the target, says of its limits. Left out of JSON if it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Duration of the whole run, in milliseconds in JSON.
    #[serde(rename = "elapsed_ms", serialize_with = "milliseconds")]
    pub elapsed: Duration,
    /// Its blobs, in the order of its manifests. A blob that an earlier image of the run transferred counts as shared.
    pub blobs: Vec<BlobReport>,
}

fn requests<S: Serializer>(requests: &RequestCounts, serializer: S) -> Result<S::Ok, S::Error> {
    let mut shape = serializer.serialize_struct("Requests", 6)?;
    shape.serialize_field("total", &requests.total())?;
    shape.serialize_field("manifest", &requests.manifest)?;
    shape.serialize_field("blob", &requests.blob)?;
    shape.serialize_field("upload", &requests.upload)?;
    shape.serialize_field("token", &requests.token)?;
    shape.serialize_field("other", &requests.other)?;
    shape.end()
}

fn milliseconds<S: Serializer>(elapsed: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(elapsed_ms(*elapsed))
}

/// Returns the value of `elapsed_ms` in JSON.
pub(crate) fn elapsed_ms(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// Sums in bytes over unique blobs. Always: total = transferred + resumed + mounted + shared + rebuilt + missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ByteCounts {
    /// Sizes of all blobs, without skipped foreign layers.
    pub total: u64,
    /// Received in this run, and kept.
    pub transferred: u64,
    /// Kept from an earlier run.
    pub resumed: u64,
    /// Mounted from another repository of the target's registry.
    pub mounted: u64,
    /// Already at the target.
    pub shared: u64,
    /// Received in this run, and discarded. Body bytes on the wire are transferred + resent + delta bytes.
    pub resent: u64,
    /// Rebuilt from layers of the target and deltas. Left out of JSON if 0, as all that follow.
    #[serde(skip_serializing_if = "is_zero")]
    pub rebuilt: u64,
    /// Received for deltas.
    #[serde(skip_serializing_if = "is_zero")]
    pub delta_bytes: u64,
    /// What was rebuilt, without the deltas of it.
    #[serde(skip_serializing_if = "is_zero")]
    pub delta_saved: u64,
    /// Received for deltas that did not fit: their layers were transferred.
    #[serde(skip_serializing_if = "is_zero")]
    pub delta_wasted: u64,
    /// Not at the target when the run ended.
    #[serde(skip_serializing_if = "is_zero")]
    pub missing: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
pub(super) fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// Result of one blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum BlobOutcome {
    /// Transferred in this run.
    Transferred,
    /// Partly kept from an earlier run, the rest transferred in this run.
    Resumed,
    /// Mounted from another repository of the target's registry.
    Mounted,
    /// Already at the target.
    Shared,
    /// Rebuilt from layers of the target and a delta.
    Rebuilt,
    /// A foreign layer, which was not requested.
    Skipped,
    /// Not at the target: the run failed or was cancelled.
    Missing,
}

/// One blob of an image.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct BlobReport {
    /// Digest of the blob.
    pub digest: Digest,
    /// Media type in its descriptor.
    pub media_type: String,
    /// Size in bytes.
    pub size: u64,
    /// Result.
    pub outcome: BlobOutcome,
    /// Bytes received in this run, and kept.
    pub transferred: u64,
    /// Bytes kept from an earlier run.
    pub resumed: u64,
    /// Bytes received in this run, and discarded.
    pub resent: u64,
    /// Bytes received for its delta. Left out of JSON if 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub delta_bytes: u64,
    /// `inline` if the descriptor contained the bytes; for a mounted blob the repository that it was mounted from.
    pub from: Option<String>,
}

/// Result of moving a blob to one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BlobResult {
    /// The target had it before the run, or another process stored it meanwhile.
    Shared,
    /// The bytes were in the descriptor's `data`.
    Inline,
    /// Mounted from this repository of the target's registry.
    Mounted(String),
    /// Verified and committed in this run.
    Transferred,
    /// Rebuilt, verified and committed in this run.
    Rebuilt,
    /// A foreign layer, which was not requested.
    Skipped,
    /// Not at the target.
    Missing,
}

impl BlobReport {
    pub(super) fn new(
        descriptor: &Descriptor,
        result: &BlobResult,
        counters: &BlobCounters,
    ) -> Self {
        let (transferred, resumed, resent) = counters.read();
        let outcome = match result {
            BlobResult::Shared | BlobResult::Inline => BlobOutcome::Shared,
            BlobResult::Mounted(_) => BlobOutcome::Mounted,
            BlobResult::Rebuilt => BlobOutcome::Rebuilt,
            BlobResult::Transferred if resumed > 0 => BlobOutcome::Resumed,
            BlobResult::Transferred => BlobOutcome::Transferred,
            BlobResult::Skipped => BlobOutcome::Skipped,
            BlobResult::Missing => BlobOutcome::Missing,
        };
        // Another process completed the blob meanwhile, or it was made of other bytes: those moved here are discarded.
        let keeps_bytes =
            !matches!(outcome, BlobOutcome::Shared | BlobOutcome::Mounted | BlobOutcome::Rebuilt);
        let wasted = if keeps_bytes { 0 } else { transferred };
        let from = match result {
            BlobResult::Inline => Some("inline".to_owned()),
            BlobResult::Mounted(from) => Some(from.clone()),
            _ => None,
        };
        Self {
            digest: descriptor.digest.clone(),
            media_type: descriptor.media_type.to_string(),
            size: descriptor.size,
            outcome,
            transferred: if keeps_bytes { transferred } else { 0 },
            resumed: if keeps_bytes { resumed } else { 0 },
            resent: resent + wasted,
            delta_bytes: counters.delta(),
            from,
        }
    }

    /// Reports the blob for a later image of the run, which finds it at the target.
    pub(super) fn as_shared(descriptor: &Descriptor, result: &BlobResult) -> Self {
        let result = match result {
            BlobResult::Missing | BlobResult::Skipped => result,
            _ => &BlobResult::Shared,
        };
        Self::new(descriptor, result, &BlobCounters::default())
    }
}

impl AddAssign for ByteCounts {
    fn add_assign(&mut self, more: Self) {
        self.total += more.total;
        self.transferred += more.transferred;
        self.resumed += more.resumed;
        self.mounted += more.mounted;
        self.shared += more.shared;
        self.resent += more.resent;
        self.rebuilt += more.rebuilt;
        self.delta_bytes += more.delta_bytes;
        self.delta_saved += more.delta_saved;
        self.delta_wasted += more.delta_wasted;
        self.missing += more.missing;
    }
}

impl ByteCounts {
    pub(super) fn from_blobs(blobs: &[BlobReport]) -> Self {
        let mut sum = Self::default();
        for blob in blobs {
            sum.resent += blob.resent;
            sum.delta_bytes += blob.delta_bytes;
            if blob.outcome == BlobOutcome::Rebuilt {
                sum.rebuilt += blob.size;
                sum.delta_saved += blob.size.saturating_sub(blob.delta_bytes);
            } else {
                sum.delta_wasted += blob.delta_bytes;
            }
            if blob.outcome == BlobOutcome::Skipped {
                continue;
            }
            sum.total += blob.size;
            sum.transferred += blob.transferred;
            sum.resumed += blob.resumed;
            match blob.outcome {
                BlobOutcome::Shared => sum.shared += blob.size,
                BlobOutcome::Mounted => sum.mounted += blob.size,
                BlobOutcome::Missing => {
                    sum.missing += blob.size.saturating_sub(blob.transferred + blob.resumed);
                }
                _ => {}
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::media::MediaType;

    proptest! {
        #[test]
        fn report_bytes_add_up_for_any_outcome(blobs in proptest::collection::vec((0_u64..1 << 40, 0_u64..=100, 0_u64..1000, 0..6_u8), 0..20)) {
            let reports: Vec<BlobReport> = blobs.iter().map(|&(size, kept_percent, wasted, how)| {
                let descriptor = Descriptor::new(MediaType::from("x/y"), Digest::sha256(&size.to_le_bytes()), size);
                let counters = BlobCounters::default();
                let kept = size / 100 * kept_percent;
                counters.continue_at(kept);
                counters.add_resent(wasted);
                let result = [BlobResult::Transferred, BlobResult::Shared, BlobResult::Inline, BlobResult::Missing, BlobResult::Mounted("a".into()), BlobResult::Rebuilt][usize::from(how)].clone();
                if result == BlobResult::Transferred {
                    counters.add_transferred(size - kept);
                }
                BlobReport::new(&descriptor, &result, &counters)
            }).collect();
            let sum = ByteCounts::from_blobs(&reports);
            prop_assert_eq!(sum.total, sum.transferred + sum.resumed + sum.mounted + sum.shared + sum.rebuilt + sum.missing);
        }
    }
}
