//! What a run will move, as data: computed before anything moves, printable, and comparable with the report.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Serialize, Serializer};

use super::document_finder::AT_ONCE;
use super::graph::{ImageGraph, ImageRequest, resolve_all};
use super::options::TransferOptions;
use super::prepare::TargetState;
use super::report::{BlobResult, ImageSummary};
use crate::content::{BlobPresence, Effort, EndpointKind, Source, Target, TargetPlan};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorDetail, ErrorKind, Result, Side};
use crate::verifier::verified_inline_data;

/// How a blob stands before the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobState {
    /// The target has it.
    Shared,
    /// So many bytes of it are on disk, from an earlier run.
    Partial(u64),
    /// Another repository of the target's registry has it.
    Mountable,
    /// It must travel.
    Missing,
    /// A foreign layer that is not to be fetched.
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

/// One blob of the run.
#[derive(Clone, Debug)]
pub struct PlannedBlob {
    /// What it is.
    pub descriptor: Descriptor,
    /// How it stands.
    pub state: BlobState,
    /// Positions of the images that need it, the first one first.
    pub images: Vec<usize>,
}

/// What a run would do for one image, or why it would fail.
#[derive(Debug)]
pub struct PlannedImage {
    /// What would move.
    pub report: PlanReport,
    /// Why nothing can be said.
    pub error: Option<Error>,
}

/// What [`transfer`](super::transfer) would do, in the order asked; moves nothing.
pub async fn plan(
    wanted: &[ImageRequest],
    target: &dyn Target,
    options: &TransferOptions,
) -> Vec<PlannedImage> {
    let state = TargetState::new(target);
    let mut graphs = resolve_all(wanted, &state, options.along, &options.retry).await;
    for (graph, wanted) in graphs.iter_mut().zip(wanted) {
        if let Ok(graph) = graph {
            graph.learn_platforms(&*wanted.source, &state).await;
        }
    }
    let resolved: Vec<Option<&ImageGraph>> =
        graphs.iter().map(|graph| graph.as_ref().ok()).collect();
    let plan = async {
        let mut plan = Plan::new(&resolved, &state, options.foreign_layers).await?;
        plan.probe_blobs(target).await?;
        plan.check_sources(wanted, target).await?;
        Ok::<_, Error>(plan)
    };
    let plan = plan.await;
    let images = graphs.into_iter().zip(wanted).enumerate();
    images
        .map(|(at, (graph, wanted))| {
            let head = ImageSummary::of(wanted, target, graph.as_ref().ok());
            match (&plan, graph) {
                (Ok(plan), Ok(_)) => PlannedImage { report: plan.report(at, head), error: None },
                (_, Err(error)) => {
                    PlannedImage { report: PlanReport::unknown(head), error: Some(error) }
                }
                (Err(error), _) => PlannedImage {
                    report: PlanReport::unknown(head),
                    error: Some(error.clone_for()),
                },
            }
        })
        .collect()
}

/// One plan for all images of a run: each blob once.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In the order in which images list them.
    pub blobs: Vec<PlannedBlob>,
}

impl Plan {
    /// Looks at what the target holds; moves and locks nothing. `None` stands for an image that could not be resolved.
    pub(super) async fn new(
        graphs: &[Option<&ImageGraph>],
        target: &TargetState<'_>,
        foreign_layers: bool,
    ) -> Result<Self> {
        let mut blobs: Vec<PlannedBlob> = Vec::new();
        // By size too: where two images say different sizes one of them is wrong, and the other must not fail with it.
        let mut known: HashMap<(&Digest, u64), usize> = HashMap::new();
        for (image, graph) in graphs.iter().enumerate() {
            for descriptor in graph.iter().flat_map(|graph| &graph.blobs) {
                let at = *known.entry((&descriptor.digest, descriptor.size)).or_insert(blobs.len());
                match blobs.get_mut(at) {
                    Some(blob) => blob.images.push(image),
                    None => blobs.push(PlannedBlob {
                        descriptor: descriptor.clone(),
                        state: BlobState::Missing,
                        images: vec![image],
                    }),
                }
            }
        }
        for blob in &mut blobs {
            blob.state = match target.blob(&blob.descriptor).await? {
                BlobPresence::Complete => BlobState::Shared,
                _ if blob.descriptor.is_foreign() && !foreign_layers => BlobState::Skipped,
                BlobPresence::Partial(bytes) if bytes <= blob.descriptor.size => {
                    BlobState::Partial(bytes)
                }
                _ if target.known().is_mountable(&blob.descriptor.digest) => BlobState::Mountable,
                _ => BlobState::Missing,
            };
        }
        Ok(Self { blobs })
    }

