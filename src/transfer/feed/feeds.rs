//! Access to the documents and blobs of a run while it runs, and to its end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::transfer::feed::growing::{GrowingBlob, OpenStored};
use crate::transfer::feed::{Feed, FeedChannel, stopped};
use crate::transfer::resolve::graph::ResolvedImage;

/// The reading side of a run. Clones read the same run.
#[derive(Clone, Debug)]
pub struct Feeds(Arc<FeedsInner>);

/// The writing side, for [`TransferOptions::feeder`](crate::transfer::TransferOptions::feeder). Dropping it ends all waits.
#[derive(Debug)]
pub struct Feeder(Arc<FeedsInner>);

#[derive(Debug, Default)]
struct FeedsInner {
    state: Mutex<FeedsState>,
    /// Cancelled when the documents are known, or never will be.
    resolved: CancellationToken,
    run: FeedChannel,
}

/// Includes the size: if two layers give one digest different sizes, they are moved as two blobs.
type BlobKey = (Digest, u64);

#[derive(Debug, Default)]
struct FeedsState {
    image: Option<ResolvedImage>,
    blobs: HashMap<BlobKey, Arc<FeedChannel>>,
    /// The end of every blob that has not ended yet.
    end: Option<Result<()>>,
}

impl FeedsInner {
    fn state(&self) -> MutexGuard<'_, FeedsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn blob(&self, blob: &Descriptor) -> Arc<FeedChannel> {
        let mut state = self.state();
        let key = (blob.digest.clone(), blob.size);
        if let Some(shared) = state.blobs.get(&key) {
            return Arc::clone(shared);
        }
        let shared = Arc::<FeedChannel>::default();
        if let Some(end) = &state.end {
            shared.end(end.as_ref().copied());
        }
        state.blobs.insert(key, Arc::clone(&shared));
        shared
    }

    fn end(&self, result: Result<(), &Error>) {
        let blobs: Vec<_> = {
            let mut state = self.state();
            if state.end.is_some() {
                return;
            }
            state.end = Some(result.map_err(Error::clone_for));
            state.blobs.values().map(Arc::clone).collect()
        };
        for blob in blobs {
            blob.end(result);
        }
        self.run.end(result);
        self.resolved.cancel();
    }
}

impl Feeds {
    /// Returns both sides, for one run of one image.
    pub fn connect() -> (Feeder, Self) {
        let inner = Arc::<FeedsInner>::default();
        (Feeder(Arc::clone(&inner)), Self(inner))
    }

    /// Waits for the image's documents.
    ///
    /// # Errors
    /// The error of the run, if it ended before.
    pub async fn resolved_image(&self) -> Result<ResolvedImage> {
        self.0.resolved.cancelled().await;
        let state = self.0.state();
        match (&state.image, &state.end) {
            (Some(image), _) => Ok(image.clone()),
            (None, Some(Err(error))) => Err(error.clone_for()),
            (None, _) => Err(stopped()),
        }
    }

    /// Reads a blob of the run while it arrives, or from `open` if the target already has it. Reads block, so they belong on a
    /// thread; `cancel` ends a read that waits.
    pub fn read(
        &self,
        blob: Descriptor,
        open: OpenStored,
        cancel: CancellationToken,
    ) -> GrowingBlob {
        let shared = self.0.blob(&blob);
        GrowingBlob::new(blob, shared, open, cancel)
    }

    /// Waits until a blob is at the target, verified. Returns how often its bytes were discarded.
    ///
    /// # Errors
    /// The error of the job that moves it, or of the run.
    pub async fn verified(&self, blob: &Descriptor) -> Result<u32> {
        self.0.blob(blob).wait_for_end().await
    }

    /// Waits for the end of the run. Blocks.
    ///
    /// # Errors
    /// The error of the image.
    pub fn wait_for_run(&self) -> Result<()> {
        self.0.run.block_until_end().map(drop)
    }
}

impl Feeder {
    pub(in crate::transfer) fn resolved(&self, image: ResolvedImage) {
        self.0.state().image = Some(image);
        self.0.resolved.cancel();
    }

    /// Returns the feed for the job that moves this blob.
    pub(in crate::transfer) fn feed(&self, blob: &Descriptor) -> Feed {
        Feed::new(self.0.blob(blob))
    }

    /// Ends the feed of a blob whose job is about to be stopped with this error.
    pub(in crate::transfer) fn fail(&self, blob: &Descriptor, error: &Error) {
        self.0.blob(blob).end(Err(error));
    }

    /// Ends all feeds that have not ended.
    pub(in crate::transfer) fn end(&self, result: Result<(), &Error>) {
        self.0.end(result);
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.end(Err(&stopped()));
    }
}
