//! The tasks of a run: the only place that spawns.

use std::collections::HashMap;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::blob::fan_out::SinkEnd;
use super::blob::job::BlobJobResult;
use super::commit::Committed;
use super::table::{BlobId, ImageId, SourceId, TargetId};
use crate::error::Result;

/// The work of a task.
pub(super) enum Work {
    Move { blobs: Vec<BlobId>, source: SourceId },
    Commit(ImageId),
    Finish(TargetId),
}

/// How a task ended.
pub(super) enum End {
    Moved(BlobJobResult),
    FannedOut(Vec<SinkEnd>),
    Committed(Result<Committed>),
    Finished(Result<()>),
}

/// Tasks that have not ended.
#[derive(Default)]
pub(super) struct Tasks {
    running: JoinSet<End>,
    work: HashMap<Id, (Work, AbortHandle)>,
}

impl Tasks {
    pub(super) fn spawn(&mut self, work: Work, task: impl Future<Output = End> + Send + 'static) {
        let handle = self.running.spawn(task);
        self.work.insert(handle.id(), (work, handle));
    }

    /// Waits for the end of a task. It is an error if the task was stopped or has panicked.
    pub(super) async fn next(&mut self) -> Option<(Work, std::result::Result<End, JoinError>)> {
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