    /// Asks about what only asking can tell.
    pub(super) async fn probe_blobs(&mut self, target: &dyn Target) -> Result<()> {
        let unknown = self.blobs.iter_mut().filter(|blob| blob.state == BlobState::Missing);
        let asking = unknown.map(|blob| async {
            if target.blob(&blob.descriptor, Effort::Request).await? == BlobPresence::Complete {
                blob.state = BlobState::Shared;
            }
            Ok(())
        });
        stream::iter(asking.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Refuses to begin if a blob is missing at both ends: an archive may omit blobs that its recipient should have.
    pub(super) async fn check_sources(
        &self,
        wanted: &[ImageRequest],
        target: &dyn Target,
    ) -> Result<()> {
        let mut lacking = Vec::new();
        let mut place = String::new();
        let to_come =
            |blob: &&PlannedBlob| matches!(blob.state, BlobState::Missing | BlobState::Partial(_));
        for blob in self.blobs.iter().filter(to_come) {
            let descriptor = &blob.descriptor;
            let sources = blob.images.iter().filter_map(|&image| Some(&wanted.get(image)?.source));
            if descriptor.size > 0
                && verified_inline_data(descriptor).is_none()
                && are_without(sources, descriptor).await?
                && matches!(
                    target.blob(descriptor, Effort::Request).await?,
                    BlobPresence::Absent | BlobPresence::Partial(_)
                )
            {
                lacking.push(descriptor.digest.clone());
                let first = blob.images.first().and_then(|&image| wanted.get(image));
                place = first
                    .map(|wanted| wanted.source.endpoint().location.clone())
                    .unwrap_or_default();
            }
        }
        if lacking.is_empty() {
            return Ok(());
        }
        let digests: Vec<&str> = lacking.iter().map(Digest::as_str).collect();
        let location = &target.endpoint().location;
        let why = format!("missing at the source and at {location}: {}", digests.join(", "));
        Err(Error::new(ErrorKind::NotFound, "blobs")
            .at(place)
            .with_reason(why)
            .with_side(Side::Source)
            .with_missing(lacking)
            .with_detail(ErrorDetail::BlobOmitted))
    }

    /// What the target is going to be given: all documents, and the blobs that must travel.
    pub(super) fn for_target<'a>(
        &'a self,
        graphs: impl Iterator<Item = &'a ImageGraph>,
    ) -> TargetPlan<'a> {
        let mut plan = TargetPlan::default();
        let mut seen = HashSet::new();
        for graph in graphs {
            let documents = graph.all_documents().chain(&graph.provenance.parent_index);
            plan.documents.extend(documents.filter(|document| seen.insert(document.digest())));
            let image = graph.root_document().filter(|_| !graph.complete);
            plan.names.extend(image.map(|root| (root.digest(), &graph.name)));
            for one in graph.attached.iter().filter(|one| !one.complete) {
                plan.names.extend(one.documents.last().map(|root| (root.digest(), &one.name)));
            }
        }
        for blob in self.blobs.iter().filter(|blob| blob.remaining().is_some()) {
            let presence = match blob.state {
                BlobState::Partial(bytes) => BlobPresence::Partial(bytes),
                _ => BlobPresence::Absent,
            };
            plan.blobs.push((&blob.descriptor, presence));
        }
        plan
    }

