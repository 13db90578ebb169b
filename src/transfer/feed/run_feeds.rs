//! The feeds of a run, which may have no readers.

use crate::error::Error;
use crate::transfer::feed::Feed;
use crate::transfer::feed::feeds::Feeder;
use crate::transfer::plan::build::PlannedBlob;
use crate::transfer::report::BlobResult;
use crate::transfer::resolve::graph::{ImageGraph, ResolvedImage};
use crate::transfer::table::{BlobId, Table};

/// The feed of each blob while no job has it.
#[derive(Default)]
pub(in crate::transfer) struct RunFeeds {
    feeder: Option<Feeder>,
    blobs: Table<BlobId, Feed>,
}

impl RunFeeds {
    pub(in crate::transfer) fn new(feeder: Option<Feeder>) -> Self {
        Self { feeder, blobs: Table::default() }
    }

    /// The documents of the run's only image are known.
    pub(in crate::transfer) fn resolved(&self, graph: &ImageGraph) {
        if let Some((feeder, chosen)) = self.feeder.as_ref().zip(graph.documents.last()) {
            let root = graph.provenance.parent_index.as_ref().unwrap_or(chosen);
            feeder.resolved(ResolvedImage { root: root.clone(), manifest: chosen.clone() });
        }
    }

    /// The plan stands: what is there needs no job.
    pub(in crate::transfer) fn open<'a>(
        &mut self,
        blobs: impl Iterator<Item = (&'a PlannedBlob, &'a BlobResult)>,
    ) {
        let Some(feeder) = &self.feeder else { return };
        for (blob, result) in blobs {
            let feed = feeder.feed(&blob.descriptor);
            if *result == BlobResult::Missing {
                self.blobs.push(feed);
            } else {
                feed.end(Ok(()));
                self.blobs.push(Feed::default());
            }
        }
    }

    /// For the job that moves the blob.
    pub(in crate::transfer) fn take(&mut self, blob: BlobId) -> Feed {
        self.blobs.get_mut(blob).map(std::mem::take).unwrap_or_default()
    }

    /// For the next job that does.
    pub(in crate::transfer) fn put_back(&mut self, blob: BlobId, feed: Feed) {
        if let Some(slot) = self.blobs.get_mut(blob) {
            *slot = feed;
        }
    }

    /// Ends the feed of a blob whose job is about to be stopped because of this.
    pub(in crate::transfer) fn fail(&self, blob: &PlannedBlob, error: &Error) {
        if let Some(feeder) = &self.feeder {
            feeder.fail(&blob.descriptor, error);
        }
    }

    /// Ends all that has not ended.
    pub(in crate::transfer) fn end(self, error: Option<&Error>) {
        if let Some(feeder) = &self.feeder {
            feeder.end(error.map_or(Ok(()), Err));
        }
    }
}
