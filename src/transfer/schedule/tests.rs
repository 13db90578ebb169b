//! Random runs of the schedule: actions end in any order and with any result.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;

use super::*;
use crate::descriptor::Descriptor;
use crate::media::MediaType;
use crate::transfer::plan::build::{Plan, PlannedBlob};
use crate::transfer::plan::show::BlobState as Planned;
use crate::transfer::table::Id as _;

/// A run, and what a driver would know of it.
struct Model {
    rng: Rng,
    plan: Plan,
    routes: Vec<ImageRoute>,
    rules: Vec<TargetRules>,
    schedule: Schedule,
    failures: Failures,
    running: Vec<Action>,
    present: BTreeSet<BlobId>,
    /// Blobs that a target claims to have and lacks.
    falsely_present: BTreeSet<BlobId>,
    outcomes: BTreeMap<ImageId, bool>,
    finished: BTreeSet<TargetId>,
    has_recommitted: BTreeSet<ImageId>,
    /// Reads of each content in each registry.
    reads: BTreeMap<(String, usize), usize>,
}

/// Whether anything fails in a run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Failures {
    None,
    Random,
}

pub(super) const JOBS: usize = 3;

pub(super) fn slots(jobs: usize) -> Slots {
    Slots { jobs, small_jobs: jobs }
}

impl Model {
    fn new(seed: u64, failures: Failures) -> Self {
        let mut rng = Rng::with_seed(seed);
        let rules: Vec<TargetRules> =
            (0..rng.usize(1..5)).map(|_| random_rules(&mut rng)).collect();
        let (plan, routes) = random_plan(&mut rng, rules.len());
        let mut entry = |route: &ImageRoute| ImageEntry {
            route: route.clone(),
            has_failed: failures == Failures::Random && rng.u8(0..9) == 0,
        };
        let images: Table<_, _> = routes.iter().map(&mut entry).collect();
        let failed = images.iter().filter(|(_, image)| image.has_failed);
        let outcomes = failed.map(|(id, _)| (id, false)).collect();
        let order = rng.choice([BlobOrder::ImageByImage, BlobOrder::AsListed]).unwrap();
        let rules_table = rules.iter().cloned().collect();
        let schedule = Schedule::new(&plan, &images, &rules_table, slots(JOBS), order);
        let shared = plan.blobs.iter().filter(|(_, blob)| blob.state == Planned::Shared);
        let present: BTreeSet<BlobId> = shared.map(|(id, _)| id).collect();
        let falsely_present = match failures {
            Failures::None => BTreeSet::new(),
            Failures::Random => present.iter().filter(|_| rng.u8(0..5) == 0).copied().collect(),
        };
        Self {
            rng,
            plan,
            routes,
            rules,
            schedule,
            failures,
            running: Vec::new(),
            present,
            falsely_present,
            outcomes,
            finished: BTreeSet::new(),
            has_recommitted: BTreeSet::new(),
            reads: BTreeMap::new(),
        }
    }

    /// Runs to the end; panics where a rule is broken.
    fn run(mut self) -> BTreeMap<ImageId, bool> {
        loop {
            while let Some(action) = self.schedule.next() {
                self.check_start(&action);
                self.running.push(action);
            }
            if self.running.is_empty() {
                break;
            }
            let ended = self.running.swap_remove(self.rng.usize(0..self.running.len()));
            match ended {
                Action::Move(blobs) => self.end_move(&blobs),
                Action::Commit(image) => self.end_commit(image),
                Action::Finish(target) => assert!(self.finished.insert(target), "finished twice"),
            }
        }
        for image in 0..self.routes.len() {
            assert!(self.outcomes.contains_key(&ImageId::new(image)), "image {image} has no end");
        }
        assert_eq!(self.finished.len(), self.rules.len(), "every target is finished");
        if self.failures == Failures::None {
            assert!(self.outcomes.values().all(|committed| *committed));
            for ((registry, content), reads) in &self.reads {
                assert_eq!(*reads, 1, "{registry} gets {content} once");
            }
        }
        self.outcomes
    }

