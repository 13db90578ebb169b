//! The feeds of a run. Without a feeder all of them are unused.

use crate::error::Error;
use crate::transfer::feed::Feed;
use crate::transfer::feed::feeds::Feeder;
use crate::transfer::plan::build::PlannedBlob;
use crate::transfer::report::BlobResult;
use crate::transfer::resolve::graph::{ImageGraph, ResolvedImage};
use crate::transfer::table::{BlobId, Table};

/// The feed of each blob that no job has.
#[derive(Default)]
pub(in crate::transfer) struct RunFeeds {
    feeder: Option<Feeder>,
    blobs: Table<BlobId, Feed>,
}

impl RunFeeds {
    pub(in crate::transfer) fn new(feeder: Option<Feeder>) -> Self {
        Self { feeder, blobs: Table::default() }
    }

    /// Publishes the documents of the run's only image.
    pub(in crate::transfer) fn resolved(&self, graph: &ImageGraph) {
        if let Some((feeder, chosen)) = self.feeder.as_ref().zip(graph.documents.last()) {
            let root = graph.provenance.parent_index.as_ref().unwrap_or(chosen);
            feeder.resolved(ResolvedImage { root: root.clone(), manifest: chosen.clone() });
        }
    }

    /// Creates the feeds of a plan. Blobs that need no job end at once.
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

    /// Takes the feed for a job that moves the blob.
    pub(in crate::transfer) fn take(&mut self, blob: BlobId) -> Feed {
        self.blobs.get_mut(blob).map(std::mem::take).unwrap_or_default()
    }

    /// Returns the feed for the next job that moves the blob.
    pub(in crate::transfer) fn put_back(&mut self, blob: BlobId, feed: Feed) {
        if let Some(slot) = self.blobs.get_mut(blob) {
            *slot = feed;
        }
    }

    /// Ends the feed of a blob whose job is about to be stopped with this error.
    pub(in crate::transfer) fn fail(&self, blob: &PlannedBlob, error: &Error) {
        if let Some(feeder) = &self.feeder {
            feeder.fail(&blob.descriptor, error);
        }
    }

    /// Ends all feeds that have not ended.
    pub(in crate::transfer) fn end(self, error: Option<&Error>) {
        if let Some(feeder) = &self.feeder {
            feeder.end(error.map_or(Ok(()), Err));
        }
    }
}
