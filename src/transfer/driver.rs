//! Executes the decisions of the schedule: starts a task for each action, waits for one to end, and reports it to the
//! schedule.

#![expect(clippy::indexing_slicing, reason = "tables are indexed by ids of their own rows")]

use std::sync::Arc;

use tokio::task::JoinError;

use super::blob::fan_out::{FanOut, SinkEnd, SinkTarget};
use super::blob::job::{self, BlobJob, BlobJobResult};
use super::commit::{CommitJob, Committed};
use super::feed::Feed;
use super::report::BlobResult;
use super::request::{ImageRequest, PlatformSelection};
use super::resolve::graph::ImageGraph;
use super::run_state::{ImageRun, Run};
use super::schedule::Action;
use super::side::OnSide as _;
use super::table::{BlobId, ImageId, SourceId, TargetId};
use super::tasks::Work;
use crate::error::{Error, ErrorKind, Result, Side};
use crate::platform;
use crate::progress::{Completion, Event};

impl Run {
    /// Runs until every image is committed or has failed.
    pub(super) async fn drive(&mut self) {
        loop {
            while let Some(action) = self.schedule.next() {
                self.start(action);
            }
            match self.tasks.next().await {
                Some((_, Ok(handle_result))) => handle_result(self),
                Some((work, Err(error))) => self.task_failed(work, &error),
                None => return,
            }
        }
    }

    fn start(&mut self, action: Action) {
        match action {
            Action::Move(blobs) => self.start_move(blobs),
            Action::Commit(image) => self.start_commit(image),
            Action::Finish(target) => {
                if let Some(writer) = self.targets[target].writer.clone() {
                    let finish = async move { writer.finish().await.on(Side::Target) };
                    let ended = move |run: &mut Self, result| run.finish_ended(target, result);
                    self.tasks.spawn(Work::Finish(target), finish, ended);
                }
            }
        }
    }

    fn start_move(&mut self, blobs: Vec<BlobId>) {
        let first = blobs.first().copied();
        let reader = first.and_then(|blob| Some((blob, self.schedule.reader(blob)?)));
        let Some((first, reader)) = reader else { return self.drop_job(&blobs) };
        let ImageRun { request, route, .. } = &self.images[reader];
        if let Err(error) = self.context.check_limit(&request.reference) {
            return self.move_stopped(blobs, route.source, &error);
        }
        // Each image has its own handle, which counts its requests.
        let (source, from) = (route.source, Arc::clone(&request.source));
        let descriptor = self.plan.blobs[first].descriptor.clone();
        let context = Arc::clone(&self.context);
        let sinks: Vec<SinkTarget> = blobs.iter().filter_map(|blob| self.sink(*blob)).collect();
        if blobs.len() > 1 {
            let fan_out = FanOut { source: from, descriptor, context, sinks };
            let work = Work::Move { blobs: blobs.clone(), source };
            let ended = move |run: &mut Self, ends| run.fan_out_ended(blobs, source, ends);
            return self.tasks.spawn(work, fan_out.run(), ended);
        }
        let Some(SinkTarget { writer, options, counters }) = sinks.into_iter().next() else {
            return self.drop_job(&blobs);
        };
        let feed = self.feeds.take(first);
        let rebuilder = self.rebuilders.remove(&first);
        let rebuilder = std::sync::Mutex::new(rebuilder);
        let job = BlobJob {
            source: from,
            rebuilder,
            writer,
            options,
            descriptor,
            context,
            counters,
            feed,
        };
        let ended = move |run: &mut Self, BlobJobResult { result, feed }| {
            run.schedule.job_ended(&[first]);
            run.move_ended(first, source, result, feed);
        };
        self.tasks.spawn(Work::Move { blobs, source }, job::run(job), ended);
    }

    /// Ends a job that was not started, because the run may receive no more bytes.
    fn move_stopped(&mut self, blobs: Vec<BlobId>, source: SourceId, error: &Error) {
        self.schedule.job_ended(&blobs);
        for blob in blobs {
            self.move_ended(blob, source, Err(error.clone_for()), Feed::default());
        }
    }

    /// Ends a job that no image needs.
    fn drop_job(&mut self, blobs: &[BlobId]) {
        self.schedule.job_ended(blobs);
        for blob in blobs {
            self.schedule.move_failed(*blob);
        }
    }

