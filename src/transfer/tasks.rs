//! The tasks of a run: the only place that spawns.

use std::collections::HashMap;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::table::{BlobId, ImageId, SourceId, TargetId};

/// The work of a task.
pub(super) enum Work {
    Move { blobs: Vec<BlobId>, source: SourceId },
    Commit(ImageId),
    Finish(TargetId),
}

/// Gives the result of a task to the run.
pub(super) type ResultHandler<R> = Box<dyn FnOnce(&mut R) + Send>;

/// Tasks of a run of type `R` that have not ended.
pub(super) struct Tasks<R> {
    running: JoinSet<ResultHandler<R>>,
    work: HashMap<Id, (Work, AbortHandle)>,
}

impl<R> Default for Tasks<R> {
    fn default() -> Self {
        Self { running: JoinSet::new(), work: HashMap::new() }
    }
}

impl<R: 'static> Tasks<R> {
    /// Starts a task. [`Tasks::next`] returns `handle_result` with the result, unless the task was stopped or has panicked.
    pub(super) fn spawn<T: Send + 'static>(
        &mut self,
        work: Work,
        task: impl Future<Output = T> + Send + 'static,
        handle_result: impl FnOnce(&mut R, T) + Send + 'static,
    ) {
        let handle = self.running.spawn(async move {
            let result = task.await;
            Box::new(move |run: &mut R| handle_result(run, result)) as ResultHandler<R>
        });
        self.work.insert(handle.id(), (work, handle));
    }

    /// Waits for the end of a task. It is an error if the task was stopped or has panicked.
    pub(super) async fn next(&mut self) -> Option<(Work, Result<ResultHandler<R>, JoinError>)> {
        loop {
            let (id, end) = match self.running.join_next_with_id().await? {
                Ok((id, end)) => (id, Ok(end)),
                Err(error) => (error.id(), Err(error)),
            };
            if let Some((work, _)) = self.work.remove(&id) {
                return Some((work, end));
            }
        }
    }

    /// The running tasks, each with the handle that stops it.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(Work, AbortHandle)> {
        self.work.values()
    }

    /// Stops all tasks, and waits until they have ended: then everything that they counted is on disk.
    pub(super) async fn stop(&mut self) {
        self.running.shutdown().await;
    }
}