    fn blobs_running(&self, target: TargetId) -> usize {
        let moving = self.running.iter().filter_map(|action| match action {
            Action::Move(blobs) => Some(blobs),
            _ => None,
        });
        moving.flatten().filter(|blob| self.plan.blobs[**blob].target == target).count()
    }

    fn check_start(&mut self, action: &Action) {
        match action {
            Action::Move(blobs) => {
                let moves =
                    self.running.iter().filter(|action| matches!(action, Action::Move(_))).count();
                assert!(moves < JOBS, "never more than the jobs");
                let sources: BTreeSet<_> =
                    blobs.iter().map(|blob| self.schedule.source(*blob)).collect();
                assert_eq!(sources.len(), 1, "one source");
                for blob in blobs {
                    let target = self.plan.blobs[*blob].target;
                    let is_sequential = self.rules[target.index()].sequential;
                    assert!(!is_sequential || self.blobs_running(target) == 0, "one at a time");
                    assert!(!is_sequential || blobs.len() == 1);
                    assert!(self.schedule.is_needed(*blob), "some image needs it");
                }
                self.count_reads(blobs);
            }
            Action::Commit(image) => {
                let missing: Vec<_> = self.plan.images[*image]
                    .iter()
                    .filter(|blob| !self.present.contains(blob))
                    .collect();
                assert!(missing.is_empty(), "{image:?} is committed without {missing:?}");
                assert!(!self.outcomes.contains_key(image), "no commit of a failed image");
                let target = self.routes[image.index()].target;
                let is_sequential = self.rules[target.index()].sequential;
                assert!(!is_sequential || self.blobs_running(target) == 0, "a pipe has no room");
            }
            Action::Finish(target) => {
                let open = (0..self.routes.len()).filter(|image| {
                    self.routes[*image].target == *target
                        && !self.outcomes.contains_key(&ImageId::new(*image))
                });
                assert_eq!(open.count(), 0, "no image of the target is open");
                assert_eq!(self.blobs_running(*target), 0, "nothing runs there");
            }
        }
    }

    /// A mount reads nothing; it is one if the registry has the blob in another repository of the run.
    fn count_reads(&mut self, blobs: &[BlobId]) {
        let mut registries = BTreeSet::new();
        for blob in blobs {
            let planned = &self.plan.blobs[*blob];
            let scope = self.rules[planned.target.index()].mount_scope.clone();
            let Some(scope) = scope else { continue };
            let content = self.schedule.blobs[*blob].content;
            let is_mount = self.present.iter().any(|other| {
                self.schedule.blobs[*other].content == content
                    && self.rules[self.plan.blobs[*other].target.index()].mount_scope.as_ref()
                        == Some(&scope)
            });
            if !is_mount {
                registries.insert((scope, content));
            }
        }
        for key in registries {
            *self.reads.entry(key).or_default() += 1;
        }
    }

    fn end_move(&mut self, blobs: &[BlobId]) {
        let source = self.schedule.source(blobs[0]);
        self.schedule.job_ended(blobs);
        for &blob in blobs {
            match if self.failures == Failures::None { 9 } else { self.rng.u8(0..10) } {
                0 => self.fail_blob(blob, source),
                1 => self.fail_blob(blob, None),
                2 if blobs.len() > 1 => self.schedule.move_alone(blob),
                _ => {
                    self.present.insert(blob);
                    self.falsely_present.remove(&blob);
                    self.schedule.moved(blob);
                }
            }
        }
    }

