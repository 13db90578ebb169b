//! The efficiency score of dive, by its published definition.
//!
//! A path is discovered in every layer that has a file or a whiteout for it. The score is the sum of the smallest sizes
//! over all paths, divided by the sum of all discovered sizes. A whiteout has the size of everything in the directory that
//! it deletes, and size 0 if it deletes anything else; a hard link has size 0. Wasted bytes are the discovered sizes of the
//! paths that were discovered more than once.
//!
//! Unlike in dive, a directory has no size and is never discovered as such, and what an opaque marker hides counts as
//! deleted by whiteouts.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, RandomState};

use crate::insight::files::{Change, ChangeKind};
use crate::layer::EntryKind;

/// Sizes of one path.
#[derive(Clone, Copy, Debug)]
struct Discovered {
    sum: u64,
    smallest: u64,
    times: u32,
}

/// Computes the score. A path takes memory only from its second layer on.
#[derive(Debug, Default)]
pub(super) struct EfficiencyScore {
    discovered: u64,
    smallest: u64,
    /// Paths that were discovered more than once, or must be remembered until then, by the hash of the path.
    repeated: HashMap<u64, Discovered>,
    hasher: RandomState,
}

impl EfficiencyScore {
    /// Adds a change of the next layer.
    pub(super) fn change(&mut self, change: &Change<'_>) {
        let before = change.before.filter(|before| before.kind == EntryKind::File);
        let key = self.hasher.hash_one(change.path);
        if change.implied {
            if let (Some(before), Entry::Vacant(unknown)) = (before, self.repeated.entry(key)) {
                // The tree forgets the path, and it may come again.
                unknown.insert(Discovered { sum: before.size, smallest: before.size, times: 1 });
            }
            return;
        }
        let size = match (change.kind, change.after) {
            (ChangeKind::Deleted, _) => change.hidden_below.bytes,
            (_, Some(after)) if after.kind == EntryKind::Directory => return,
            (_, Some(after)) if change.hardlink.is_none() => after.size,
            _ => 0,
        };
        self.discovered = self.discovered.saturating_add(size);
        let known = match self.repeated.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => match change.before {
                Some(before) if before.kind != EntryKind::Directory => {
                    unknown.insert(Discovered { sum: before.size, smallest: before.size, times: 1 })
                }
                _ => {
                    self.smallest = self.smallest.saturating_add(size);
                    // The tree does not have these sizes when the path comes again.
                    if change.hardlink.is_some() || change.kind == ChangeKind::Deleted {
                        unknown.insert(Discovered { sum: size, smallest: size, times: 1 });
                    }
                    return;
                }
            },
        };
        known.sum = known.sum.saturating_add(size);
        known.times += 1;
        if size < known.smallest {
            self.smallest = self.smallest.saturating_sub(known.smallest - size);
            known.smallest = size;
        }
    }

    /// Returns the score, from 0 to 1. It is 1 if there is nothing.
    #[expect(clippy::cast_precision_loss, reason = "the score is rounded when it is shown")]
    pub(super) fn score(&self) -> f64 {
        if self.discovered == 0 { 1.0 } else { self.smallest as f64 / self.discovered as f64 }
    }

    /// Returns dive's wasted bytes.
    pub(super) fn wasted(&self) -> u64 {
        let several = self.repeated.values().filter(|path| path.times > 1);
        several.fold(0, |sum, path| sum.saturating_add(path.sum))
    }
}
