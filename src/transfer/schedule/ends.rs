//! Reports to a schedule what ended, and how.

#![expect(clippy::indexing_slicing, reason = "tables are indexed by ids of their own rows")]

use std::collections::HashSet;

use super::{BlobPhase, ImagePhase, Schedule, ScheduledImage};
use crate::transfer::table::{BlobId, ImageId, SourceId};

impl Schedule {
    /// A job ended, with whatever result.
    pub(in crate::transfer) fn job_ended(&mut self, blobs: &[BlobId]) {
        self.running_jobs -= 1;
        for blob in blobs {
            let target = self.blobs[*blob].target;
            self.targets[target].running_blobs -= 1;
            self.changed.push_back(target);
        }
    }

    /// The blob is at its target. Queues and returns the blobs that can be mounted from there now.
    pub(in crate::transfer) fn moved(&mut self, blob: BlobId) -> Vec<BlobId> {
        self.blobs[blob].phase = BlobPhase::Present;
        for image in self.blobs[blob].images.clone() {
            self.release(image, blob);
        }
        let group = self.blobs[blob].group.take();
        let Some(group) = group.and_then(|number| self.groups.get_mut(number)) else {
            return Vec::new();
        };
        let mut released: Vec<BlobId> = std::mem::take(&mut group.followers).into();
        released.retain(|follower| self.blobs[*follower].phase == BlobPhase::Following);
        for follower in &released {
            self.blobs[*follower].group = None;
            if self.is_needed(*follower) {
                self.enqueue(*follower);
            } else {
                self.blobs[*follower].phase = BlobPhase::Dropped;
            }
        }
        released
    }

    /// The image is completed without this blob.
    pub(in crate::transfer) fn leave_out(&mut self, image: ImageId, blob: BlobId) {
        self.release(image, blob);
        self.blobs[blob].images.retain(|other| *other != image);
    }

    /// The image no longer waits for this blob.
    fn release(&mut self, image: ImageId, blob: BlobId) {
        let ScheduledImage { route, phase } = &mut self.images[image];
        let ImagePhase::Waiting(pending) = phase else { return };
        if pending.remove(&blob) && pending.is_empty() {
            *phase = ImagePhase::Ready;
            let target = route.target;
            self.targets[target].ready.push_back(image);
            self.changed.push_back(target);
        }
        self.drop_unneeded(blob);
    }

    /// Drops a blob that has not started if no image waits for it.
    fn drop_unneeded(&mut self, blob: BlobId) {
        let is_idle = matches!(self.blobs[blob].phase, BlobPhase::Queued | BlobPhase::Following);
        if is_idle && self.waiting_images(blob).next().is_none() {
            self.drop_blob(blob);
        }
    }

    /// The images that fail with this blob. If only its source has failed, those that read it from this source, also for other
    /// targets, unless it is being moved there.
    pub(in crate::transfer) fn images_failed_by(
        &self,
        blob: BlobId,
        source: Option<SourceId>,
    ) -> Vec<(ImageId, BlobId)> {
        let Some(source) = source else {
            return self.waiting_images(blob).map(|image| (image, blob)).collect();
        };
        let others = self.contents.get(self.blobs[blob].content).into_iter().flatten();
        let others = others
            .copied()
            .filter(|other| *other != blob && self.blobs[*other].phase != BlobPhase::Running);
        let images = std::iter::once(blob)
            .chain(others)
            .flat_map(|blob| self.waiting_images(blob).map(move |image| (image, blob)));
        images.filter(|(image, _)| self.images[*image].route.source == source).collect()
    }

    /// To be called after a blob could not be moved and its images have failed or are completed without it. Queues it again for
    /// images with another source; otherwise the next blob of its mount group is sent. Returns whether it is queued again.
    pub(in crate::transfer) fn move_failed(&mut self, blob: BlobId) -> bool {
        self.blobs[blob].reads_alone = true;
        if self.waiting_images(blob).next().is_some() {
            self.enqueue(blob);
            return true;
        }
        self.drop_blob(blob);
        false
    }

