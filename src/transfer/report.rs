//! What a run did, byte by byte, in the shape of the command line's JSON.

use std::time::Duration;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::content::{RequestCounts, Target};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::Error;
use crate::transfer::blob::counters::BlobCounters;
use crate::transfer::request::ImageRequest;
use crate::transfer::resolve::graph::ImageGraph;

/// Names and digests of one image.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ImageSummary {
    /// Where it came from.
    pub source: String,
    /// Where it went.
    pub target: String,
    /// The full name.
    pub reference: String,
    /// What the name resolved to: the index, where it is one.
    pub digest: Option<Digest>,
    /// The manifest of the platform; equal to `digest` for a plain one.
    pub manifest: Option<Digest>,
    /// Of what the name resolved to.
    pub media_type: Option<String>,
    /// What arrived runs on these.
    pub platforms: Vec<String>,
    /// How many went along that refer to it, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referrers: Option<usize>,
    /// How many went along under tags made of digests, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest_tags: Option<usize>,
}

impl ImageSummary {
    /// The names that were asked for, and what is known of the image behind them.
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
        summary.manifest = graph.root_document().map(|document| document.digest().clone());
        summary.media_type = Some(graph.root.media_type.to_string());
        summary
    }
}

/// What became of a run.
#[derive(Debug)]
#[non_exhaustive]
pub struct RunReport {
    /// Of each image, in the order asked for.
    pub images: Vec<ImageResult>,
    /// Bytes of blobs that the sources sent, those that were thrown away included. A blob for several targets is read once,
    /// so this can be less than what the images say together.
    pub received: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// What became of one image, whether it arrived or not.
#[derive(Debug)]
#[non_exhaustive]
pub struct ImageResult {
    /// What moved.
    pub report: Report,
    /// Why it is not there.
    pub error: Option<Error>,
    /// Why something that belongs to it is not there, while the image is.
    pub incomplete: Option<Error>,
    /// When it got its name, from the start of the run.
    pub committed: Option<Duration>,
}

impl ImageResult {
    /// Of an image of which nothing is known but this.
    pub fn failed(error: Error) -> Self {
        Self { report: Report::default(), error: Some(error), incomplete: None, committed: None }
    }
}

/// What became of one image.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Names and digests.
    #[serde(flatten)]
    pub summary: ImageSummary,
    /// Totals.
    pub bytes: ByteCounts,
    /// HTTP requests that were made for it.
    #[serde(serialize_with = "requests")]
    pub requests: RequestCounts,
    /// From the start of the run.
    #[serde(rename = "elapsed_ms", serialize_with = "milliseconds")]
    pub elapsed: Duration,
    /// Blob by blob.
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
    serializer.serialize_u64(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

/// Bytes over unique blobs. The law of a finished run: total = transferred + resumed + mounted + shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ByteCounts {
    /// Sizes of all blobs, skipped foreign layers left out.
    pub total: u64,
    /// Moved now and kept.
    pub transferred: u64,
    /// Kept from an earlier run.
    pub resumed: u64,
    /// Lent by another repository of the target's registry.
    pub mounted: u64,
    /// There already.
    pub shared: u64,
    /// Moved now and thrown away; body bytes on the wire are transferred + resent.
    pub resent: u64,
    /// Not there at the end of a run that failed.
    #[serde(skip_serializing_if = "is_zero")]
    pub missing: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// How a blob ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BlobOutcome {
    /// Travelled.
    Transferred,
    /// Continued from an earlier run.
    Resumed,
    /// Lent by another repository of the target's registry.
    Mounted,
    /// There already.
    Shared,
    /// A foreign layer that was not to be fetched.
    Skipped,
    /// Not there: the run failed or was stopped.
    Missing,
}

/// What became of one blob.
#[derive(Clone, Debug, Serialize)]
pub struct BlobReport {
    /// Identity.
    pub digest: Digest,
    /// As its manifest says.
    pub media_type: String,
    /// In bytes.
    pub size: u64,
    /// How it ended.
    pub outcome: BlobOutcome,
    /// Bytes moved now and kept.
    pub transferred: u64,
    /// Bytes kept from an earlier run.
    pub resumed: u64,
    /// Bytes moved now and thrown away.
    pub resent: u64,
    /// `inline` where the bytes stood in the manifest itself; the repository that lent a mounted one.
    pub from: Option<String>,
}

/// How the engine left a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BlobResult {
    /// The target had it before the run, or another process put it there meanwhile.
    Shared,
    /// From the descriptor's `data`.
    Inline,
    /// Lent by this other repository of the target's registry.
    Mounted(String),
    /// Verified and committed in this run.
    Transferred,
    /// Not to be fetched.
    Skipped,
    /// Not there.
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
            BlobResult::Transferred if resumed > 0 => BlobOutcome::Resumed,
            BlobResult::Transferred => BlobOutcome::Transferred,
            BlobResult::Skipped => BlobOutcome::Skipped,
            BlobResult::Missing => BlobOutcome::Missing,
        };
        // A blob that another process finished while this one had begun it: what moved here was for nothing.
        let counts = !matches!(outcome, BlobOutcome::Shared | BlobOutcome::Mounted);
        let wasted = if counts { 0 } else { transferred };
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
            transferred: if counts { transferred } else { 0 },
            resumed: if counts { resumed } else { 0 },
            resent: resent + wasted,
            from,
        }
    }

    /// The same blob for a later image of the run, which found it there.
    pub(super) fn as_shared(descriptor: &Descriptor, result: &BlobResult) -> Self {
        let result = match result {
            BlobResult::Missing | BlobResult::Skipped => result,
            _ => &BlobResult::Shared,
        };
        Self::new(descriptor, result, &BlobCounters::default())
    }
}

impl ByteCounts {
    pub(super) fn from_blobs(blobs: &[BlobReport]) -> Self {
        let mut sum = Self::default();
        for blob in blobs {
            sum.resent += blob.resent;
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
        fn report_bytes_add_up_for_any_outcome(blobs in proptest::collection::vec((0_u64..1 << 40, 0_u64..=100, 0_u64..1000, 0..5_u8), 0..20)) {
            let reports: Vec<BlobReport> = blobs.iter().map(|&(size, kept_percent, wasted, how)| {
                let descriptor = Descriptor::new(MediaType::from("x/y"), Digest::sha256(&size.to_le_bytes()), size);
                let counters = BlobCounters::default();
                let kept = size / 100 * kept_percent;
                counters.set_resumed(kept);
                counters.add_resent(wasted);
                let result = [BlobResult::Transferred, BlobResult::Shared, BlobResult::Inline, BlobResult::Missing, BlobResult::Mounted("a".into())][usize::from(how)].clone();
                if result == BlobResult::Transferred {
                    counters.add_transferred(size - kept);
                }
                BlobReport::new(&descriptor, &result, &counters)
            }).collect();
            let sum = ByteCounts::from_blobs(&reports);
            prop_assert_eq!(sum.total, sum.transferred + sum.resumed + sum.mounted + sum.shared + sum.missing);
        }
    }
}
