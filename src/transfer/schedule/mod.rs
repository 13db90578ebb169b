//! Decides what a run does next, and does nothing itself: callers report what ended, and ask what can start.
//!
//! ```text
//! blob     Queued -> Running -> Present                    a slot of `jobs`, or of `small_jobs`; alone at a sequential target
//!          Following -> Queued                             once another repository of its registry has the blob to mount
//!          -> Dropped                                      when no image needs it
//! image    Waiting for its blobs -> Ready -> Committing -> Committed
//!          -> Failed, from any of them                     only with an error of its own
//! target   open -> finishing                               when all its images are committed or failed
//! ```
//!
//! Commits hold no slot: a slow manifest delays no blob, and manifests of different images overlap.

#![expect(clippy::indexing_slicing, reason = "tables are indexed by ids of their own rows")]

mod ends;
#[cfg(test)]
mod order_tests;
mod queue;
mod setup;
#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};

pub(super) use self::queue::BlobOrder;
use self::queue::{Queue, Rank};
use crate::transfer::plan::build::ImageRoute;
use crate::transfer::table::{BlobId, ImageId, SourceId, Table, TargetId};

/// Maximum number of targets that one read of a source is written to.
const MAX_SINKS: usize = 8;

/// Largest blob, in bytes, that takes little more than a round trip.
const MAX_SMALL_BLOB: u64 = 128 << 10;

/// How many blobs may move concurrently.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slots {
    pub(super) jobs: usize,
    /// As long as those beyond `jobs` are small.
    pub(super) small_jobs: usize,
}

/// How a target is written to.
#[derive(Clone, Debug, Default)]
pub(super) struct TargetRules {
    /// One blob at a time, in the order of the plan, and no manifest at the same time.
    pub(super) sequential: bool,
    /// Maximum number of manifests that are put concurrently.
    pub(super) max_commits: usize,
    /// The registry that blobs can be mounted within.
    pub(super) mount_scope: Option<String>,
}

/// One image of the run.
#[derive(Clone, Debug)]
pub(super) struct ImageEntry {
    pub(super) route: ImageRoute,
    /// It has failed before the run moves anything.
    pub(super) has_failed: bool,
}

/// What can start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Read this blob once, from the source of the first one, and write it to the target of each.
    Move(Vec<BlobId>),
    /// Put the documents of this image.
    Commit(ImageId),
    /// End the run of this target.
    Finish(TargetId),
}

#[derive(Debug)]
enum ImagePhase {
    Waiting(HashSet<BlobId>),
    Ready,
    Committing,
    Committed,
    Failed,
}

#[derive(Debug)]
struct ScheduledImage {
    route: ImageRoute,
    phase: ImagePhase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BlobPhase {
    Present,
    Queued,
    Following,
    Running,
    Dropped,
}

#[derive(Debug)]
struct ScheduledBlob {
    target: TargetId,
    phase: BlobPhase,
    images: Vec<ImageId>,
    rank: Rank,
    /// Blobs with the same content, for any target.
    content: usize,
    /// The same content in other repositories of the registry: one blob is sent, the others are mounted.
    group: Option<usize>,
    /// Not read together with others: it continues a partial, or was too slow in a common read.
    reads_alone: bool,
}

#[derive(Debug, Default)]
struct ScheduledTarget {
    rules: TargetRules,
    open_images: usize,
    running_blobs: usize,
    running_commits: usize,
    ready: VecDeque<ImageId>,
    /// Blobs of a sequential target; they are not in the common queue.
    sequential_queue: VecDeque<BlobId>,
    is_finishing: bool,
}

/// Blobs with the same content in repositories of one registry.
#[derive(Debug, Default)]
struct MountGroup {
    followers: VecDeque<BlobId>,
}

/// The state of a run, without I/O and without a clock. The default is a run without images.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    slots: Slots,
    running_jobs: usize,
    images: Table<ImageId, ScheduledImage>,
    blobs: Table<BlobId, ScheduledBlob>,
    targets: Table<TargetId, ScheduledTarget>,
    contents: Vec<Vec<BlobId>>,
    groups: Vec<MountGroup>,
    queue: Queue,
    sequential: Vec<TargetId>,
    /// Targets where something has changed.
    changed: VecDeque<TargetId>,
}

impl Schedule {
    /// Returns what can start now. Must be called after each end, until it returns `None`.
    pub(super) fn next(&mut self) -> Option<Action> {
        while let Some(&target) = self.changed.front() {
            if let Some(action) = self.next_of_target(target) {
                return Some(action);
            }
            self.changed.pop_front();
        }
        self.next_blobs().map(Action::Move)
    }