    /// Queues the blob again, to be moved alone.
    pub(in crate::transfer) fn move_alone(&mut self, blob: BlobId) {
        self.blobs[blob].reads_alone = true;
        if self.is_needed(blob) { self.enqueue(blob) } else { self.drop_blob(blob) }
    }

    fn drop_blob(&mut self, blob: BlobId) {
        if self.blobs[blob].phase == BlobPhase::Queued {
            self.queue.remove(self.blobs[blob].rank);
        }
        let was_leader = self.blobs[blob].phase != BlobPhase::Following;
        self.blobs[blob].phase = BlobPhase::Dropped;
        let group = self.blobs[blob].group.take().filter(|_| was_leader);
        while let Some(next) =
            group.and_then(|number| self.groups.get_mut(number)?.followers.pop_front())
        {
            if self.blobs[next].phase != BlobPhase::Following {
                continue;
            }
            if self.waiting_images(next).next().is_some() {
                self.enqueue(next);
                return;
            }
            self.blobs[next].phase = BlobPhase::Dropped;
        }
    }

    /// The image has failed. Drops blobs that only it needed; the caller must stop those that are being moved.
    pub(in crate::transfer) fn fail(&mut self, image: ImageId) {
        let ScheduledImage { route, phase } = &mut self.images[image];
        if matches!(phase, ImagePhase::Committed | ImagePhase::Failed) {
            return;
        }
        let target = route.target;
        let pending = match std::mem::replace(phase, ImagePhase::Failed) {
            ImagePhase::Waiting(pending) => pending,
            _ => HashSet::new(),
        };
        self.targets[target].open_images -= 1;
        self.changed.push_back(target);
        let mut pending: Vec<BlobId> = pending.into_iter().collect();
        pending.sort_unstable();
        for blob in pending {
            self.drop_unneeded(blob);
        }
    }

    /// A commit ended, with whatever result.
    pub(in crate::transfer) fn commit_ended(&mut self, image: ImageId) {
        let target = self.images[image].route.target;
        self.targets[target].running_commits -= 1;
        self.changed.push_back(target);
    }

    /// The image is committed.
    pub(in crate::transfer) fn committed(&mut self, image: ImageId) {
        let ScheduledImage { route, phase } = &mut self.images[image];
        if matches!(phase, ImagePhase::Committing) {
            *phase = ImagePhase::Committed;
            self.targets[route.target].open_images -= 1;
        }
    }

    /// The target lacks blobs of this image that it was believed to have. They are moved again, and all images that need
    /// them wait; then the image is committed once more.
    pub(in crate::transfer) fn recommit(
        &mut self,
        image: ImageId,
        blobs: &[BlobId],
        missing: &[BlobId],
    ) {
        if !matches!(self.images[image].phase, ImagePhase::Committing) {
            return;
        }
        for &blob in blobs {
            let is_gone = match self.blobs[blob].phase {
                BlobPhase::Present => missing.contains(&blob),
                BlobPhase::Dropped => true,
                _ => false,
            };
            if !is_gone {
                continue;
            }
            self.blobs[blob].reads_alone = true;
            self.enqueue(blob);
            for other in self.blobs[blob].images.clone() {
                match &mut self.images[other].phase {
                    ImagePhase::Waiting(pending) => _ = pending.insert(blob),
                    phase @ ImagePhase::Ready => {
                        *phase = ImagePhase::Waiting(HashSet::from([blob]));
                    }
                    ImagePhase::Committing | ImagePhase::Committed | ImagePhase::Failed => {}
                }
            }
        }
        let is_moving = |blob: &&BlobId| {
            let phase = self.blobs[**blob].phase;
            matches!(phase, BlobPhase::Queued | BlobPhase::Running | BlobPhase::Following)
        };
        let pending: HashSet<BlobId> = blobs.iter().filter(is_moving).copied().collect();
        let target = self.images[image].route.target;
        self.changed.push_back(target);
        self.images[image].phase = if pending.is_empty() {
            self.targets[target].ready.push_back(image);
            ImagePhase::Ready
        } else {
            ImagePhase::Waiting(pending)
        };
    }
}
