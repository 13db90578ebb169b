//! The entry point of the engine: moves images, each from its source to its target, in one run.

#![expect(clippy::indexing_slicing, reason = "tables are indexed by ids of their own rows")]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::blob::byte_limit::ByteLimit;
use super::blob::context::TransferContext;
use super::commit;
use super::feed::run_feeds::RunFeeds;
use super::options::TransferOptions;
use super::plan::show::{BlobState, PlanReport, PlannedBlobReport, PlannedImage};
use super::prepare::PlanDetail;
use super::report::{BlobReport, ByteCounts, ImageReport, ImageResult, ImageSummary, RunReport};
use super::request::ImageRequest;
use super::resolve::artifacts;
use super::run_state::{ImageObserver, ImageRun, Run};
use super::table::ImageId;
use crate::content::Target;
use crate::error::{Error, ErrorKind, Side};
use crate::progress::Event;
use crate::size::size;

/// Images to move, each from its source to its target.
///
/// An image for several targets is added once for each, with the same source handle: its documents are fetched once, and its
/// blobs are read once for all targets that lack them. Handles of one endpoint ([`is_same_endpoint`](crate::content::is_same_endpoint)) count
/// as one source or target.
#[derive(Default)]
pub struct Transfer {
    images: Vec<(ImageRequest, Arc<dyn Target>)>,
    options: TransferOptions,
    observer: Option<ImageObserver>,
}

impl std::fmt::Debug for Transfer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transfer").field("images", &self.images.len()).finish_non_exhaustive()
    }
}

impl Transfer {
    /// A run without images.
    pub fn new(options: TransferOptions) -> Self {
        Self { images: Vec::new(), options, observer: None }
    }

    /// Adds an image. Images are completed in about the order in which they were added.
    #[must_use]
    pub fn image(mut self, image: ImageRequest, target: &Arc<dyn Target>) -> Self {
        self.images.push((image, Arc::clone(target)));
        self
    }

    /// Adds images for one target, in this order.
    #[must_use]
    pub fn images(self, images: &[ImageRequest], target: &Arc<dyn Target>) -> Self {
        images.iter().fold(self, |run, image| run.image(image.clone(), target))
    }

    /// Calls this with the result of each image as soon as it has its name at its target, in the order in which that happens.
    /// Requests and duration are those so far. Nothing new starts while it is called.
    #[must_use]
    pub fn on_image(mut self, observer: impl Fn(&ImageResult) + Send + Sync + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Returns what the run would do, in the order of the images. Moves nothing.
    ///
    /// Costs the requests that resolve the images, and one for each blob that a target may or may not have.
    pub async fn plan(&self) -> Vec<PlannedImage> {
        let context = TransferContext::new(&self.options).without_progress();
        let mut run = Run::new(&self.images, context, RunFeeds::default());
        run.resolve(self.options.artifacts).await;
        run.make_plan(PlanDetail::ForShow, &self.options).await;
        run.fill_in_platforms().await;
        let planned = run.images.ids().map(|id| {
            let blobs = run.plan.images[id].iter().map(|blob| {
                let blob = &run.plan.blobs[*blob];
                let first = blob.images.iter().find(|image| run.images[**image].error.is_none());
                let is_first = first == Some(&id);
                let is_counted = is_first || blob.state == BlobState::Skipped;
                let state = if is_counted { blob.state } else { BlobState::Shared };
                PlannedBlobReport::new(&blob.descriptor, state)
            });
            let image = &run.images[id];
            let is_known = image.error.is_none();
            let report = PlanReport::new(run.summary(image), blobs.filter(|_| is_known));
            PlannedImage { report, error: image.error.as_ref().map(Error::clone_for) }
        });
        planned.collect()
    }

    /// Moves the images. The report has a result for each image, in the order in which they were added, also if the run failed
    /// or was cancelled.
    ///
    /// Dropping the future stops everything at once. What has arrived is kept, and the next run continues it.
    pub async fn run(mut self) -> RunReport {
        let feeds = RunFeeds::new(self.options.feeder.take());
        let mut run = Run::new(&self.images, TransferContext::new(&self.options), feeds);
        run.observer = self.observer.take();
        let cancel = self.options.control.cancel.clone();
        let executed = cancel.run_until_cancelled(Box::pin(run.execute(&self.options))).await;
        let unfinished = match executed {
            Some(()) => "not finished",
            None => "interrupted",
        };
        run.tasks.stop().await;
        run.context.progress.on_event(&Event::RunFinished);
        let feeds = std::mem::take(&mut run.feeds);
        let report = run.report(unfinished);
        feeds.end(report.images.iter().find_map(|image| image.error.as_ref()));
        report
    }
}

impl Run {
    async fn execute(&mut self, options: &TransferOptions) {
        self.resolve(options.artifacts).await;
        self.make_plan(PlanDetail::ForRun, options).await;
        self.begin(options).await;
        self.drive().await;
    }