    fn sink(&self, blob: BlobId) -> Option<SinkTarget> {
        let planned = &self.plan.blobs[blob];
        let target = &self.targets[planned.target];
        Some(SinkTarget {
            writer: target.writer.clone()?,
            options: target.state.known().open_options(&planned.descriptor.digest),
            counters: Arc::clone(&self.counters[blob]),
        })
    }

    fn start_commit(&mut self, id: ImageId) {
        let image = &self.images[id];
        let target = &self.targets[image.route.target];
        let (Some(graph), Some(writer)) = (&image.graph, &target.writer) else {
            self.schedule.commit_ended(id);
            return self.schedule.fail(id);
        };
        let job = CommitJob {
            graph: Arc::clone(graph),
            source: Arc::clone(&image.request.source),
            target: Arc::clone(&target.state),
            writer: Arc::clone(writer),
            is_final_attempt: image.was_invalidated,
        };
        let commit = async move { job.run().await };
        let ended = move |run: &mut Self, result| run.commit_ended(id, result);
        self.tasks.spawn(Work::Commit(id), commit, ended);
    }

    fn fan_out_ended(&mut self, blobs: Vec<BlobId>, source: SourceId, ends: Vec<SinkEnd>) {
        self.schedule.job_ended(&blobs);
        for (blob, end) in blobs.into_iter().zip(ends) {
            match end {
                SinkEnd::Ended(result) => {
                    self.move_ended(blob, source, result, Feed::default());
                }
                SinkEnd::MoveAlone => self.schedule.move_alone(blob),
            }
        }
    }

    /// A task ended without a result: it was stopped because no image needs it, or it panicked.
    fn task_failed(&mut self, work: Work, error: &JoinError) {
        let panic = || {
            Error::new(ErrorKind::Interrupted, "transfer")
                .with_side(Side::Local)
                .with_reason(error.to_string())
        };
        match work {
            Work::Move { blobs, source } => {
                if error.is_cancelled() {
                    return self.drop_job(&blobs);
                }
                self.schedule.job_ended(&blobs);
                for blob in blobs {
                    self.move_ended(blob, source, Err(panic()), Feed::default());
                }
            }
            Work::Commit(image) => self.commit_ended(image, Err(panic())),
            Work::Finish(target) => self.finish_ended(target, Err(panic())),
        }
    }

    fn move_ended(
        &mut self,
        blob: BlobId,
        source: SourceId,
        result: Result<BlobResult>,
        feed: Feed,
    ) {
        match result {
            Ok(result) => {
                feed.end(Ok(()));
                self.moved(blob, result);
            }
            Err(error) => {
                self.move_failed(blob, source, &error);
                if self.schedule.move_failed(blob) {
                    self.feeds.put_back(blob, feed);
                } else {
                    feed.end(Err(&error));
                }
                self.stop_unneeded(&error);
            }
        }
    }

    fn moved(&mut self, id: BlobId, result: BlobResult) {
        let blob = &self.plan.blobs[id];
        let digest = &blob.descriptor.digest;
        let target = &self.targets[blob.target].state;
        match &result {
            BlobResult::Shared | BlobResult::Mounted(_) => target.known().mark_confirmed(digest),
            _ => target.known().mark_sent(digest),
        }
        let completion = match &result {
            BlobResult::Transferred => Completion::Transferred,
            BlobResult::Rebuilt => Completion::Rebuilt,
            BlobResult::Mounted(from) => Completion::Mounted(from),
            _ => Completion::Shared,
        };
        self.context.progress.on_event(&Event::BlobFinished { digest, completion });
        let released = self.schedule.moved(id);
        if let Some((_, repository)) = target.mount_point() {
            for follower in released.iter().map(|follower| &self.plan.blobs[*follower]) {
                let known = &self.targets[follower.target].state;
                known.known().add_mount_source(std::iter::once(&follower.descriptor), repository);
            }
        }
        self.results[id] = result;
    }

    /// Fails the images that cannot be completed without the blob.
    fn move_failed(&mut self, blob: BlobId, source: SourceId, error: &Error) {
        let failed_source = (error.side() == Some(Side::Source)).then_some(source);
        let is_local =
            matches!(error.kind(), ErrorKind::Store | ErrorKind::Interrupted | ErrorKind::Stopped);
        for (image, needed) in self.schedule.images_failed_by(blob, failed_source) {
            let descriptor = &self.plan.blobs[needed].descriptor;
            let run = &mut self.images[image];
            let Some(graph) = run.graph.as_mut().map(Arc::make_mut) else { continue };
            if !is_local && graph.leave_out(&descriptor.digest, error) {
                self.schedule.leave_out(image, needed);
                self.plan.leave_out(image, needed);
            } else {
                run.error.get_or_insert_with(|| graph.blob_error(descriptor, error));
                self.schedule.fail(image);
            }
        }
    }

