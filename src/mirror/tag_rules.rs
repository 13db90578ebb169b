//! Which tags of a repository are mirrored.

use std::cmp::Reverse;
use std::collections::HashSet;

use glob::Pattern;
use regex_lite::Regex;

use super::created::CreatedWithin;
use super::version::{TagVersion, VersionRange};
use crate::reference::{is_digest_tag, is_referrers_tag, is_tag};

/// Rules for the tags of a repository. Without any, every tag is selected.
///
/// A tag is selected if it matches an include pattern (if any), satisfies the version range, and matches no exclude
/// pattern. With `latest`, only that many of the highest versions among them are kept. A tag that is included by name is always
/// selected, unless it is excluded.
#[derive(Clone, Debug, Default)]
pub(crate) struct TagRules {
    pub(super) names: Vec<String>,
    pub(super) included: Patterns,
    pub(super) excluded: Patterns,
    pub(super) range: Option<VersionRange>,
    pub(super) prereleases: bool,
    pub(super) latest: Option<usize>,
    /// Maximum age of the selected images, except those that are included by name. Unknown until their configs were read.
    pub(crate) created: Option<CreatedWithin>,
}

impl TagRules {
    /// Returns the tags, if the rules name each of them: then they need not be listed.
    pub(crate) fn only_names(&self) -> Option<&[String]> {
        let is_open = self.names.is_empty()
            || !self.included.is_empty()
            || self.range.is_some()
            || self.latest.is_some()
            || self.created.is_some();
        (!is_open).then_some(&self.names)
    }

    /// Whether the tag is included by name.
    pub(crate) fn names(&self, tag: &str) -> bool {
        self.names.iter().any(|name| name == tag)
    }

    /// Selects from the tags of a repository, in their order; named ones that are missing come first.
    ///
    /// Tags that cosign derives from digests are selected only if nothing is included, or by name. Lists of referrers, which
    /// are no images, are selected only by name.
    pub(crate) fn select(&self, tags: &[String]) -> Vec<String> {
        let known: HashSet<&String> = tags.iter().collect();
        let missing = self.names.iter().filter(|name| !known.contains(name));
        let mut selected: HashSet<&String> = self.names.iter().collect();
        match self.latest {
            Some(count) => selected.extend(self.latest(count, tags)),
            None => selected.extend(tags.iter().filter(|tag| self.accepts(tag))),
        }
        let wanted = |tag: &&String| selected.contains(tag) && !self.excluded.matches(tag);
        missing.chain(tags).filter(wanted).cloned().collect()
    }

    fn latest<'a>(&self, count: usize, tags: &'a [String]) -> impl Iterator<Item = &'a String> {
        let accepted = tags.iter().filter(|tag| self.accepts(tag) && !self.names.contains(tag));
        let mut versions: Vec<(TagVersion, &String)> =
            accepted.filter_map(|tag| Some((self.version(tag)?, tag))).collect();
        versions.sort_unstable_by(|one, other| Reverse(one).cmp(&Reverse(other)));
        versions.into_iter().take(count).map(|(_, tag)| tag)
    }

    /// Whether patterns and range accept the tag, without regard to its name.
    fn accepts(&self, tag: &str) -> bool {
        let has_rules = !self.included.is_empty()
            || self.range.is_some()
            || self.latest.is_some()
            || self.created.is_some();
        if is_referrers_tag(tag) {
            return false;
        }
        if !has_rules {
            return self.names.is_empty();
        }
        let is_included = self.included.is_empty() || self.included.matches(tag);
        let is_in_range = self.range.as_ref().is_none_or(|range| {
            TagVersion::parse(tag).is_some_and(|version| range.matches(&version, self.prereleases))
        });
        is_included && is_in_range && !self.excluded.matches(tag) && !is_digest_tag(tag)
    }

    /// The version of the tag, if it counts among the latest ones.
    fn version(&self, tag: &str) -> Option<TagVersion> {
        let version = TagVersion::parse(tag)?;
        // A range decides itself about pre-releases.
        let counts = self.prereleases || self.range.is_some() || !version.is_prerelease();
        counts.then_some(version)
    }
}

/// Patterns for tags or repositories: one of them must match.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patterns {
    pub(super) globs: Vec<Pattern>,
    pub(super) regexes: Vec<Regex>,
}

impl Patterns {
    pub(super) fn is_empty(&self) -> bool {
        self.globs.is_empty() && self.regexes.is_empty()
    }

    pub(crate) fn matches(&self, tag: &str) -> bool {
        self.globs.iter().any(|glob| glob.matches(tag))
            || self.regexes.iter().any(|regex| regex.is_match(tag))
    }
}

/// A pattern, or the exact name of a tag.
#[derive(Clone, Debug)]
pub(crate) enum TagPattern {
    Name(String),
    Glob(Pattern),
}

impl TagPattern {
    /// # Errors
    /// What is wrong with the pattern.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.contains(['*', '?', '[']) {
            return glob(text).map(Self::Glob);
        }
        if is_tag(text) {
            return Ok(Self::Name(text.to_owned()));
        }
        Err("neither a tag nor a pattern".to_owned())
    }
}

