//! Makes the plan of a run from the graphs of its images and from what its targets have.

#![expect(clippy::indexing_slicing, reason = "tables are indexed by ids of their own rows")]

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt as _, stream};

use crate::content::{BlobPresence, Effort, TargetPlan};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, Result, Side};
use crate::transfer::options::TransferOptions;
use crate::transfer::plan::show::BlobState;
use crate::transfer::report::BlobResult;
use crate::transfer::resolve::finder::CONCURRENCY;
use crate::transfer::resolve::graph::ImageGraph;
use crate::transfer::side::OnSide as _;
use crate::transfer::table::{BlobId, Id as _, ImageId, SourceId, Table, TargetId};
use crate::transfer::target_state::TargetState;

/// One image for one target.
#[derive(Clone, Debug)]
pub(in crate::transfer) struct ImageRoute {
    pub(in crate::transfer) source: SourceId,
    pub(in crate::transfer) target: TargetId,
}

/// One blob for one target.
#[derive(Clone, Debug)]
pub(in crate::transfer) struct PlannedBlob {
    /// Its content.
    pub(in crate::transfer) descriptor: Descriptor,
    /// Its target.
    pub(in crate::transfer) target: TargetId,
    /// What the target has of it.
    pub(in crate::transfer) state: BlobState,
    /// Images that need it, the first one first.
    pub(in crate::transfer) images: Vec<ImageId>,
}

/// One plan for all images of a run: each blob once for each target.
#[derive(Clone, Debug, Default)]
pub(in crate::transfer) struct Plan {
    /// In the order in which images list them.
    pub(in crate::transfer) blobs: Table<BlobId, PlannedBlob>,
    /// The blobs of each image, as it lists them.
    pub(in crate::transfer) images: Table<ImageId, Vec<BlobId>>,
}

impl Plan {
    /// Checks what the targets have; moves and locks nothing. Images without a graph need nothing. If a target cannot be asked,
    /// the plan has its error, and its blobs count as missing.
    pub(in crate::transfer) async fn new(
        images: &[(&ImageRoute, Option<&ImageGraph>)],
        targets: &Table<TargetId, &TargetState>,
        options: &TransferOptions,
    ) -> (Self, HashMap<TargetId, Error>) {
        let mut plan = Self::list_blobs(images);
        let mut failed = HashMap::new();
        for blob in plan.blobs.iter_mut().map(|(_, blob)| blob) {
            match state(blob, targets[blob.target], options).await {
                Ok(state) => blob.state = state,
                Err(error) => _ = failed.entry(blob.target).or_insert(error),
            }
        }
        plan.mount_between_targets(targets);
        (plan, failed)
    }

    /// The blobs of all images, before any target has been asked.
    fn list_blobs(images: &[(&ImageRoute, Option<&ImageGraph>)]) -> Self {
        let mut plan = Self::default();
        // The size is part of the key: if two images state different sizes, one is wrong, and the other must not fail with it.
        let mut known: HashMap<(TargetId, &Digest, u64), BlobId> = HashMap::new();
        for (number, (route, graph)) in images.iter().enumerate() {
            let image = ImageId::new(number);
            let blobs = graph.iter().flat_map(|graph| &graph.blobs).map(|descriptor| {
                let key = (route.target, &descriptor.digest, descriptor.size);
                let new = || PlannedBlob {
                    descriptor: descriptor.clone(),
                    target: route.target,
                    state: BlobState::Missing,
                    images: Vec::new(),
                };
                let id = *known.entry(key).or_insert_with(|| plan.blobs.push(new()));
                plan.blobs[id].images.push(image);
                id
            });
            let blobs = blobs.collect();
            plan.images.push(blobs);
        }
        plan
    }

    /// Marks blobs that other repositories of the same registry can mount from a target of the run.
    fn mount_between_targets(&mut self, targets: &Table<TargetId, &TargetState>) {
        if targets.len() < 2 {
            return;
        }
        let mut present = HashMap::new();
        for blob in self.blobs.rows().filter(|blob| blob.state == BlobState::Shared) {
            if let Some((scope, repository)) = targets[blob.target].mount_point() {
                present.insert((scope, blob.descriptor.digest.clone()), repository);
            }
        }
        for (_, blob) in self.blobs.iter_mut().filter(|(_, blob)| blob.state == BlobState::Missing)
        {
            let target = targets[blob.target];
            let Some((scope, _)) = target.mount_point() else { continue };
            if let Some(repository) = present.get(&(scope, blob.descriptor.digest.clone())) {
                target.known().add_mount_source([&blob.descriptor].into_iter(), repository);
                blob.state = BlobState::Mountable;
            }
        }
    }

    /// Marks blobs that the run uploads to one repository of a registry and mounts in the others, for a plan that is shown.
    pub(in crate::transfer) fn mount_from_uploads(
        &mut self,
        targets: &Table<TargetId, &TargetState>,
    ) {
        let mut uploaded = HashSet::new();
        for (_, blob) in self.blobs.iter_mut().filter(|(_, blob)| blob.state == BlobState::Missing)
        {
            let Some((scope, _)) = targets[blob.target].mount_point() else { continue };
            if !uploaded.insert((scope, blob.descriptor.digest.clone())) {
                blob.state = BlobState::Mountable;
            }
        }
    }

