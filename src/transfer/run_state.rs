//! The state of a run: its images and targets, the plan, and the result of each blob.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::blob::context::TransferContext;
use super::blob::counters::BlobCounters;
use super::feed::run_feeds::RunFeeds;
use super::plan::build::{ImageRoute, Plan};
use super::report::{BlobResult, ImageResult};
use super::request::ImageRequest;
use super::resolve::graph::ImageGraph;
use super::schedule::Schedule;
use super::table::{BlobId, ImageId, SourceId, Table, TargetId};
use super::target_state::TargetState;
use super::tasks::Tasks;
use crate::content::{Rebuilder, Source, Target, TargetWriter, is_same_endpoint};
use crate::error::Error;

/// Receives the result of each image that has its name at its target.
pub(super) type ImageObserver = Box<dyn Fn(&ImageResult) + Send + Sync>;

/// One image of the run.
pub(super) struct ImageRun {
    pub(super) request: ImageRequest,
    pub(super) route: ImageRoute,
    pub(super) graph: Option<Arc<ImageGraph>>,
    pub(super) error: Option<Error>,
    /// From the start of the run.
    pub(super) committed: Option<Duration>,
    /// Why it was stored without some of its attached artifacts.
    pub(super) artifact_error: Option<Error>,
    /// The target lacked what it was believed to have, which is sent once.
    pub(super) was_invalidated: bool,
}

/// One target of the run.
pub(super) struct TargetRun {
    pub(super) state: Arc<TargetState>,
    /// Open once the target has begun.
    pub(super) writer: Option<Arc<dyn TargetWriter>>,
    pub(super) is_finished: bool,
}

impl TargetRun {
    /// Whether images that were committed have their names: at an atomic target all of them at its end.
    pub(super) fn shows_names(&self) -> bool {
        self.is_finished || !self.state.inner.properties().atomic
    }
}

/// A run: its images, its targets, and its tasks.
pub(super) struct Run {
    pub(super) started: Instant,
    pub(super) context: Arc<TransferContext>,
    pub(super) images: Table<ImageId, ImageRun>,
    pub(super) targets: Table<TargetId, TargetRun>,
    pub(super) plan: Plan,
    /// Rebuilders of the blobs that can be rebuilt.
    pub(super) rebuilders: HashMap<BlobId, Arc<dyn Rebuilder>>,
    pub(super) counters: Table<BlobId, Arc<BlobCounters>>,
    pub(super) results: Table<BlobId, BlobResult>,
    pub(super) feeds: RunFeeds,
    pub(super) schedule: Schedule,
    pub(super) tasks: Tasks<Self>,
    pub(super) observer: Option<ImageObserver>,
}

impl Run {
    /// Nothing is resolved or planned yet.
    pub(super) fn new(
        images: &[(ImageRequest, Arc<dyn Target>)],
        context: TransferContext,
        feeds: RunFeeds,
    ) -> Self {
        let mut run = Self {
            started: Instant::now(),
            context: Arc::new(context),
            images: Table::default(),
            targets: Table::default(),
            plan: Plan::default(),
            rebuilders: HashMap::new(),
            counters: Table::default(),
            results: Table::default(),
            feeds,
            schedule: Schedule::default(),
            tasks: Tasks::default(),
            observer: None,
        };
        let mut sources = Table::default();
        for (request, target) in images {
            let route = ImageRoute {
                source: source_id(&mut sources, &request.source),
                target: run.target_id(target),
            };
            run.images.push(ImageRun {
                request: request.clone(),
                route,
                graph: None,
                error: None,
                committed: None,
                artifact_error: None,
                was_invalidated: false,
            });
        }
        run
    }

    fn target_id(&mut self, target: &Arc<dyn Target>) -> TargetId {
        let known =
            self.targets.iter().find(|(_, known)| is_same_endpoint(&*known.state.inner, &**target));
        let known = known.map(|(id, _)| id);
        known.unwrap_or_else(|| {
            let state = Arc::new(TargetState::new(Arc::clone(target)));
            self.targets.push(TargetRun { state, writer: None, is_finished: false })
        })
    }

    /// Fails all images of this target.
    pub(super) fn fail_target(&mut self, target: TargetId, error: &Error) {
        let images = self.images.iter_mut().map(|(_, image)| image);
        for image in images.filter(|image| image.route.target == target) {
            image.error.get_or_insert_with(|| error.clone_for());
        }
    }
}

/// Returns the id of the source among these, to which it is added if it is new.
fn source_id<'a>(
    sources: &mut Table<SourceId, &'a Arc<dyn Source>>,
    source: &'a Arc<dyn Source>,
) -> SourceId {
    let known = sources.iter().find(|(_, known)| is_same_endpoint(&****known, &**source));
    let known = known.map(|(id, _)| id);
    known.unwrap_or_else(|| sources.push(source))
}