    fn fail_blob(&mut self, blob: BlobId, source: Option<SourceId>) {
        for (image, needed) in self.schedule.images_failed_by(blob, source) {
            if self.rng.u8(0..6) == 0 {
                // As an image that goes without an attached artifact.
                let blobs = &mut self.plan.images[image];
                blobs.retain(|blobs| *blobs != needed);
                self.schedule.leave_out(image, needed);
                continue;
            }
            if let Some(source) = source {
                assert_eq!(self.routes[image.index()].source, source, "only what comes from there");
            } else {
                let target = self.plan.blobs[blob].target;
                assert_eq!(self.routes[image.index()].target, target, "only what goes there");
            }
            assert!(self.plan.images[image].contains(&needed), "only what needs the blob");
            self.outcomes.insert(image, false);
            self.schedule.fail(image);
        }
        self.schedule.move_failed(blob);
        // What no image needs any more is stopped.
        let unwanted: Vec<usize> = (0..self.running.len())
            .filter(|number| match &self.running[*number] {
                Action::Move(blobs) => !blobs.iter().any(|blob| self.schedule.is_needed(*blob)),
                _ => false,
            })
            .collect();
        for number in unwanted.into_iter().rev() {
            let Action::Move(blobs) = self.running.remove(number) else { continue };
            self.schedule.job_ended(&blobs);
            for blob in blobs {
                self.schedule.move_failed(blob);
            }
        }
    }

    fn end_commit(&mut self, image: ImageId) {
        self.schedule.commit_ended(image);
        let blobs = self.plan.images[image].clone();
        let is_missing = blobs.iter().any(|blob| self.falsely_present.contains(blob));
        if is_missing && self.has_recommitted.insert(image) {
            let missing: Vec<BlobId> =
                blobs.iter().filter(|blob| self.falsely_present.contains(blob)).copied().collect();
            for blob in &missing {
                self.present.remove(blob);
            }
            self.schedule.recommit(image, &blobs, &missing);
        } else if is_missing || (self.failures == Failures::Random && self.rng.u8(0..9) == 0) {
            self.outcomes.insert(image, false);
            self.schedule.fail(image);
        } else {
            self.outcomes.insert(image, true);
            self.schedule.committed(image);
        }
    }
}

fn random_rules(rng: &mut Rng) -> TargetRules {
    let sequential = rng.u8(0..6) == 0;
    let scope = [None, Some("one"), Some("other")][rng.usize(0..3)];
    TargetRules {
        sequential,
        max_commits: rng.usize(1..4),
        // A pipe is no registry.
        mount_scope: scope.filter(|_| !sequential).map(str::to_owned),
    }
}

/// Up to 13 images that share blobs, for this many targets.
fn random_plan(rng: &mut Rng, targets: usize) -> (Plan, Vec<ImageRoute>) {
    let (mut plan, mut routes) = (Plan::default(), Vec::new());
    let mut known: BTreeMap<(usize, u64), BlobId> = BTreeMap::new();
    for image in 0..rng.usize(1..14) {
        let target = rng.usize(0..targets);
        let source = SourceId::new(rng.usize(0..3));
        routes.push(ImageRoute { source, target: TargetId::new(target) });
        let mut blobs = Vec::new();
        for _ in 0..rng.usize(0..6) {
            let content = rng.u64(0..9);
            let states = [Planned::Missing, Planned::Missing, Planned::Shared, Planned::Partial(1)];
            let state = states[rng.usize(0..states.len())];
            let id = *known.entry((target, content)).or_insert_with(|| {
                plan.blobs.push(PlannedBlob {
                    descriptor: descriptor(content),
                    target: TargetId::new(target),
                    state,
                    images: Vec::new(),
                })
            });
            if !blobs.contains(&id) {
                blobs.push(id);
                plan.blobs[id].images.push(ImageId::new(image));
            }
        }
        plan.images.push(blobs);
    }
    (plan, routes)
}

pub(super) fn descriptor(content: u64) -> Descriptor {
    let media_type = match content % 4 {
        0 => MediaType::OCI_CONFIG,
        _ => MediaType::from("x/y"),
    };
    Descriptor {
        size: 1 + content * 50,
        ..Descriptor::for_bytes(media_type, &content.to_le_bytes())
    }
}

/// 1,000 by default: `RPULL_SEEDS` gives another number.
fn seeds() -> u64 {
    std::env::var("RPULL_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000)
}

#[test]
fn schedule_with_random_failures_ends_every_image_once() {
    for seed in 0..seeds() {
        Model::new(seed, Failures::Random).run();
    }
}

#[test]
fn schedule_without_failures_commits_all_and_reads_each_blob_once_per_registry() {
    for seed in 0..seeds() {
        Model::new(seed, Failures::None).run();
    }
}
