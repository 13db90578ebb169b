//! Decides which images to remove by their age and number.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::digest::Digest;

/// An image that may be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// Images of one group are counted together: those of a repository.
    pub group: String,
    /// What the name points to. Names of one digest are one image.
    pub digest: Digest,
    /// When the image was created, in seconds since the Unix epoch; `None` if it does not say.
    pub created: Option<i64>,
}

/// Which images to keep. Without any condition none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetentionRule {
    /// Images created at this time or later are kept, in seconds since the Unix epoch.
    pub created_before: Option<i64>,
    /// This many of the newest images of each group are kept.
    pub keep: Option<usize>,
}

/// Why an image is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Retained {
    /// It is one of the newest of its group.
    Newest,
    /// It is not old enough.
    NotOlder,
    /// Its age is not known.
    NoCreationDate,
}

impl RetentionRule {
    /// Returns for each candidate, in order, why it is kept; `None` if it may be removed.
    pub fn apply(&self, candidates: &[Candidate]) -> Vec<Option<Retained>> {
        let newest = self.keep.map(|count| newest(candidates, count));
        let retained = |candidate: &Candidate| {
            if *self == Self::default() {
                return None;
            }
            let Some(created) = candidate.created else { return Some(Retained::NoCreationDate) };
            let key = (candidate.group.as_str(), &candidate.digest);
            if newest.as_ref().is_some_and(|newest| newest.contains(&key)) {
                return Some(Retained::Newest);
            }
            let is_younger = self.created_before.is_some_and(|limit| created >= limit);
            is_younger.then_some(Retained::NotOlder)
        };
        candidates.iter().map(retained).collect()
    }
}

/// The newest images of each group. Of equally old ones the order of digests decides, so that a plan does not change.
fn newest(candidates: &[Candidate], count: usize) -> BTreeSet<(&str, &Digest)> {
    let mut groups: BTreeMap<&str, BTreeSet<(i64, &Digest)>> = BTreeMap::new();
    for candidate in candidates {
        if let Some(created) = candidate.created {
            groups.entry(&candidate.group).or_default().insert((created, &candidate.digest));
        }
    }
    let kept = groups.into_iter().flat_map(|(group, images)| {
        images.into_iter().rev().take(count).map(move |(_, digest)| (group, digest))
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(group: &str, image: &str, created: Option<i64>) -> Candidate {
        Candidate { group: group.into(), digest: Digest::sha256(image.as_bytes()), created }
    }

    fn decided(rule: RetentionRule, candidates: &[Candidate]) -> Vec<Option<Retained>> {
        rule.apply(candidates)
    }

    #[test]
    fn retention_keeps_newest_images_of_each_group() {
        let rule = RetentionRule { keep: Some(1), ..RetentionRule::default() };
        let images = [
            candidate("a", "old", Some(1)),
            candidate("a", "new", Some(2)),
            candidate("a", "new", Some(2)),
            candidate("b", "old", Some(1)),
            candidate("b", "undated", None),
        ];
        let newest = Some(Retained::Newest);
        let expected = [None, newest, newest, newest, Some(Retained::NoCreationDate)];
        assert_eq!(decided(rule, &images), expected);
        assert_eq!(decided(RetentionRule::default(), &images), [None; 5]);
    }

    #[test]
    fn retention_by_age_and_number_needs_both() {
        let rule = RetentionRule { created_before: Some(10), keep: Some(1) };
        let images = [1, 2, 3].map(|day| candidate("a", &day.to_string(), Some(day)));
        assert_eq!(decided(rule, &images), [None, None, Some(Retained::Newest)]);
        let late = [9, 10, 11].map(|day| candidate("a", &day.to_string(), Some(day)));
        assert_eq!(decided(rule, &late), [None, Some(Retained::NotOlder), Some(Retained::Newest)]);
    }

    proptest! {
        #[test]
        fn retention_never_leaves_fewer_than_asked(days in proptest::collection::vec((0_u8..3, 0_i64..20), 0..20), keep in 0_usize..5, limit in 0_i64..20) {
            let images: Vec<_> = days.iter().map(|(group, day)| {
                candidate(&group.to_string(), &format!("{group} {day}"), Some(*day))
            }).collect();
            let rule = RetentionRule { created_before: Some(limit), keep: Some(keep) };
            let decided = rule.apply(&images);
            for group in ["0", "1", "2"] {
                let of_group = || images.iter().zip(&decided).filter(|(image, _)| image.group == group);
                let all: BTreeSet<_> = of_group().map(|(image, _)| &image.digest).collect();
                let left: BTreeSet<_> =
                    of_group().filter(|(_, why)| why.is_some()).map(|(image, _)| &image.digest).collect();
                prop_assert!(left.len() >= keep.min(all.len()));
            }
            prop_assert!(images.iter().zip(&decided).all(|(image, why)| why.is_some() || image.created < Some(limit)));
        }
    }
}
