//! Runs a plan: blobs concurrently, largest first; each image is named as soon as its last blob is there.
//!
//! Dropping the future, or cancelling, stops everything at once; partials stay and the next run continues them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::artifacts::{self, ArtifactOptions};
use super::blob::{BlobJob, Done, run};
use super::graph::{ImageGraph, ImageRequest, PlatformSelection, resolve_all};
use super::options::TransferOptions;
use super::plan::{Plan, PlannedBlob};
use super::prepare::TargetState;
use super::progress::{Completion, Event};
use super::reader::TransferContext;
use super::report::{BlobReport, BlobResult, ByteCounts, ImageSummary, Report};
use super::run_feeds::RunFeeds;
use super::side::OnSide as _;
use super::tally::BlobCounters;
use crate::content::{Source, Target, TargetWriter, is_same};
use crate::error::{Error, ErrorKind, Result, Side};
use crate::platform;

/// What became of one image, whether it arrived or not.
#[derive(Debug)]
pub struct ImageResult {
    /// What moved.
    pub report: Report,
    /// Why it is not there.
    pub error: Option<Error>,
    /// Why something that belongs to it is not there, while the image is.
    pub beside: Option<Error>,
}

/// Moves these images to the target; gives one answer for each, in their order.
pub async fn transfer(
    wanted: &[ImageRequest],
    target: &Arc<dyn Target>,
    options: TransferOptions,
) -> Vec<ImageResult> {
    let started = Instant::now();
    let mut run = Engine::new(wanted, target, options);
    let cancel = run.cancel.clone();
    let stopped = cancel.run_until_cancelled(run.run()).await.is_none();
    // Not before they stand still: what they have counted must be on disk when it is told.
    run.running.shutdown().await;
    run.care.progress.on_event(&Event::RunFinished);
    let feeds = std::mem::take(&mut run.feeds);
    let finished = run.finish(started, stopped);
    feeds.end(finished.iter().find_map(|one| one.error.as_ref()));
    finished
}

#[derive(Default)]
struct ImageState {
    graph: Option<ImageGraph>,
    error: Option<Error>,
    missing_blobs: usize,
    committed: bool,
    /// Whether the target's word about blobs proved wrong.
    was_invalidated: bool,
}

/// Work on a blob, with where it is read from.
struct BlobTask {
    at: usize,
    source: Arc<dyn Source>,
    handle: AbortHandle,
}

struct Engine<'a> {
    wanted: &'a [ImageRequest],
    target: TargetState<'a>,
    /// Open from the plan on.
    writer: Option<Arc<dyn TargetWriter>>,
    care: Arc<TransferContext>,
    jobs: usize,
    as_listed: bool,
    foreign_layers: bool,
    along: ArtifactOptions,
    cancel: CancellationToken,
    running: JoinSet<Done>,
    images: Vec<ImageState>,
    plan: Plan,
    tallies: Vec<Arc<BlobCounters>>,
    endings: Vec<BlobResult>,
    feeds: RunFeeds,
    /// Positions of the blobs whose turn has not come.
    queue: VecDeque<usize>,
    settled: bool,
}

impl<'a> Engine<'a> {
    fn new(
        wanted: &'a [ImageRequest],
        target: &'a Arc<dyn Target>,
        mut options: TransferOptions,
    ) -> Self {
        let feeds = RunFeeds::new(options.feeder.take());
        let is_sequential = target.properties().sequential;
        Self {
            wanted,
            target: TargetState::new(&**target),
            writer: None,
            jobs: if is_sequential { 1 } else { options.jobs.max(1) },
            as_listed: is_sequential || options.as_listed,
            foreign_layers: options.foreign_layers,
            along: options.along,
            cancel: options.cancel.clone(),
            running: JoinSet::new(),
            care: Arc::new(options.into_context()),
            images: wanted.iter().map(|_| ImageState::default()).collect(),
            plan: Plan::default(),
            tallies: Vec::new(),
            endings: Vec::new(),
            feeds,
            queue: VecDeque::new(),
            settled: false,
        }
    }

