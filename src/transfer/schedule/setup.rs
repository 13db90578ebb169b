//! A schedule from a plan.

#![expect(clippy::indexing_slicing, reason = "tables are indexed by ids of their own rows")]

use std::collections::{HashMap, HashSet, VecDeque};

use super::queue::{BlobOrder, BlobRole, Queue, Rank};
use super::{
    BlobPhase, ImageEntry, ImagePhase, MountGroup, Schedule, ScheduledBlob, ScheduledImage,
    ScheduledTarget, Slots, TargetRules,
};
use crate::digest::Digest;
use crate::transfer::plan::build::{Plan, PlannedBlob};
use crate::transfer::plan::show::BlobState as Planned;
use crate::transfer::table::{BlobId, Id as _, ImageId, Table, TargetId};

impl Schedule {
    pub(in crate::transfer) fn new(
        plan: &Plan,
        images: &Table<ImageId, ImageEntry>,
        rules: &Table<TargetId, TargetRules>,
        slots: Slots,
        order: BlobOrder,
    ) -> Self {
        let targets = rules
            .rows()
            .map(|rules| ScheduledTarget { rules: rules.clone(), ..ScheduledTarget::default() });
        let targets: Table<TargetId, ScheduledTarget> = targets.collect();
        let mut schedule = Self {
            slots: Slots { jobs: slots.jobs.max(1), ..slots },
            running_jobs: 0,
            images: Table::default(),
            blobs: Table::default(),
            sequential: targets
                .iter()
                .filter(|(_, target)| target.rules.sequential)
                .map(|(id, _)| id)
                .collect(),
            changed: targets.ids().collect(),
            targets,
            contents: Vec::new(),
            groups: Vec::new(),
            queue: Queue::new(order),
        };
        schedule.add_blobs(plan);
        schedule.add_images(plan, images);
        schedule.form_groups(plan);
        let queued: Vec<BlobId> = schedule.blobs.ids().collect();
        for blob in queued {
            match schedule.blobs[blob].phase {
                BlobPhase::Present | BlobPhase::Following => {}
                _ if !schedule.is_needed(blob) => schedule.blobs[blob].phase = BlobPhase::Dropped,
                _ => schedule.enqueue(blob),
            }
        }
        schedule
    }

    fn add_blobs(&mut self, plan: &Plan) {
        let mut contents: HashMap<(&Digest, u64), usize> = HashMap::new();
        for (id, planned) in plan.blobs.iter() {
            let key = (&planned.descriptor.digest, planned.descriptor.size);
            let content = *contents.entry(key).or_insert_with(|| {
                self.contents.push(Vec::new());
                self.contents.len() - 1
            });
            if let Some(blobs) = self.contents.get_mut(content) {
                blobs.push(id);
            }
            let phase =
                if planned.remaining().is_some() { BlobPhase::Queued } else { BlobPhase::Present };
            self.blobs.push(ScheduledBlob {
                target: planned.target,
                phase,
                images: planned.images.clone(),
                rank: rank(id, planned),
                content,
                group: None,
                reads_alone: planned.partial_bytes() > 0,
            });
        }
    }

    fn add_images(&mut self, plan: &Plan, images: &Table<ImageId, ImageEntry>) {
        for (id, ImageEntry { route, has_failed }) in images.iter() {
            let pending = plan.images[id]
                .iter()
                .filter(|blob| self.blobs[**blob].phase != BlobPhase::Present);
            let pending: HashSet<BlobId> = pending.copied().collect();
            let target = &mut self.targets[route.target];
            let phase = if *has_failed {
                ImagePhase::Failed
            } else if pending.is_empty() {
                target.ready.push_back(id);
                ImagePhase::Ready
            } else {
                ImagePhase::Waiting(pending)
            };
            target.open_images += usize::from(!has_failed);
            self.images.push(ScheduledImage { route: route.clone(), phase });
        }
    }

    /// If several repositories of one registry lack a blob, it is sent to the first one, and the others mount it from there.
    fn form_groups(&mut self, plan: &Plan) {
        if self.targets.len() < 2 {
            return;
        }
        let mut groups: HashMap<(&str, usize), Vec<BlobId>> = HashMap::new();
        for (id, blob) in self.blobs.iter() {
            let is_missing = matches!(plan.blobs[id].state, Planned::Missing | Planned::Partial(_));
            let scope = &self.targets[blob.target].rules.mount_scope;
            if let Some(scope) = scope.as_deref().filter(|_| is_missing && self.is_needed(id)) {
                groups.entry((scope, blob.content)).or_default().push(id);
            }
        }
        let groups: Vec<Vec<BlobId>> =
            groups.into_values().filter(|blobs| blobs.len() > 1).collect();
        for blobs in groups {
            let number = self.groups.len();
            for blob in &blobs {
                self.blobs[*blob].group = Some(number);
            }
            let followers: VecDeque<BlobId> = blobs.into_iter().skip(1).collect();
            for follower in &followers {
                self.blobs[*follower].phase = BlobPhase::Following;
            }
            self.groups.push(MountGroup { followers });
        }
    }
}

fn rank(id: BlobId, planned: &PlannedBlob) -> Rank {
    let size = planned.remaining().unwrap_or_default();
    let first = planned.images.first().copied();
    let first = first.unwrap_or_else(|| ImageId::new(0));
    let is_config = planned.descriptor.media_type.is_image_config();
    let role = if is_config { BlobRole::Config } else { BlobRole::Other };
    Rank::new(first, role, size, id)
}
