//! What a run brings, for those who use it while it runs: the image's documents, its blobs, and how the run ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::transfer::feed::growing::{GrowingBlob, OpenStored};
use crate::transfer::feed::{Feed, FeedChannel, stopped};
use crate::transfer::resolve::graph::ResolvedImage;

/// The end of those who use what a run brings.
#[derive(Clone, Debug)]
pub struct Feeds(Arc<FeedsInner>);

/// The run's end, for [`TransferOptions::feeder`](crate::transfer::TransferOptions::feeder). Dropping it ends everything
/// that is waited for.
#[derive(Debug)]
pub struct Feeder(Arc<FeedsInner>);

#[derive(Debug, Default)]
struct FeedsInner {
    state: Mutex<FeedsState>,
    /// Whether the documents are known, or never will be.
    resolved: CancellationToken,
    run: FeedChannel,
}

/// By size too: where two layers give one digest different sizes, they are moved as two blobs.
type BlobKey = (Digest, u64);

#[derive(Debug, Default)]
struct FeedsState {
    image: Option<ResolvedImage>,
    blobs: HashMap<BlobKey, Arc<FeedChannel>>,
    /// How every blob ends from now on that has not.
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
    /// Both ends, for one run of one image.
    pub fn connect() -> (Feeder, Self) {
        let inner = Arc::<FeedsInner>::default();
        (Feeder(Arc::clone(&inner)), Self(inner))
    }

    /// Waits for the image's documents.
    ///
    /// # Errors
    /// The run's, where it ended before.
    pub async fn resolved_image(&self) -> Result<ResolvedImage> {
        self.0.resolved.cancelled().await;
        let state = self.0.state();
        match (&state.image, &state.end) {
            (Some(image), _) => Ok(image.clone()),
            (None, Some(Err(error))) => Err(error.clone_for()),
            (None, _) => Err(stopped()),
        }
    }

    /// Reads a blob of the run, while it comes or from what `open` gives where it is there already. Reads wait, so they
    /// belong on a thread; `cancel` ends one that waits.
    pub fn read(
        &self,
        blob: Descriptor,
        open: OpenStored,
        cancel: CancellationToken,
    ) -> GrowingBlob {
        let shared = self.0.blob(&blob);
        GrowingBlob::new(blob, shared, open, cancel)
    }

    /// Waits until a blob is at the target, verified; tells how often bytes of it were thrown away.
    ///
    /// # Errors
    /// As the job that moves it, or the run, failed.
    pub async fn verified(&self, blob: &Descriptor) -> Result<u32> {
        self.0.blob(blob).wait_for_end().await
    }

    /// Waits, on a thread, for the run's end.
    ///
    /// # Errors
    /// As the image failed.
    pub fn wait_for_run(&self) -> Result<()> {
        self.0.run.block_until_end().map(drop)
    }
}

impl Feeder {
    pub(in crate::transfer) fn resolved(&self, image: ResolvedImage) {
        self.0.state().image = Some(image);
        self.0.resolved.cancel();
    }

    /// The end of the job that moves this blob.
    pub(in crate::transfer) fn feed(&self, blob: &Descriptor) -> Feed {
        Feed::new(self.0.blob(blob))
    }

    /// Ends the feed of a blob whose job is about to be stopped because of this.
    pub(in crate::transfer) fn fail(&self, blob: &Descriptor, error: &Error) {
        self.0.blob(blob).end(Err(error));
    }

    /// Ends all that has not ended.
    pub(in crate::transfer) fn end(&self, result: Result<(), &Error>) {
        self.0.end(result);
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.end(Err(&stopped()));
    }
}
