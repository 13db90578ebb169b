//! The feeds of a run, which may have no readers.

use super::document_finder::ResolvedImage;
use super::feed::Feed;
use super::feeds::Feeder;
use super::graph::ImageGraph;
use super::plan::PlannedBlob;
use super::report::BlobResult;
use crate::error::Error;

/// The feed of each blob while no job has it.
#[derive(Default)]
pub(super) struct RunFeeds {
    feeder: Option<Feeder>,
    blobs: Vec<Feed>,
}

impl RunFeeds {
    pub(super) fn new(feeder: Option<Feeder>) -> Self {
        Self { feeder, blobs: Vec::new() }
    }

    /// The documents of the run's only image are known.
    pub(super) fn resolved(&self, graph: &ImageGraph) {
        if let Some((feeder, chosen)) = self.feeder.as_ref().zip(graph.documents.last()) {
            let root = graph.provenance.parent_index.as_ref().unwrap_or(chosen);
            feeder.resolved(ResolvedImage { root: root.clone(), manifest: chosen.clone() });
        }
    }

    /// The plan stands: what is there needs no job.
    pub(super) fn open<'a>(
        &mut self,
        blobs: impl Iterator<Item = (&'a PlannedBlob, &'a BlobResult)>,
    ) {
        let Some(feeder) = &self.feeder else { return };
        for (blob, ending) in blobs {
            let feed = feeder.feed(&blob.descriptor);
            if *ending == BlobResult::Missing {
                self.blobs.push(feed);
            } else {
                feed.end(Ok(()));
                self.blobs.push(Feed::default());
            }
        }
    }

    /// For the job that moves the blob at this position.
    pub(super) fn take(&mut self, at: usize) -> Feed {
        self.blobs.get_mut(at).map(std::mem::take).unwrap_or_default()
    }

    /// For the next job that does.
    pub(super) fn keep(&mut self, at: usize, feed: Feed) {
        if let Some(place) = self.blobs.get_mut(at) {
            *place = feed;
        }
    }

    /// Ends the feed of a blob whose job is about to be stopped because of this.
    pub(super) fn fail(&self, blob: Option<&PlannedBlob>, error: &Error) {
        if let Some((feeder, blob)) = self.feeder.as_ref().zip(blob) {
            feeder.fail(&blob.descriptor, error);
        }
    }

    /// Ends all that has not ended.
    pub(super) fn end(self, error: Option<&Error>) {
        if let Some(feeder) = &self.feeder {
            feeder.end(error.map_or(Ok(()), Err));
        }
    }
}