    /// Asks the targets about each blob that counts as missing, for a plan that is shown. Costs one request per blob. Returns the
    /// errors of targets that cannot be asked.
    pub(in crate::transfer) async fn probe_blobs(
        &mut self,
        targets: &Table<TargetId, &TargetState>,
    ) -> HashMap<TargetId, Error> {
        let missing = self.blobs.iter().filter(|(_, blob)| blob.state == BlobState::Missing);
        let asking = missing.map(|(id, blob)| async move {
            let target = &targets[blob.target].inner;
            (id, target.blob(&blob.descriptor, Effort::Request).await.on(Side::Target))
        });
        let asking = stream::iter(asking.collect::<Vec<_>>()).buffer_unordered(CONCURRENCY);
        let mut failed = HashMap::new();
        for (id, answer) in asking.collect::<Vec<_>>().await {
            match answer {
                Ok(BlobPresence::Complete) => self.blobs[id].state = BlobState::Shared,
                Ok(_) => {}
                Err(error) => _ = failed.entry(self.blobs[id].target).or_insert(error),
            }
        }
        failed
    }

    /// Removes the blob from the image, which is completed without it.
    pub(in crate::transfer) fn leave_out(&mut self, image: ImageId, blob: BlobId) {
        self.images[image].retain(|own| *own != blob);
        self.blobs[blob].images.retain(|other| *other != image);
    }

    /// The content that will be written to this target for the images with these graphs: all documents, and the blobs to open.
    pub(in crate::transfer) fn for_target<'a>(
        &'a self,
        target: TargetId,
        graphs: &HashMap<ImageId, &'a ImageGraph>,
    ) -> TargetPlan<'a> {
        let mut plan = TargetPlan::default();
        let mut seen = HashSet::new();
        for graph in self.images.ids().filter_map(|image| graphs.get(&image)) {
            let documents = graph.all_documents().chain(&graph.provenance.parent_index);
            plan.documents.extend(documents.filter(|document| seen.insert(document.digest())));
            let image = graph.root_document().filter(|_| !graph.complete);
            plan.names.extend(image.map(|root| (root.digest(), &graph.name)));
            for artifact in graph.attached.iter().filter(|artifact| !artifact.complete) {
                let root = artifact.documents.last();
                plan.names.extend(root.map(|root| (root.digest(), &artifact.name)));
            }
        }
        let is_own = |blob: &&PlannedBlob| {
            blob.target == target && blob.images.iter().any(|image| graphs.contains_key(image))
        };
        let own = self.blobs.rows().filter(is_own);
        for blob in own.filter(|blob| blob.remaining().is_some()) {
            let presence = match blob.state {
                BlobState::Partial(bytes) => BlobPresence::Partial(bytes),
                _ => BlobPresence::Absent,
            };
            plan.blobs.push((&blob.descriptor, presence));
        }
        plan
    }
}

/// Returns what the target has of the blob, as far as that costs no request.
async fn state(
    blob: &PlannedBlob,
    target: &TargetState,
    options: &TransferOptions,
) -> Result<BlobState> {
    let descriptor = &blob.descriptor;
    Ok(match target.blob(descriptor).await.on(Side::Target)? {
        BlobPresence::Complete => BlobState::Shared,
        _ if descriptor.is_foreign() && !options.foreign_layers => BlobState::Skipped,
        BlobPresence::Partial(bytes) if bytes <= descriptor.size => BlobState::Partial(bytes),
        _ if target.known().is_mountable(&descriptor.digest) => BlobState::Mountable,
        _ => BlobState::Missing,
    })
}

impl PlannedBlob {
    /// Its result if it is not moved.
    pub(in crate::transfer) fn result_without_transfer(&self) -> BlobResult {
        match self.state {
            BlobState::Shared => BlobResult::Shared,
            BlobState::Skipped => BlobResult::Skipped,
            BlobState::Partial(_)
            | BlobState::Mountable
            | BlobState::Rebuildable(_)
            | BlobState::Missing => BlobResult::Missing,
        }
    }

    /// Bytes that the target has of it.
    pub(in crate::transfer) fn partial_bytes(&self) -> u64 {
        match self.state {
            BlobState::Shared => self.descriptor.size,
            BlobState::Partial(bytes) => bytes,
            BlobState::Mountable
            | BlobState::Rebuildable(_)
            | BlobState::Missing
            | BlobState::Skipped => 0,
        }
    }

    /// Number of bytes to move; `None` if the blob is not moved.
    pub(in crate::transfer) fn remaining(&self) -> Option<u64> {
        match self.state {
            BlobState::Shared | BlobState::Skipped => None,
            BlobState::Partial(bytes) => Some(self.descriptor.size.saturating_sub(bytes)),
            BlobState::Mountable | BlobState::Rebuildable(_) | BlobState::Missing => {
                Some(self.descriptor.size)
            }
        }
    }
}