    async fn run(&mut self) {
        self.resolve().await;
        let writer = match self.prepare().await {
            Ok(writer) => writer,
            Err(error) => return self.fail_all(&error),
        };
        self.writer = Some(Arc::clone(&writer));
        self.commit_ready_images().await;
        self.transfer_blobs().await;
        self.fill_in_platforms().await;
        match writer.finish().await.on(Side::Target) {
            Ok(()) => self.settled = true,
            Err(error) => self.fail_all(&error),
        }
    }

    async fn resolve(&mut self) {
        let graphs = resolve_all(self.wanted, &self.target, self.along, &self.care.policy).await;
        for ((image, wanted), graph) in self.images.iter_mut().zip(self.wanted).zip(graphs) {
            match graph.on(Side::Source) {
                Ok(graph) => {
                    let event = Event::Resolved {
                        reference: &wanted.reference,
                        digest: &graph.root.digest,
                        documents: &graph.documents,
                        index: graph.provenance.parent_index.as_ref(),
                    };
                    self.care.progress.on_event(&event);
                    self.feeds.resolved(&graph);
                    image.graph = Some(graph);
                }
                Err(error) => image.error = Some(error),
            }
        }
    }

    /// Plans, and begins to write: the target knows everything that will come before anything does.
    async fn prepare(&mut self) -> Result<Arc<dyn TargetWriter>> {
        let graphs: Vec<Option<&ImageGraph>> =
            self.images.iter().map(|image| image.graph.as_ref()).collect();
        self.plan = Plan::new(&graphs, &self.target, self.foreign_layers).await.on(Side::Target)?;
        self.plan.check_sources(self.wanted, self.target.inner).await.on(Side::Target)?;
        self.tallies = self.plan.blobs.iter().map(|_| Arc::default()).collect();
        self.endings = self.plan.blobs.iter().map(PlannedBlob::result_without_transfer).collect();
        self.queue = self.plan.queue(self.as_listed).into();
        self.feeds.open(self.plan.blobs.iter().zip(&self.endings));
        for (blob, ending) in self.plan.blobs.iter().zip(&self.endings) {
            if *ending == BlobResult::Missing {
                for &image in &blob.images {
                    if let Some(image) = self.images.get_mut(image) {
                        image.missing_blobs += 1;
                    }
                }
            }
        }
        let blobs: Vec<_> =
            self.plan.blobs.iter().map(|blob| (&blob.descriptor, blob.partial_bytes())).collect();
        self.care.progress.on_event(&Event::Planned { blobs: &blobs });
        let graphs = self.images.iter().filter_map(|image| image.graph.as_ref());
        self.target.inner.begin(&self.plan.for_target(graphs)).await.on(Side::Target)
    }

    async fn transfer_blobs(&mut self) {
        let mut of_task: HashMap<tokio::task::Id, BlobTask> = HashMap::new();
        loop {
            while self.running.len() < self.jobs {
                let Some(at) = self.queue.pop_front() else { break };
                let Some(job) = self.job(at) else { continue };
                let source = Arc::clone(&job.source);
                let handle = self.running.spawn(run(job));
                of_task.insert(handle.id(), BlobTask { at, source, handle });
            }
            let Some(done) = self.running.join_next_with_id().await else { return };
            let (id, Done { result, feed }) = match done {
                Ok(done) => done,
                // Aborted because no image needs it any more; a panic must not pass for that.
                Err(error) if error.is_cancelled() => continue,
                Err(error) => {
                    let id = error.id();
                    let error = Error::new(ErrorKind::Interrupted, "transfer")
                        .with_side(Side::Local)
                        .with_source(error);
                    (id, Done::failed(error))
                }
            };
            let Some(BlobTask { at, source, .. }) = of_task.remove(&id) else { continue };
            match result {
                Ok(ending) => {
                    feed.end(Ok(()));
                    self.blob_done(at, ending).await;
                }
                Err(error) => {
                    if self.blob_failed(at, &*source, &error) {
                        self.queue.push_back(at);
                        self.feeds.keep(at, feed);
                    } else {
                        feed.end(Err(&error));
                    }
                    for task in of_task.values().filter(|task| self.source(task.at).is_none()) {
                        self.feeds.fail(self.plan.blobs.get(task.at), &error);
                        task.handle.abort();
                    }
                    self.commit_ready_images().await;
                }
            }
        }
    }

