//! From names to a plan: resolves the images, asks the targets what they have, and begins to write.

#![expect(clippy::indexing_slicing, reason = "tables are indexed by ids of their own rows")]

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};

use super::options::TransferOptions;
use super::plan::build::{Plan, PlannedBlob};
use super::plan::show::BlobState;
use super::request::{ArtifactOptions, ImageRequest};
use super::resolve::finder::CONCURRENCY;
use super::resolve::graph::ImageGraph;
use super::resolve::image::resolve_all;
use super::resolve::source_documents::SourceDocuments;
use super::run_state::{ImageRun, Run};
use super::schedule::{BlobOrder, ImageEntry, Schedule, Slots, TargetRules};
use super::table::{BlobId, ImageId, Table, TargetId};
use super::target_state::TargetState;
use crate::content::Rebuilder;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::Side;
use crate::progress::Event;

/// A question for a rebuilder: which of these layers of a manifest it can rebuild.
struct RebuildQuestion<'a> {
    image: ImageId,
    rebuilder: &'a Arc<dyn Rebuilder>,
    manifest: &'a Document,
    missing: Vec<&'a Descriptor>,
}

/// Asks the rebuilders of the images about missing layers, several at once and about each manifest once. Returns the rebuilders of
/// those that can be rebuilt.
async fn find_rebuildable<'a>(
    plan: &mut Plan,
    images: impl Iterator<Item = (ImageId, &'a ImageRun)>,
) -> HashMap<BlobId, Arc<dyn Rebuilder>> {
    let questions = rebuild_questions(plan, images);
    let answers = questions
        .iter()
        .map(|question| question.rebuilder.find(question.manifest, &question.missing));
    // Collected, because a lazy iterator of borrowing futures is not `Send`.
    let answers = stream::iter(answers.collect::<Vec<_>>()).buffered(CONCURRENCY);
    let answers: Vec<_> = answers.collect().await;
    let mut rebuilders = HashMap::new();
    for (question, found) in questions.iter().zip(answers) {
        for (digest, bytes) in found {
            let is_it = |blob: &&BlobId| plan.blobs[**blob].descriptor.digest == digest;
            let Some(blob) = plan.images[question.image].iter().find(is_it).copied() else {
                continue;
            };
            let planned = &mut plan.blobs[blob];
            // A partial is of no use to a rebuilder, which may have left it.
            if is_to_move(planned) && planned.remaining().is_some_and(|remaining| bytes < remaining)
            {
                planned.state = BlobState::Rebuildable(bytes);
                rebuilders.insert(blob, Arc::clone(question.rebuilder));
            }
        }
    }
    rebuilders
}

fn rebuild_questions<'a>(
    plan: &Plan,
    images: impl Iterator<Item = (ImageId, &'a ImageRun)>,
) -> Vec<RebuildQuestion<'a>> {
    let (mut questions, mut known) = (Vec::new(), HashSet::new());
    for (id, image) in images {
        let (Some(graph), Some(rebuilder)) = (&image.graph, &image.request.rebuilder) else {
            continue;
        };
        let blobs = plan.images[id].iter().map(|blob| &plan.blobs[*blob]);
        let to_move: HashSet<&Digest> =
            blobs.filter(|blob| is_to_move(blob)).map(|blob| &blob.descriptor.digest).collect();
        for manifest in &graph.documents {
            let Ok(parsed) = manifest.manifest() else { continue };
            let layers = parsed.layers.iter();
            let missing: Vec<_> = layers.filter(|layer| to_move.contains(&layer.digest)).collect();
            if !missing.is_empty() && known.insert((image.route.target, manifest.digest())) {
                questions.push(RebuildQuestion { image: id, rebuilder, manifest, missing });
            }
        }
    }
    questions
}

fn is_to_move(blob: &PlannedBlob) -> bool {
    matches!(blob.state, BlobState::Missing | BlobState::Partial(_))
}

/// How many requests a plan may cost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PlanDetail {
    /// None for blobs: opening them shows which ones are missing.
    ForRun,
    /// One for each blob that may be missing.
    ForShow,
}

impl Run {
    /// Resolves all images, several at once. An image that cannot be resolved has its error.
    pub(super) async fn resolve(&mut self, artifacts: ArtifactOptions) {
        let documents = match self.targets.len() {
            0 | 1 => SourceDocuments::default(),
            _ => SourceDocuments::shared(),
        };
        for ImageRun { request, route, .. } in self.images.rows() {
            if let Some(found) = &request.found_at_target {
                let state = &self.targets[route.target].state;
                state.known().remember_name(&request.target_name, found.clone());
            }
        }
        let images = self.images.rows();
        let requests =
            images.map(|image| (&image.request, &*self.targets[image.route.target].state));
        let graphs = resolve_all(requests, &documents, artifacts, &self.context.policy).await;
        for ((_, image), graph) in self.images.iter_mut().zip(graphs) {
            match graph {
                Ok(graph) => {
                    self.context.progress.on_event(&Event::Resolved {
                        reference: &image.request.reference,
                        digest: &graph.root.digest,
                        documents: &graph.documents,
                        index: graph.provenance.parent_index.as_ref(),
                    });
                    self.feeds.resolved(&graph);
                    image.graph = Some(Arc::new(graph));
                }
                Err(error) => image.error = Some(error),
            }
        }
    }