    async fn fill_in_platforms(&mut self) {
        for (_, image) in self.images.iter_mut() {
            let state = &self.targets[image.route.target].state;
            if let Some(graph) = image.graph.as_mut().map(Arc::make_mut) {
                let found = commit::platforms(graph, &*image.request.source, state).await;
                graph.set_platforms(found);
            }
        }
    }

    fn summary(&self, image: &ImageRun) -> ImageSummary {
        let target = &*self.targets[image.route.target].state.inner;
        ImageSummary::new(&image.request, target, image.graph.as_deref())
    }

    /// `unfinished` is the reason for images that are not committed and have no error of their own.
    fn report(self, unfinished: &str) -> RunReport {
        let elapsed = self.started.elapsed();
        let reports = self.images.ids().map(|image| self.image_report(image, elapsed));
        let mut reports = reports.collect::<Vec<_>>().into_iter();
        let received = self.context.received.load(Ordering::Relaxed);
        let finish = |image: ImageRun| {
            let target = &self.targets[image.route.target];
            let report = reports.next().unwrap_or_default();
            let incomplete = image.incomplete();
            // An image without a name has not arrived, whatever the reason.
            let is_named = image.committed.is_some() && target.shows_names();
            let error = image.error.or_else(|| {
                let error = Error::new(ErrorKind::Interrupted, &report.summary.reference);
                (!is_named).then(|| error.with_side(Side::Local).with_reason(unfinished))
            });
            let error = error.map(|error| match &self.context.limit {
                Some(limit) if error.kind() == ErrorKind::Stopped => stopped_error(limit, &report),
                _ => error,
            });
            let incomplete = incomplete.filter(|_| error.is_none());
            ImageResult { report, error, incomplete, committed: image.committed }
        };
        let images = self.images.into_rows().map(finish).collect();
        RunReport { images, received, elapsed }
    }

    /// Tells the observer that the image has its name.
    pub(super) fn observe(&self, id: ImageId) {
        let Some(observer) = &self.observer else { return };
        let image = &self.images[id];
        observer(&ImageResult {
            report: self.image_report(id, self.started.elapsed()),
            error: None,
            incomplete: image.incomplete(),
            committed: image.committed,
        });
    }

    fn image_report(&self, id: ImageId, elapsed: Duration) -> ImageReport {
        let image = &self.images[id];
        let blobs = self.plan.images.get(id).into_iter().flatten().map(|blob| {
            let planned = &self.plan.blobs[*blob];
            let Some(result) = self.results.get(*blob) else {
                return BlobReport::as_shared(
                    &planned.descriptor,
                    &planned.result_without_transfer(),
                );
            };
            if planned.images.first() == Some(&id) {
                BlobReport::new(&planned.descriptor, result, &self.counters[*blob])
            } else {
                BlobReport::as_shared(&planned.descriptor, result)
            }
        });
        let blobs: Vec<BlobReport> = blobs.collect();
        let target = image.route.target;
        let mut requests = image.request.source.requests();
        // Requests of the target are counted once, with its first image.
        if self
            .images
            .iter()
            .find(|(_, other)| other.route.target == target)
            .is_some_and(|(first, _)| first == id)
        {
            requests += self.targets[target].state.inner.requests();
        }
        let at_target = || self.targets[target].state.inner.rate_limit();
        let rate_limit = image.request.source.rate_limit().or_else(at_target);
        let bytes = ByteCounts::from_blobs(&blobs);
        let mut hosts = image.request.source.bytes_by_host();
        if hosts.len() < 2 {
            hosts.clear();
        }
        ImageReport {
            summary: self.summary(image),
            bytes,
            requests,
            hosts,
            rate_limit,
            elapsed,
            blobs,
        }
    }
}

impl ImageRun {
    /// Why some of its artifacts are missing at the target.
    fn incomplete(&self) -> Option<Error> {
        let at_source = self.graph.as_ref().and_then(|graph| graph.artifact_error.as_deref());
        let reason = at_source.or(self.artifact_error.as_ref())?;
        Some(artifacts::incomplete_error(&self.request.reference, reason))
    }
}

/// The error of an image that is not complete because the run may receive no more bytes.
fn stopped_error(limit: &ByteLimit, report: &ImageReport) -> Error {
    let left = report.bytes.missing;
    Error::new(ErrorKind::Stopped, &report.summary.reference)
        .with_side(Side::Local)
        .with_reason(format!("{}; {} missing", limit.reason(), size(left)))
        .with_hint(limit.hint())
}
