//! Which tag comes before which: deltas are made from one to the next.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::created::known_time;
use super::version::TagVersion;

/// From what the deltas of an entry are made.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeltaRule {
    from: DeltaOrigin,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum DeltaOrigin {
    Previous,
    /// Overrides a default.
    None,
}

impl DeltaRule {
    pub(super) fn is_on(self) -> bool {
        self.from == DeltaOrigin::Previous
    }
}

/// Returns positions of consecutive tags, the older one first: by version, within tags that differ only in their numbers. A tag
/// without a version is in no pair. `None` if no tag has a version.
pub(crate) fn pairs_by_version(tags: &[&str]) -> Option<Vec<(usize, usize)>> {
    let mut series: BTreeMap<(usize, String), Vec<(TagVersion, usize)>> = BTreeMap::new();
    for (position, tag) in tags.iter().enumerate() {
        if let Some(version) = TagVersion::parse(tag) {
            series.entry(version.series()).or_default().push((version, position));
        }
    }
    let pairs = |mut one: Vec<(TagVersion, usize)>| {
        one.sort();
        consecutive(&one)
    };
    (!series.is_empty()).then(|| series.into_values().flat_map(pairs).collect())
}

/// Returns positions of images that were created one after the other, the older one first. One of unknown age is in no pair.
pub(crate) fn pairs_by_time(created: &[Option<String>]) -> Vec<(usize, usize)> {
    let known = created.iter().enumerate();
    let known = known.filter_map(|(position, time)| Some((known_time(time.as_deref())?, position)));
    let mut known: Vec<_> = known.collect();
    known.sort_unstable();
    consecutive(&known)
}

fn consecutive<T>(sorted: &[(T, usize)]) -> Vec<(usize, usize)> {
    let pairs = sorted.iter().zip(sorted.iter().skip(1));
    pairs.map(|((_, old), (_, new))| (*old, *new)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn tags_are_paired_by_version_within_their_series() {
        for (tags, expected) in [
            (vec!["1.10", "1.9", "latest", "1.2"], Some(vec![("1.2", "1.9"), ("1.9", "1.10")])),
            (
                vec!["3.20-slim", "3.20", "3.19", "3.19-slim", "3.20.1", "3"],
                Some(vec![("3.19-slim", "3.20-slim"), ("3.19", "3.20")]),
            ),
            (vec!["v2.0-rc.2", "v1.0", "v2.0-rc.10"], Some(vec![("v2.0-rc.2", "v2.0-rc.10")])),
            (vec!["20240105", "20240104"], Some(vec![("20240104", "20240105")])),
            (vec!["1.0", "edge"], Some(vec![])),
            (vec!["edge", "latest"], None),
            (vec![], None),
        ] {
            let pairs = pairs_by_version(&tags);
            let names = |all: Vec<(usize, usize)>| -> BTreeSet<(&str, &str)> {
                all.into_iter().map(|(old, new)| (tags[old], tags[new])).collect()
            };
            let (names, expected) = (pairs.map(names), expected.map(BTreeSet::from_iter));
            assert_eq!(names, expected, "{tags:?}");
        }
    }

    #[test]
    fn image_of_unknown_age_has_no_predecessor() {
        let created = [
            Some("2026-11-03T00:00:00Z"),
            None,
            Some("1970-01-01T00:00:00Z"),
            Some("2026-11-01T00:00:00Z"),
            Some("2026-11-02T01:00:00+02:00"),
        ];
        let created = created.map(|time| time.map(str::to_owned));
        assert_eq!(pairs_by_time(&created), [(3, 4), (4, 0)]);
        assert_eq!(pairs_by_time(&created[..3]), []);
    }
}