    /// The work on this blob; `None` where no image needs it any more.
    fn job(&mut self, at: usize) -> Option<BlobJob> {
        let source = Arc::clone(self.source(at)?);
        let descriptor = &self.plan.blobs.get(at)?.descriptor;
        Some(BlobJob {
            source,
            writer: Arc::clone(self.writer.as_ref()?),
            options: self.target.known().open_options(&descriptor.digest),
            descriptor: descriptor.clone(),
            care: Arc::clone(&self.care),
            tally: Arc::clone(self.tallies.get(at)?),
            feed: self.feeds.take(at),
        })
    }

    /// Where the first image comes from that waits for this blob and has not failed.
    fn source(&self, at: usize) -> Option<&'a Arc<dyn Source>> {
        let waits =
            |image: &&usize| self.images.get(**image).is_some_and(|image| image.error.is_none());
        let image = self.plan.blobs.get(at)?.images.iter().find(waits)?;
        self.wanted.get(*image).map(|wanted| &wanted.source)
    }

    async fn blob_done(&mut self, at: usize, ending: BlobResult) {
        let Some(blob) = self.plan.blobs.get(at) else { return };
        let way = match &ending {
            BlobResult::Transferred => Completion::Transferred,
            BlobResult::Mounted(from) => Completion::Mounted(from),
            _ => Completion::Shared,
        };
        let digest = &blob.descriptor.digest;
        match &ending {
            BlobResult::Shared | BlobResult::Mounted(_) => self.target.known().confirm(digest),
            _ => self.target.known().sent(digest),
        }
        let event = Event::BlobFinished { digest: &blob.descriptor.digest, completion: way };
        self.care.progress.on_event(&event);
        if let Some(slot) = self.endings.get_mut(at) {
            *slot = ending;
        }
        for &image in &blob.images {
            if let Some(image) = self.images.get_mut(image) {
                image.missing_blobs -= 1;
            }
        }
        self.commit_ready_images().await;
    }

    /// Fails the images that have the blob from this source; says whether one is left that has it from another.
    fn blob_failed(&mut self, at: usize, source: &dyn Source, error: &Error) -> bool {
        let of_all = matches!(error.kind(), ErrorKind::Store | ErrorKind::Interrupted);
        let Some(blob) = self.plan.blobs.get_mut(at) else { return false };
        let descriptor = &blob.descriptor;
        blob.images.retain(|&image| {
            let same = self.wanted.get(image).is_some_and(|other| is_same(&*other.source, source));
            let Some(image) = self.images.get_mut(image).filter(|_| of_all || same) else {
                return true;
            };
            let Some(graph) = &mut image.graph else { return true };
            let lies_beside = !of_all && graph.leave_out(&descriptor.digest, error);
            if lies_beside {
                image.missing_blobs -= 1;
            } else {
                image.error.get_or_insert_with(|| graph.told(descriptor, error));
            }
            !lies_beside
        });
        self.source(at).is_some()
    }

    /// Names every image whose blobs are all there.
    async fn commit_ready_images(&mut self) {
        for at in 0..self.images.len() {
            let is_ready = |image: &ImageState| {
                let is_open = !image.committed && image.error.is_none();
                image.missing_blobs == 0 && is_open && image.graph.is_some()
            };
            if !self.images.get(at).is_some_and(is_ready) {
                continue;
            }
            let mut result = self.commit(at).await;
            if let Err(error) = &result
                && error.kind() == ErrorKind::MissingBlobs
                && self.may_invalidate(at)
            {
                if self.requeue_missing(at, error) {
                    continue;
                }
                // It was only documents that were not there.
                result = self.commit(at).await;
            }
            let Some(image) = self.images.get_mut(at) else { continue };
            match result {
                Ok(()) => image.committed = true,
                Err(error) => image.error = Some(error),
            }
        }
    }

    async fn commit(&mut self, at: usize) -> Result<()> {
        let (Some(image), Some(wanted)) = (self.images.get(at), self.wanted.get(at)) else {
            return Ok(());
        };
        let (Some(graph), Some(writer)) = (&image.graph, &self.writer) else { return Ok(()) };
        let left_out =
            graph.commit(&self.target, &**writer, image.was_invalidated).await.on(Side::Target)?;
        self.care.progress.on_event(&Event::Committed { reference: &wanted.reference });
        if let Some(ImageState { graph: Some(graph), .. }) = self.images.get_mut(at) {
            graph.unread = graph.unread.take().or(left_out.map(Arc::new));
        }
        Ok(())
    }

    /// Whether the target's word was not found wrong before; only once is it taken back.
    fn may_invalidate(&mut self, at: usize) -> bool {
        let image = self.images.get_mut(at);
        image.is_some_and(|image| !std::mem::replace(&mut image.was_invalidated, true))
    }

    /// Queues the blobs that were taken to be at the target; says whether there are any.
    fn requeue_missing(&mut self, at: usize, error: &Error) -> bool {
        tracing::info!("{}; uploading blobs that were reported as present", error.chain());
        self.target.known().invalidate(error.missing());
        let mut queued = false;
        let blobs = self.plan.blobs.iter().zip(&mut self.endings).enumerate();
        for (position, (blob, ending)) in blobs {
            let believed = matches!(ending, BlobResult::Shared | BlobResult::Mounted(_));
            if !believed || !blob.images.contains(&at) {
                continue;
            }
            *ending = BlobResult::Missing;
            self.queue.push_back(position);
            queued = true;
            for &image in &blob.images {
                if let Some(image) = self.images.get_mut(image) {
                    image.missing_blobs += 1;
                }
            }
        }
        queued
    }

    async fn fill_in_platforms(&mut self) {
        for (image, wanted) in self.images.iter_mut().zip(self.wanted) {
            let Some(graph) = image.graph.as_mut().filter(|_| image.error.is_none()) else {
                continue;
            };
            graph.learn_platforms(&*wanted.source, &self.target).await;
            if let (PlatformSelection::Single(asked), [(_, Some(got))]) =
                (&wanted.platforms, graph.manifests.as_slice())
                && !asked.explicit
                && (!platform::matches(&asked.platform, got)
                    // What was chosen from an index was told of then.
                    || graph.provenance.parent_index.is_none()
                        && !platform::same_architecture(&asked.platform, got))
            {
                tracing::warn!(
                    "{} is a single-platform image for {got}, not {}",
                    wanted.reference,
                    asked.platform
                );
            }
        }
    }

    fn fail_all(&mut self, error: &Error) {
        for image in &mut self.images {
            image.error.get_or_insert_with(|| error.clone_for());
        }
    }

    fn finish(mut self, started: Instant, stopped: bool) -> Vec<ImageResult> {
        let elapsed = started.elapsed();
        let (images, settled) = (std::mem::take(&mut self.images), self.settled);
        images
            .into_iter()
            .enumerate()
            .map(|(at, image)| {
                let report = self.report(at, image.graph.as_ref(), elapsed);
                // Without a name nothing has arrived, whatever the reason.
                let is_named =
                    image.committed && (settled || !self.target.inner.properties().atomic);
                let error = image.error.or_else(|| {
                    (!is_named).then(|| {
                        let why = if stopped { "interrupted" } else { "not finished" };
                        Error::new(ErrorKind::Interrupted, &report.head.reference)
                            .with_side(Side::Local)
                            .with_reason(why)
                    })
                });
                let beside = image.graph.filter(|_| error.is_none()).and_then(|graph| graph.unread);
                let beside = beside.map(|why| artifacts::left_out(&report.head.reference, &why));
                ImageResult { report, error, beside }
            })
            .collect()
    }

    fn report(
        &self,
        at: usize,
        graph: Option<&ImageGraph>,
        elapsed: std::time::Duration,
    ) -> Report {
        let Some(wanted) = self.wanted.get(at) else { return Report::default() };
        let rows = self.plan.blobs.iter().zip(&self.endings).zip(&self.tallies);
        let blobs: Vec<BlobReport> = rows
            .filter(|((blob, _), _)| blob.images.contains(&at))
            .map(|((blob, ending), tally)| {
                if blob.images.first() == Some(&at) {
                    BlobReport::new(&blob.descriptor, ending, tally)
                } else {
                    BlobReport::as_shared(&blob.descriptor, ending)
                }
            })
            .collect();
        let mut requests = wanted.source.requests();
        if at == 0 {
            requests += self.target.inner.requests();
        }
        Report {
            head: ImageSummary::of(wanted, self.target.inner, graph),
            bytes: ByteCounts::of(&blobs),
            requests,
            elapsed,
            blobs,
        }
    }
}