    /// Makes the plan. Images that cannot be completed have their error afterwards.
    pub(super) async fn make_plan(&mut self, detail: PlanDetail, options: &TransferOptions) {
        let states: Vec<Arc<TargetState>> =
            self.targets.rows().map(|target| Arc::clone(&target.state)).collect();
        let targets: Table<TargetId, &TargetState> = states.iter().map(|state| &**state).collect();
        let images: Vec<_> =
            self.images.rows().map(|image| (&image.route, image.graph.as_deref())).collect();
        let (mut plan, mut failed) = Plan::new(&images, &targets, options).await;
        if detail == PlanDetail::ForShow {
            failed.extend(plan.probe_blobs(&targets).await);
        }
        let requests: Table<ImageId, &ImageRequest> =
            self.images.rows().map(|image| &image.request).collect();
        self.rebuilders = find_rebuildable(&mut plan, self.images.iter()).await;
        let unavailable = plan.images_without_source(&requests, &targets).await;
        failed.extend(unavailable.targets);
        if detail == PlanDetail::ForShow {
            plan.mount_from_uploads(&targets);
        }
        self.plan = plan;
        for (target, error) in failed {
            self.fail_target(target, &error);
        }
        for (image, error) in unavailable.images {
            self.images[image].error.get_or_insert(error);
        }
    }

    /// Begins to write to each target, which is given the whole plan before anything is written.
    pub(super) async fn begin(&mut self, options: &TransferOptions) {
        self.counters = self.plan.blobs.ids().map(|_| Arc::default()).collect();
        let blobs = self.plan.blobs.rows();
        self.results = blobs.map(PlannedBlob::result_without_transfer).collect();
        self.feeds.open(self.plan.blobs.rows().zip(self.results.rows()));
        self.report_plan();
        for target in self.targets.ids() {
            if let Err(error) = self.begin_target(target, options.max_bytes).await {
                self.fail_target(target, &error.with_side(Side::Target));
            }
        }
        let rules = self.targets.rows().map(|target| {
            let (properties, endpoint) =
                (target.state.inner.properties(), target.state.inner.endpoint());
            TargetRules {
                sequential: properties.sequential,
                max_commits: if endpoint.kind.is_local() { 1 } else { options.jobs },
                mount_scope: target.state.mount_point().map(|(scope, _)| scope.to_owned()),
            }
        });
        let images = self.images.rows().map(|image| ImageEntry {
            route: image.route.clone(),
            has_failed: image.error.is_some(),
        });
        let (images, rules) = (images.collect(), rules.collect());
        let order =
            if options.listed_order { BlobOrder::AsListed } else { BlobOrder::ImageByImage };
        let slots = Slots { jobs: options.jobs, small_jobs: options.small_jobs };
        self.schedule = Schedule::new(&self.plan, &images, &rules, slots, order);
    }

    async fn begin_target(
        &mut self,
        target: TargetId,
        max_bytes: Option<u64>,
    ) -> crate::error::Result<()> {
        let live = self
            .images
            .iter()
            .filter(|(_, image)| image.route.target == target && image.error.is_none());
        let graphs: HashMap<ImageId, &ImageGraph> =
            live.filter_map(|(id, image)| Some((id, image.graph.as_deref()?))).collect();
        if graphs.is_empty() {
            return Ok(());
        }
        let mut plan = self.plan.for_target(target, &graphs);
        plan.max_bytes = max_bytes;
        let writer = self.targets[target].state.inner.begin(&plan).await?;
        self.targets[target].writer = Some(writer);
        Ok(())
    }

    /// Reports each blob once, even if it has several targets: progress counts what is read.
    fn report_plan(&self) {
        let mut present = HashMap::new();
        let mut blobs = Vec::new();
        for blob in self.plan.blobs.rows() {
            let key = (&blob.descriptor.digest, blob.descriptor.size);
            let known = *present.entry(key).or_insert_with(|| {
                blobs.push((&blob.descriptor, blob.partial_bytes()));
                blobs.len() - 1
            });
            if let Some((_, bytes)) = blobs.get_mut(known) {
                *bytes = (*bytes).min(blob.partial_bytes());
            }
        }
        let mut rebuilt: Vec<(&Digest, u64)> = Vec::new();
        for blob in self.plan.blobs.rows() {
            if let BlobState::Rebuildable(bytes) = blob.state {
                rebuilt.push((&blob.descriptor.digest, bytes));
            }
        }
        self.context.progress.on_event(&Event::Planned { blobs: &blobs, rebuilt: &rebuilt });
    }
}