    /// Stops the jobs whose blobs no image needs after this failure.
    fn stop_unneeded(&mut self, error: &Error) {
        let limit = self.context.limit.as_ref();
        // Within the limit of the run, started uploads may end: parts of them would be lost.
        if error.kind() == ErrorKind::Stopped && limit.is_some_and(|limit| limit.has_reservations())
        {
            return;
        }
        for (work, handle) in self.tasks.iter() {
            let Work::Move { blobs, .. } = work else { continue };
            if !blobs.iter().any(|blob| self.schedule.is_needed(*blob)) {
                for blob in blobs {
                    self.feeds.fail(&self.plan.blobs[*blob], error);
                }
                handle.abort();
            }
        }
    }

    fn commit_ended(&mut self, image: ImageId, result: Result<Committed>) {
        self.schedule.commit_ended(image);
        match result {
            Ok(committed) => self.committed(image, committed),
            Err(error) if error.kind() == ErrorKind::MissingBlobs && self.can_recommit(image) => {
                self.resend_missing(image, &error);
            }
            Err(error) => {
                self.images[image].error.get_or_insert_with(|| error.clone_for());
                self.schedule.fail(image);
                self.stop_unneeded(&error);
            }
        }
    }

    fn committed(&mut self, id: ImageId, committed: Committed) {
        let elapsed = self.started.elapsed();
        let image = &mut self.images[id];
        if image.error.is_some() {
            return;
        }
        image.committed = Some(elapsed);
        image.artifact_error = committed.artifact_error;
        if let Some(graph) = image.graph.as_mut().map(Arc::make_mut) {
            graph.set_platforms(committed.platforms);
            warn_of_other_platform(&image.request, graph);
        }
        self.context.progress.on_event(&Event::Committed { reference: &image.request.reference });
        self.schedule.committed(id);
        if self.targets[self.images[id].route.target].shows_names() {
            self.observe(id);
        }
    }

    /// Whether missing content of this image can be sent again: once.
    fn can_recommit(&mut self, image: ImageId) -> bool {
        let image = &mut self.images[image];
        image.error.is_none() && !std::mem::replace(&mut image.was_invalidated, true)
    }

    fn resend_missing(&mut self, image: ImageId, error: &Error) {
        tracing::info!("{}; uploading blobs that were thought to be present", error.chain());
        let target = &self.targets[self.images[image].route.target].state;
        target.known().invalidate(error.missing());
        let blobs = &self.plan.images[image];
        // What this run has sent is there, unless the target names it: another client may have deleted it since.
        let is_doubtful = |blob: &&BlobId| {
            matches!(self.results[**blob], BlobResult::Shared | BlobResult::Mounted(_))
                || error.missing().contains(&self.plan.blobs[**blob].descriptor.digest)
        };
        let doubtful: Vec<BlobId> = blobs.iter().filter(is_doubtful).copied().collect();
        for blob in &doubtful {
            self.results[*blob] = BlobResult::Missing;
            self.counters[*blob].continue_at(0);
        }
        self.schedule.recommit(image, blobs, &doubtful);
    }

    fn finish_ended(&mut self, target: TargetId, result: Result<()>) {
        match result {
            Ok(()) => {
                let had_names = self.targets[target].shows_names();
                self.targets[target].is_finished = true;
                let is_new = |(_, image): &(ImageId, &ImageRun)| {
                    !had_names && image.route.target == target && image.committed.is_some()
                };
                self.images.iter().filter(is_new).for_each(|(id, _)| self.observe(id));
            }
            Err(error) => self.fail_target(target, &error),
        }
    }
}

/// Warns if a name without an index refers to another platform than the requested one.
fn warn_of_other_platform(request: &ImageRequest, graph: &ImageGraph) {
    let (PlatformSelection::Single(selected), [(_, Some(found))]) =
        (&request.platforms, graph.manifests.as_slice())
    else {
        return;
    };
    let differs = !platform::matches(&selected.platform, found)
        // The selection from an index has already warned.
        || graph.provenance.parent_index.is_none()
            && !platform::same_architecture(&selected.platform, found);
    if differs && !selected.explicit {
        tracing::warn!(
            "{} is a single-platform image for {found}, not {}",
            request.reference,
            selected.platform
        );
    }
}