    fn next_of_target(&mut self, id: TargetId) -> Option<Action> {
        let target = &mut self.targets[id];
        let is_free = !target.rules.sequential || target.running_blobs == 0;
        while is_free && target.running_commits < target.rules.max_commits.max(1) {
            let Some(image) = target.ready.pop_front() else { break };
            if matches!(self.images[image].phase, ImagePhase::Ready) {
                self.images[image].phase = ImagePhase::Committing;
                target.running_commits += 1;
                return Some(Action::Commit(image));
            }
        }
        let is_idle = target.running_blobs == 0 && target.running_commits == 0;
        if target.open_images == 0 && is_idle && !std::mem::replace(&mut target.is_finishing, true)
        {
            return Some(Action::Finish(id));
        }
        None
    }

    fn next_blobs(&mut self) -> Option<Vec<BlobId>> {
        let has_slot = self.running_jobs < self.slots.jobs;
        let sequential = if has_slot { self.next_sequential() } else { None };
        let blobs = if let Some(blob) = sequential {
            vec![blob]
        } else {
            let first = self.queue.first(self.slots.jobs)?;
            let has_small_slot = self.running_jobs < self.slots.small_jobs;
            if !(has_slot || has_small_slot && first.size() <= MAX_SMALL_BLOB) {
                return None;
            }
            self.queue.remove(first);
            self.add_sinks(first.blob())
        };
        self.running_jobs += 1;
        for blob in &blobs {
            self.blobs[*blob].phase = BlobPhase::Running;
            self.targets[self.blobs[*blob].target].running_blobs += 1;
        }
        Some(blobs)
    }

    /// The next blob of a sequential target where nothing runs.
    fn next_sequential(&mut self) -> Option<BlobId> {
        for &id in &self.sequential {
            let target = &mut self.targets[id];
            if target.running_blobs > 0 || target.running_commits > 0 || !target.ready.is_empty() {
                continue;
            }
            while let Some(blob) = target.sequential_queue.pop_front() {
                if self.blobs[blob].phase == BlobPhase::Queued {
                    return Some(blob);
                }
            }
        }
        None
    }

    /// The blob, with the same content for other targets if that can be read from the same source.
    fn add_sinks(&mut self, first: BlobId) -> Vec<BlobId> {
        let mut sinks = vec![first];
        let (source, leader) = (self.source(first), &self.blobs[first]);
        if leader.reads_alone {
            return sinks;
        }
        for &other in self.contents.get(leader.content).into_iter().flatten() {
            let blob = &self.blobs[other];
            let fits = blob.phase == BlobPhase::Queued
                && !blob.reads_alone
                && !self.targets[blob.target].rules.sequential
                && other != first;
            if fits && sinks.len() < MAX_SINKS && self.source(other) == source {
                sinks.push(other);
            }
        }
        for sink in &sinks {
            self.queue.remove(self.blobs[*sink].rank);
        }
        sinks
    }

    fn enqueue(&mut self, id: BlobId) {
        let blob = &mut self.blobs[id];
        blob.phase = BlobPhase::Queued;
        let target = &mut self.targets[blob.target];
        if target.rules.sequential {
            target.sequential_queue.push_back(id);
        } else {
            self.queue.insert(blob.rank);
        }
    }

    /// Whether the image waits for this blob.
    fn is_waiting_for(&self, image: ImageId, blob: BlobId) -> bool {
        matches!(&self.images[image].phase, ImagePhase::Waiting(pending) if pending.contains(&blob))
    }

    fn waiting_images(&self, blob: BlobId) -> impl Iterator<Item = ImageId> {
        self.blobs[blob]
            .images
            .iter()
            .copied()
            .filter(move |image| self.is_waiting_for(*image, blob))
    }

    /// The image whose source the blob is read from: the first that waits for the blob, else for one that is mounted from it.
    pub(super) fn reader(&self, blob: BlobId) -> Option<ImageId> {
        let followers = self.followers(blob).flat_map(|follower| self.waiting_images(follower));
        self.waiting_images(blob).chain(followers).next()
    }

    fn source(&self, blob: BlobId) -> Option<SourceId> {
        self.reader(blob).map(|image| self.images[image].route.source)
    }

    /// Whether an image waits for the blob, or for one that is mounted from it.
    pub(super) fn is_needed(&self, blob: BlobId) -> bool {
        self.reader(blob).is_some()
    }

    /// Blobs that wait until this one is at its target.
    fn followers(&self, blob: BlobId) -> impl Iterator<Item = BlobId> {
        let is_leader = self.blobs[blob].phase != BlobPhase::Following;
        let group = self.blobs[blob].group.filter(|_| is_leader);
        let group = group.and_then(|number| self.groups.get(number));
        group
            .into_iter()
            .flat_map(|group| group.followers.iter().copied())
            .filter(move |other| *other != blob)
    }
}