    /// Positions of the blobs that must be worked on, largest remaining first: the longest one must not start last. Or in
    /// the order in which they are listed, where the target asks for that.
    pub(super) fn queue(&self, as_listed: bool) -> Vec<usize> {
        let mut work: Vec<(u64, usize)> = self
            .blobs
            .iter()
            .enumerate()
            .filter_map(|(at, blob)| Some((blob.remaining()?, at)))
            .collect();
        if !as_listed {
            work.sort_by_key(|&(missing, at)| (std::cmp::Reverse(missing), at));
        }
        work.into_iter().map(|(_, at)| at).collect()
    }

    /// The plan for the image at this position, as `--plan` shows it.
    fn report(&self, image: usize, head: ImageSummary) -> PlanReport {
        let mut report = PlanReport::unknown(head);
        for blob in self.blobs.iter().filter(|blob| blob.images.contains(&image)) {
            let first = blob.images.first() == Some(&image);
            let state = if first || blob.state == BlobState::Skipped {
                blob.state
            } else {
                BlobState::Shared
            };
            report.bytes.add(&blob.descriptor, state);
            report.blobs.push(PlannedBlobReport {
                digest: blob.descriptor.digest.clone(),
                media_type: blob.descriptor.media_type.to_string(),
                size: blob.descriptor.size,
                state,
            });
        }
        report
    }
}

impl PlannedBlob {
    /// How it ends where nothing is done about it.
    pub(super) fn result_without_transfer(&self) -> BlobResult {
        match self.state {
            BlobState::Shared => BlobResult::Shared,
            BlobState::Skipped => BlobResult::Skipped,
            BlobState::Partial(_) | BlobState::Mountable | BlobState::Missing => {
                BlobResult::Missing
            }
        }
    }

    /// Bytes that the target has of it.
    pub(super) fn partial_bytes(&self) -> u64 {
        match self.state {
            BlobState::Shared => self.descriptor.size,
            BlobState::Partial(bytes) => bytes,
            BlobState::Mountable | BlobState::Missing | BlobState::Skipped => 0,
        }
    }

    /// Bytes that must travel; `None` where there is nothing to do.
    pub(super) fn remaining(&self) -> Option<u64> {
        match self.state {
            BlobState::Shared | BlobState::Skipped => None,
            BlobState::Partial(bytes) => Some(self.descriptor.size.saturating_sub(bytes)),
            BlobState::Mountable | BlobState::Missing => Some(self.descriptor.size),
        }
    }
}

/// Whether all of these are archives without the blob.
async fn are_without(
    sources: impl Iterator<Item = &Arc<dyn Source>>,
    descriptor: &Descriptor,
) -> Result<bool> {
    for source in sources {
        if source.endpoint().kind != EndpointKind::Archive
            || source.blob(descriptor, Effort::Local).await? != BlobPresence::Absent
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What `--plan` tells of one image.
#[derive(Clone, Debug, Serialize)]
pub struct PlanReport {
    /// Names and digests.
    #[serde(flatten)]
    pub head: ImageSummary,
    /// Totals.
    pub bytes: PlanBytes,
    /// Blob by blob.
    pub blobs: Vec<PlannedBlobReport>,
}

impl PlanReport {
    /// Of an image whose blobs are not known.
    fn unknown(head: ImageSummary) -> Self {
        Self { head, bytes: PlanBytes::default(), blobs: Vec::new() }
    }
}

/// Totals of a plan in bytes, over unique blobs; total = shared + mountable + partial + missing.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PlanBytes {
    /// All of them, foreign layers left out.
    pub total: u64,
    /// The target has these.
    pub shared: u64,
    /// The target's registry has these in another repository.
    pub mountable: u64,
    /// On disk from an earlier run.
    pub partial: u64,
    /// Must travel.
    pub missing: u64,
}

impl PlanBytes {
    fn add(&mut self, descriptor: &Descriptor, state: BlobState) {
        let size = descriptor.size;
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