/// # Errors
/// What is wrong with the pattern.
pub(super) fn glob(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|error| error.msg.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAGS: [&str; 13] = [
        "1.9.0",
        "1.10.0",
        "v1.11.1",
        "1.11.0-rc.1",
        "2.0.0-rc.1",
        "2.0.0",
        "edge",
        "latest",
        "3.1-alpine",
        "3.2-alpine",
        "2",
        "nightly-20240105",
        "sha256-44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a.sig",
    ];

    fn select(rules: &TagRules) -> Vec<String> {
        rules.select(&TAGS.map(str::to_owned))
    }

    fn globs(patterns: &[&str]) -> Patterns {
        let globs = patterns.iter().map(|text| glob(text).unwrap()).collect();
        Patterns { globs, regexes: Vec::new() }
    }

    fn regex(pattern: &str) -> Patterns {
        Patterns { globs: Vec::new(), regexes: vec![Regex::new(pattern).unwrap()] }
    }

    fn range(text: &str) -> VersionRange {
        VersionRange::parse(text).unwrap()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn tags_without_rules_are_all_selected() {
        assert_eq!(select(&TagRules::default()), TAGS);
        let rules = TagRules { excluded: globs(&["sha256-*", "*-*"]), ..TagRules::default() };
        assert_eq!(select(&rules), ["1.9.0", "1.10.0", "v1.11.1", "2.0.0", "edge", "latest", "2"]);
    }

    #[test]
    fn tag_of_referrers_list_is_selected_only_by_name() {
        let list = "sha256-44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        let tags = ["1.0", list].map(str::to_owned);
        let everything = TagRules { included: globs(&["*"]), ..TagRules::default() };
        for rules in [TagRules::default(), everything] {
            assert_eq!(rules.select(&tags), ["1.0"]);
        }
        let named = TagRules { names: names(&[list]), ..TagRules::default() };
        assert_eq!(named.select(&tags), [list]);
    }

    #[test]
    fn tags_are_selected_by_name_glob_regex_and_range() {
        let default = TagRules::default;
        for (rules, expected) in [
            (TagRules { names: names(&["latest", "gone"]), ..default() }, vec!["gone", "latest"]),
            (
                TagRules { included: globs(&["1.*", "e?ge"]), ..default() },
                vec!["1.9.0", "1.10.0", "1.11.0-rc.1", "edge"],
            ),
            (
                TagRules { included: regex(r"^v?\d+\.\d+\.\d+$"), ..default() },
                vec!["1.9.0", "1.10.0", "v1.11.1", "2.0.0"],
            ),
            (
                TagRules { included: regex("."), excluded: regex("[.-]"), ..default() },
                vec!["edge", "latest", "2"],
            ),
            (
                TagRules { range: Some(range(">=1.10")), ..default() },
                vec!["1.10.0", "v1.11.1", "2.0.0", "2"],
            ),
            (
                TagRules { range: Some(range(">=1.10 <3")), prereleases: true, ..default() },
                vec!["1.10.0", "v1.11.1", "1.11.0-rc.1", "2.0.0-rc.1", "2.0.0", "2"],
            ),
            (
                TagRules {
                    included: globs(&["*-alpine"]),
                    range: Some(range("3")),
                    prereleases: true,
                    ..default()
                },
                vec!["3.1-alpine", "3.2-alpine"],
            ),
            (
                TagRules { names: names(&["edge"]), range: Some(range("2.0")), ..default() },
                vec!["2.0.0", "edge", "2"],
            ),
            (
                TagRules { names: names(&["edge", "2"]), excluded: globs(&["e*"]), ..default() },
                vec!["2"],
            ),
        ] {
            assert_eq!(select(&rules), expected, "{rules:?}");
        }
    }

    #[test]
    fn latest_tags_are_those_of_highest_versions() {
        let default = TagRules::default;
        for (rules, expected) in [
            (TagRules { latest: Some(2), ..default() }, vec!["2.0.0", "2"]),
            (
                TagRules { latest: Some(3), range: Some(range("<2")), ..default() },
                vec!["1.9.0", "1.10.0", "v1.11.1"],
            ),
            (
                TagRules { latest: Some(1), names: names(&["latest", "2.0.0"]), ..default() },
                vec!["2.0.0", "latest", "2"],
            ),
            (TagRules { latest: Some(1), excluded: globs(&["2*"]), ..default() }, vec!["v1.11.1"]),
            (TagRules { latest: Some(1), prereleases: true, ..default() }, vec!["3.2-alpine"]),
            (TagRules { latest: Some(0), ..default() }, vec![]),
            (
                TagRules { latest: Some(99), included: globs(&["1.1*"]), ..default() },
                vec!["1.10.0"],
            ),
        ] {
            assert_eq!(select(&rules), expected, "{rules:?}");
        }
    }

    #[test]
    fn only_named_tags_need_no_list() {
        let rules = TagRules { names: names(&["1", "2"]), ..TagRules::default() };
        assert_eq!(rules.only_names().unwrap(), ["1", "2"]);
        let latest = TagRules { latest: Some(1), ..rules };
        assert!(latest.only_names().is_none() && TagRules::default().only_names().is_none());
    }
}
