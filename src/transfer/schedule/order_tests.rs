//! The order of actions in single cases.

use super::tests::{JOBS, descriptor, slots};
use super::*;
use crate::descriptor::Descriptor;
use crate::transfer::plan::build::{Plan, PlannedBlob};
use crate::transfer::plan::show::BlobState as Planned;
use crate::transfer::table::Id as _;

/// Images of one blob each, which all have the same content.
fn same_blob(targets: &[&TargetRules]) -> Schedule {
    let mut plan = Plan::default();
    let mut images = Table::default();
    for (number, _) in targets.iter().enumerate() {
        let blob = plan.blobs.push(PlannedBlob {
            descriptor: descriptor(1),
            target: TargetId::new(number),
            state: Planned::Missing,
            images: vec![ImageId::new(number)],
        });
        plan.images.push(vec![blob]);
        let route = ImageRoute { source: SourceId::new(0), target: TargetId::new(number) };
        images.push(ImageEntry { route, has_failed: false });
    }
    let rules = targets.iter().map(|rules| (*rules).clone()).collect();
    Schedule::new(&plan, &images, &rules, slots(JOBS), BlobOrder::ImageByImage)
}

fn registry(name: &str) -> TargetRules {
    TargetRules { mount_scope: Some(name.to_owned()), max_commits: 1, ..TargetRules::default() }
}

fn blob(number: usize) -> BlobId {
    BlobId::new(number)
}

#[test]
fn schedule_same_blob_for_several_registries_is_read_once() {
    let mut schedule = same_blob(&[&registry("a"), &registry("b"), &TargetRules::default()]);
    assert_eq!(schedule.next(), Some(Action::Move(vec![blob(0), blob(1), blob(2)])));
    assert_eq!(schedule.next(), None);
}

#[test]
fn schedule_follower_is_mounted_after_leader() {
    let mut schedule = same_blob(&[&registry("a"), &registry("a")]);
    assert_eq!(schedule.next(), Some(Action::Move(vec![blob(0)])));
    assert_eq!(schedule.next(), None);
    schedule.job_ended(&[blob(0)]);
    assert_eq!(schedule.moved(blob(0)), [blob(1)]);
    assert_eq!(schedule.next(), Some(Action::Commit(ImageId::new(0))));
    assert_eq!(schedule.next(), Some(Action::Move(vec![blob(1)])));
}

#[test]
fn schedule_follower_becomes_leader_when_leader_fails() {
    let mut schedule = same_blob(&[&registry("a"), &registry("a"), &registry("a")]);
    assert_eq!(schedule.next(), Some(Action::Move(vec![blob(0)])));
    schedule.job_ended(&[blob(0)]);
    let affected = schedule.images_failed_by(blob(0), None);
    assert_eq!(affected, [(ImageId::new(0), blob(0))]);
    schedule.fail(ImageId::new(0));
    assert!(!schedule.move_failed(blob(0)));
    assert_eq!(schedule.next(), Some(Action::Finish(TargetId::new(0))));
    assert_eq!(schedule.next(), Some(Action::Move(vec![blob(1)])));
    schedule.job_ended(&[blob(1)]);
    assert_eq!(schedule.moved(blob(1)), [blob(2)]);
}

#[test]
fn schedule_slow_commit_delays_no_blob() {
    let mut plan = Plan::default();
    let mut images = Table::default();
    for number in 0..2 {
        let blob = plan.blobs.push(PlannedBlob {
            descriptor: descriptor(number),
            target: TargetId::new(0),
            state: Planned::Missing,
            images: vec![ImageId::new(plan.images.len())],
        });
        plan.images.push(vec![blob]);
        let route = ImageRoute { source: SourceId::new(0), target: TargetId::new(0) };
        images.push(ImageEntry { route, has_failed: false });
    }
    let rules = std::iter::once(TargetRules { max_commits: 2, ..TargetRules::default() }).collect();
    let mut schedule = Schedule::new(&plan, &images, &rules, slots(1), BlobOrder::AsListed);
    assert_eq!(schedule.next(), Some(Action::Move(vec![blob(0)])));
    schedule.job_ended(&[blob(0)]);
    schedule.moved(blob(0));
    assert_eq!(schedule.next(), Some(Action::Commit(ImageId::new(0))));
    assert_eq!(schedule.next(), Some(Action::Move(vec![blob(1)])));
    schedule.job_ended(&[blob(1)]);
    schedule.moved(blob(1));
    assert_eq!(schedule.next(), Some(Action::Commit(ImageId::new(1))), "both at the same time");
}

#[test]
fn schedule_small_blobs_move_beyond_the_jobs() {
    let mut plan = Plan::default();
    let sizes = [MAX_SMALL_BLOB + 2, MAX_SMALL_BLOB + 1, MAX_SMALL_BLOB, 2, 1];
    for (number, size) in (1..).zip(sizes) {
        plan.blobs.push(PlannedBlob {
            descriptor: Descriptor { size, ..descriptor(number) },
            target: TargetId::new(0),
            state: Planned::Missing,
            images: vec![ImageId::new(0)],
        });
    }
    plan.images.push(plan.blobs.ids().collect());
    let route = ImageRoute { source: SourceId::new(0), target: TargetId::new(0) };
    let images = std::iter::once(ImageEntry { route, has_failed: false }).collect();
    let rules = std::iter::once(TargetRules::default()).collect();
    let slots = Slots { jobs: 1, small_jobs: 3 };
    let mut schedule = Schedule::new(&plan, &images, &rules, slots, BlobOrder::AsListed);
    assert_eq!(schedule.next(), Some(Action::Move(vec![blob(0)])));
    assert_eq!(schedule.next(), None, "the next one is not small");
    schedule.job_ended(&[blob(0)]);
    schedule.moved(blob(0));
    let moves: Vec<_> = std::iter::from_fn(|| schedule.next()).collect();
    assert_eq!(moves, [1, 2, 3].map(|number| Action::Move(vec![blob(number)])));
}
