//! Which tags of a repository `rpull retain` keeps.

use std::collections::HashMap;
use std::str::FromStr;

use jiff::Timestamp;
use serde::Serialize;

use super::created::{CreatedWithin, known_time};
use super::tag_rules::{Patterns, TagPattern, TagRules};

/// `semver:5`: the tags of the five highest versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeepVersions(usize);

impl FromStr for KeepVersions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let count = text.strip_prefix("semver:").and_then(|count| count.parse().ok());
        let count = count.filter(|count| *count > 0);
        count.map(Self).ok_or_else(|| "expected semver:N, with N from 1".to_owned())
    }
}

/// Why a tag stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KeptBy {
    /// One of the highest versions.
    Version,
    /// A pattern or name.
    Pattern,
    /// Young enough.
    Age,
    /// When it was created is not known.
    UnknownAge,
}

/// Rules for tags that stay: one of them must apply.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeepRules {
    versions: Option<TagRules>,
    patterns: Option<TagRules>,
    within: Option<CreatedWithin>,
}

impl KeepRules {
    pub(crate) fn new(
        versions: Option<KeepVersions>,
        patterns: Vec<TagPattern>,
        within: Option<CreatedWithin>,
    ) -> Self {
        let versions = versions
            .map(|KeepVersions(count)| TagRules { latest: Some(count), ..TagRules::default() });
        let has_patterns = !patterns.is_empty();
        let (mut names, mut globs) = (Vec::new(), Vec::new());
        for pattern in patterns {
            match pattern {
                TagPattern::Name(name) => names.push(name),
                TagPattern::Glob(glob) => globs.push(glob),
            }
        }
        let included = Patterns { globs, regexes: Vec::new() };
        let patterns = TagRules { names, included, ..TagRules::default() };
        Self { versions, patterns: has_patterns.then_some(patterns), within }
    }

    /// Whether there is no rule, so that no tag would stay.
    pub(crate) fn is_empty(&self) -> bool {
        self.versions.is_none() && self.patterns.is_none() && self.within.is_none()
    }

    /// The tags that stay because of their names.
    pub(crate) fn by_name(&self, tags: &[String]) -> HashMap<String, KeptBy> {
        let each = [(&self.patterns, KeptBy::Pattern), (&self.versions, KeptBy::Version)];
        let each = each.into_iter().filter_map(|(rules, kept)| Some((rules.as_ref()?, kept)));
        each.flat_map(|(rules, kept)| rules.select(tags).into_iter().map(move |tag| (tag, kept)))
            .collect()
    }

    /// Whether the age of images matters.
    pub(crate) fn has_age(&self) -> bool {
        self.within.is_some()
    }

    /// Whether a tag stays whose image has this creation time in RFC 3339, although its name does not keep it.
    pub(crate) fn by_age(&self, created: Option<&str>, now: Timestamp) -> Option<KeptBy> {
        let within = self.within.as_ref()?;
        if known_time(created).is_none() {
            return Some(KeptBy::UnknownAge);
        }
        within.accepts(created, now).then_some(KeptBy::Age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(versions: Option<&str>, patterns: &[&str], within: Option<&str>) -> KeepRules {
        KeepRules::new(
            versions.map(|text| text.parse().unwrap()),
            patterns.iter().map(|text| TagPattern::parse(text).unwrap()).collect(),
            within.map(|text| CreatedWithin::parse(text).unwrap()),
        )
    }

    #[test]
    fn tags_are_kept_by_each_rule() {
        let tags = ["1.9", "1.10", "2.0-rc.1", "edge", "nightly-1", "nightly-2"].map(str::to_owned);
        let kept = |rules: KeepRules| {
            let mut kept: Vec<_> = rules.by_name(&tags).into_iter().collect();
            kept.sort_by(|one, other| one.0.cmp(&other.0));
            kept.iter().map(|(tag, by)| format!("{tag} {by:?}")).collect::<Vec<_>>()
        };
        assert_eq!(kept(rules(Some("semver:1"), &[], None)), ["1.10 Version"]);
        assert_eq!(
            kept(rules(Some("semver:9"), &["*-2", "gone"], None)),
            ["1.10 Version", "1.9 Version", "gone Pattern", "nightly-2 Pattern"]
        );
        assert!(kept(rules(None, &[], Some("1d"))).is_empty());
        assert!(rules(None, &[], None).is_empty() && !rules(None, &["a"], None).is_empty());
    }

    #[test]
    fn image_of_unknown_age_is_kept() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let by = |created| rules(None, &[], Some("90d")).by_age(created, now);
        assert_eq!(by(Some("2026-11-01T00:00:00Z")), Some(KeptBy::Age));
        assert_eq!(by(Some("2026-01-01T00:00:00Z")), None);
        for unknown in [None, Some("1970-01-01T00:00:00Z"), Some("1999-12-31T23:59:59Z"), Some("")]
        {
            assert_eq!(by(unknown), Some(KeptBy::UnknownAge), "{unknown:?}");
        }
        assert_eq!(rules(None, &["a"], None).by_age(None, now), None, "no rule about age");
    }

    #[test]
    fn malformed_number_of_versions_is_rejected() {
        assert_eq!("semver:5".parse(), Ok(KeepVersions(5)));
        for text in ["", "5", "semver:", "semver:0", "semver:-1", "semver:>=1", "latest:5"] {
            assert!(text.parse::<KeepVersions>().is_err(), "{text}");
        }
    }
}
