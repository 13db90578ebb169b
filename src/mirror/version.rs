//! Versions in tags, and ranges of versions.
//!
//! Tags are read leniently, because few are exact semantic versions: `v1.2`, `3.18`, `2024.01.05`, `1.2.3rc1`, `1.2.3_build`.

use std::cmp::Ordering;

use semver::{BuildMetadata, Prerelease, Version, VersionReq};

/// The version in a tag. Ordered as semantic versions; of equal ones the more exact is greater: `1` < `1.0` < `1.0.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TagVersion {
    version: Version,
    /// Number of numeric components in the tag.
    numbers: usize,
}

impl TagVersion {
    /// Returns the version, if the tag begins with one to three numbers.
    pub(super) fn parse(tag: &str) -> Option<Self> {
        let text = tag.strip_prefix(['v', 'V']).unwrap_or(tag);
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (numbers, suffix) = text.split_at_checked(end)?;
        let numbers = numbers.trim_end_matches('.');
        let numbers: Vec<u64> =
            numbers.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
        // Tags cannot contain `+`: helm writes `_` before build metadata.
        let (pre, _) = suffix.split_once('_').unwrap_or((suffix, ""));
        let pre = Prerelease::new(pre.trim_start_matches(['-', '.'])).ok()?;
        let [major, minor, patch] = match *numbers.as_slice() {
            [major] => [major, 0, 0],
            [major, minor] => [major, minor, 0],
            [major, minor, patch] => [major, minor, patch],
            _ => return None,
        };
        let version = Version { major, minor, patch, pre, build: BuildMetadata::EMPTY };
        Some(Self { version, numbers: numbers.len() })
    }

    pub(super) fn is_prerelease(&self) -> bool {
        !self.version.pre.is_empty()
    }

    /// What the tags of one series have in common: the number of components, and the suffix without its numbers. `3.20` and
    /// `3.21` are in one, `3.20.1` and `3.20-slim` in others.
    pub(super) fn series(&self) -> (usize, String) {
        let suffix = self.version.pre.as_str();
        (self.numbers, suffix.chars().filter(|c| !c.is_ascii_digit()).collect())
    }
}

impl Ord for TagVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.version.cmp(&other.version).then(self.numbers.cmp(&other.numbers))
    }
}

impl PartialOrd for TagVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Sorts tags: the newest version first, then tags without a version by name.
pub(crate) fn sort_by_version(tags: &mut [String]) {
    tags.sort_by_cached_key(|tag| (std::cmp::Reverse(TagVersion::parse(tag)), tag.clone()));
}

/// A range such as `>=1.2, <2 || 3.1.x`. A bare `1.2` stands for all of 1.2.
#[derive(Clone, Debug)]
pub(super) struct VersionRange(Vec<VersionReq>);

impl VersionRange {
    /// # Errors
    /// What is wrong with the range.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let alternatives = text.split("||").map(|part| {
            let normal = normalized(part);
            if normal.is_empty() {
                return Err("expected a range such as `>=1.2, <2`".to_owned());
            }
            VersionReq::parse(&normal).map_err(|error| error.to_string())
        });
        alternatives.collect::<Result<_, _>>().map(Self)
    }

    /// Pre-releases match only if the range names one of the same version, or if `prereleases` are asked for: by their numbers
    /// then.
    pub(super) fn matches(&self, tag: &TagVersion, prereleases: bool) -> bool {
        let release = Version { pre: Prerelease::EMPTY, ..tag.version.clone() };
        self.0
            .iter()
            .any(|range| range.matches(&tag.version) || (prereleases && range.matches(&release)))
    }
}

/// Writes a range as the `semver` crate reads it: commas between comparators, `=` before bare versions, no leading `v`.
fn normalized(text: &str) -> String {
    let mut comparators: Vec<String> = Vec::new();
    let mut operator = String::new();
    for word in text.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
        let start = word.find(|c: char| !"<>=^~".contains(c)).unwrap_or(word.len());
        let (sign, version) = word.split_at(start);
        operator.push_str(sign);
        if version.is_empty() {
            continue;
        }
        let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
        let is_wildcard = version.contains(['*', 'x', 'X']);
        let sign = if operator.is_empty() && !is_wildcard { "=" } else { operator.as_str() };
        comparators.push(format!("{sign}{version}"));
        operator.clear();
    }
    if !operator.is_empty() {
        comparators.push(operator);
    }
    comparators.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_tags_are_ordered_by_number() {
        let ordered = [
            "v0.9",
            "1",
            "1.0",
            "1.0.0",
            "1.2.3-alpha",
            "1.2.3-rc.2",
            "1.2.3-rc.10",
            "v1.2.3",
            "1.9",
            "1.10",
            "3.18.4",
            "2024.01.05",
            "20240105",
        ];
        let versions = ordered.map(|tag| TagVersion::parse(tag).unwrap());
        assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "{versions:?}");
    }

    #[test]
    fn tag_without_version_has_none() {
        for tag in ["latest", "edge-1.2", "v", "1.2.3.4", "1..2", "99999999999999999999", "1-a..b"]
        {
            assert_eq!(TagVersion::parse(tag), None, "{tag}");
        }
    }

    #[test]
    fn suffix_of_version_is_prerelease_or_build() {
        for (tag, is_prerelease) in [
            ("1.2.3", false),
            ("1.2.3_build.4", false),
            ("3.18-alpine", true),
            ("1.2.3rc1", true),
            ("1.2.3.rc1", true),
            ("1.2-rc.1_x", true),
        ] {
            assert_eq!(TagVersion::parse(tag).unwrap().is_prerelease(), is_prerelease, "{tag}");
        }
    }

    #[test]
    fn version_range_matches_lenient_forms() {
        for (range, tag, prereleases, expected) in [
            (">=1.2, <2", "1.2", false, true),
            (">=1.2 <2", "v1.10.3", false, true),
            (">= v1.2 < 2", "1.3", false, true),
            (">=1.2 <2", "2", false, false),
            (">=1.2", "1.3.0-rc.1", false, false),
            (">=1.2", "1.3.0-rc.1", true, true),
            (">=1.3.0-rc.1", "1.3.0-rc.2", false, true),
            ("1.2", "1.2.9", false, true),
            ("1.2", "1.3.0", false, false),
            ("1.2.3", "1.2.4", false, false),
            ("^1.2", "1.9", false, true),
            ("~1.2", "1.3", false, false),
            ("1.2.x", "v1.2.7", false, true),
            ("*", "7", false, true),
            ("1.1 || 3.x", "3.4", false, true),
            ("1.1 || 3.x", "2.4", false, false),
        ] {
            let version = TagVersion::parse(tag).unwrap();
            let matches = VersionRange::parse(range).unwrap().matches(&version, prereleases);
            assert_eq!(matches, expected, "{range} {tag} {prereleases}");
        }
    }

    #[test]
    fn malformed_range_is_rejected() {
        for range in ["", "  ", "1 ||", ">=", "one", ">=1.2.3.4", "=>1"] {
            assert!(VersionRange::parse(range).is_err(), "{range}");
        }
    }
}
