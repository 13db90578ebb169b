//! The file that lists what is mirrored, checked and with its defaults filled in.
//!
//! ```yaml
//! defaults:
//!   to: registry.example/mirror/{{repository}}
//! mirror:
//!   - from: alpine
//!     tags: { semver: ">=3.18", latest: 3 }
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use glob::Pattern;
use regex_lite::Regex;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};

use super::created::CreatedWithin;
use super::predecessors::DeltaRule;
use super::tag_rules::{self, Patterns, TagPattern, TagRules};
use super::template::Template;
use super::version::VersionRange;
use super::yaml::{OneOrMany, Yaml};
use crate::duration::parse_duration;
use crate::error::{Error, Result};
use crate::location::{self, DefaultLocation};
use crate::name::ImageName;
use crate::platform::Platform;
use crate::reference::{Reference, registry_only};
use crate::secret::Secret;

/// The name of all platforms.
const ALL: &str = "all";

/// What is mirrored.
#[derive(Debug)]
pub(crate) struct MirrorFile {
    pub(crate) entries: Vec<MirrorEntry>,
    /// By registry, as in references.
    pub(crate) registries: BTreeMap<String, RegistrySettings>,
    /// What of the file has no effect, for people.
    pub(crate) notes: Vec<String>,
}

/// One entry of the file.
#[derive(Debug)]
pub(crate) struct MirrorEntry {
    /// `FILE:LINE`, for messages.
    pub(crate) place: String,
    pub(crate) from: EntrySource,
    pub(crate) to: Vec<Template>,
    pub(crate) tags: TagRules,
    /// Empty for all.
    pub(crate) platforms: Vec<Platform>,
    pub(crate) referrers: bool,
    pub(crate) digest_tags: bool,
    /// Tags that never change.
    pub(crate) immutable: Patterns,
    /// Whether deltas are made between consecutive tags.
    pub(crate) deltas: bool,
}

impl MirrorEntry {
    /// All tags and platforms of a source.
    pub(super) fn new(place: String, from: EntrySource, to: Vec<Template>) -> Self {
        Self {
            place,
            from,
            to,
            tags: TagRules::default(),
            platforms: Vec::new(),
            referrers: false,
            digest_tags: false,
            immutable: Patterns::default(),
            deltas: false,
        }
    }
}

/// What an entry mirrors.
#[derive(Clone, Debug)]
pub(crate) enum EntrySource {
    /// Tags of a repository.
    Repository(Reference),
    /// Tags of all repositories of a registry whose names match.
    Repositories { registry: String, rules: RepositoryRules },
    /// Images of a layout.
    Layout(PathBuf),
    /// One image.
    Image(location::Location),
}

/// Rules for the repositories of a registry.
#[derive(Clone, Debug)]
pub(crate) struct RepositoryRules {
    /// One of them must match, if any exist.
    pub(super) included: Patterns,
    pub(super) excluded: Patterns,
}

impl RepositoryRules {
    pub(crate) fn matches(&self, repository: &str) -> bool {
        let is_included = self.included.is_empty() || self.included.matches(repository);
        is_included && !self.excluded.matches(repository)
    }
}

/// For messages: the pattern of a file.
impl fmt::Display for RepositoryRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.included.globs.first().map_or("*", Pattern::as_str))
    }
}

/// How to connect to one registry. Everything is as in the options of the same names.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RegistrySettings {
    pub(crate) connections: Option<u16>,
    pub(crate) requests_per_second: Option<f64>,
    /// Pulls to leave of the registry's own limit.
    pub(crate) rate_limit_floor: Option<u64>,
    /// How long to wait there.
    #[serde(default, deserialize_with = "duration")]
    pub(crate) rate_limit_wait: Option<Duration>,
    #[serde(default)]
    pub(crate) plain_http: bool,
    #[serde(default)]
    pub(crate) insecure: bool,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) cert_file: Option<PathBuf>,
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) authfile: Option<PathBuf>,
    /// `USER:PASS`; only files of other tools have it.
    #[serde(skip)]
    pub(crate) creds: Option<Secret>,
}

impl fmt::Debug for RegistrySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistrySettings").field("insecure", &self.insecure).finish_non_exhaustive()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    defaults: RawEntry,
    #[serde(default)]
    registries: BTreeMap<String, Spanned<RegistrySettings>>,
    mirror: Vec<Spanned<RawEntry>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct RawEntry {
    from: Option<Spanned<String>>,
    to: Option<Spanned<OneOrMany>>,
    tags: Option<Spanned<TagsOrList>>,
    platforms: Option<Spanned<OneOrMany>>,
    referrers: Option<bool>,
    digest_tags: Option<bool>,
    immutable: Option<Spanned<OneOrMany>>,
    deltas: Option<DeltaRule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct RawTags {
    include: Option<Spanned<OneOrMany>>,
    include_regex: Option<Spanned<OneOrMany>>,
    exclude: Option<Spanned<OneOrMany>>,
    exclude_regex: Option<Spanned<OneOrMany>>,
    semver: Option<Spanned<String>>,
    prereleases: bool,
    latest: Option<usize>,
    created: Option<Spanned<String>>,
}

/// Rules for tags; a text or a list of texts is what is included.
#[derive(Debug)]
struct TagsOrList(RawTags);

impl<'de> Deserialize<'de> for TagsOrList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TagsVisitor)
    }
}

struct TagsVisitor;

impl TagsVisitor {
    fn included(list: OneOrMany) -> TagsOrList {
        let include = Spanned::new(list, Location::UNKNOWN, Location::UNKNOWN);
        TagsOrList(RawTags { include: Some(include), ..RawTags::default() })
    }
}

impl<'de> Visitor<'de> for TagsVisitor {
    type Value = TagsOrList;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tag in quotes, a list of tags, or rules")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Self::included(OneOrMany::one(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        OneOrMany::from_seq(list).map(Self::included)
    }

    fn visit_map<A: MapAccess<'de>>(self, rules: A) -> Result<Self::Value, A::Error> {
        RawTags::deserialize(MapAccessDeserializer::new(rules)).map(TagsOrList)
    }
}

impl MirrorFile {
    /// Reads the text of a file; `file` is its name for messages.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::error::ErrorKind::InvalidInput) with line and key.
    pub(crate) fn parse(text: &str, file: &str) -> Result<Self> {
        let yaml = Yaml { text, file };
        let RawFile { defaults, registries, mirror } = yaml.read()?;
        if let Some(from) = &defaults.from {
            return Err(yaml.invalid(from.referenced.line(), "not allowed in `defaults`"));
        }
        let entries = mirror.iter().map(|entry| {
            let line = entry.referenced.line();
            Converter { yaml, line, defaults: &defaults }.entry(&entry.value)
        });
        let entries = entries.collect::<Result<_>>()?;
        let registries = registries.into_iter().map(|(host, settings)| {
            let (line, settings) = (settings.referenced.line(), settings.value);
            let name = registry_only(&host).map_err(|error| yaml.invalid(line, &error.chain()))?;
            if settings.key_file.is_some() && settings.cert_file.is_none() {
                return Err(yaml.invalid(line, "`key-file` requires `cert-file`"));
            }
            Ok((name, settings))
        });
        Ok(Self { entries, registries: registries.collect::<Result<_>>()?, notes: Vec::new() })
    }
}

/// Converts one entry.
#[derive(Clone, Copy)]
struct Converter<'a> {
    yaml: Yaml<'a>,
    line: u64,
    defaults: &'a RawEntry,
}

impl Converter<'_> {
    fn entry(self, entry: &RawEntry) -> Result<MirrorEntry> {
        let (yaml, usual) = (self.yaml, self.defaults);
        let Some(from) = &entry.from else {
            return Err(yaml.invalid(self.line, "missing key `from`"));
        };
        let Some(to) = entry.to.as_ref().or(usual.to.as_ref()) else {
            return Err(yaml.invalid(self.line, "missing key `to`"));
        };
        let to = self.each(Some(to), Template::parse)?;
        if to.is_empty() {
            return Err(yaml.invalid(self.line, "missing target in `to`"));
        }
        let source =
            source(&from.value).map_err(|reason| yaml.invalid(from.referenced.line(), &reason))?;
        let tags = match (&entry.tags, &source) {
            (Some(tags), EntrySource::Image(_)) => {
                let reason =
                    "tags are selected only in a repository or layout, without a tag in `from`";
                return Err(yaml.invalid(tags.referenced.line(), reason));
            }
            (None, EntrySource::Image(_)) => TagRules::default(),
            (own, _) => match own.as_ref().or(usual.tags.as_ref()) {
                Some(tags) => self.tags(tags.referenced.line(), &tags.value.0)?,
                None => TagRules::default(),
            },
        };
        let platforms = entry.platforms.as_ref().or(usual.platforms.as_ref());
        let platforms = self.each(platforms, |text| match text {
            ALL => Ok(None),
            text => text.parse().map(Some).map_err(|error: Error| error.chain()),
        })?;
        let immutable = entry.immutable.as_ref().or(usual.immutable.as_ref());
        Ok(MirrorEntry {
            place: yaml.place(self.line),
            from: source,
            to,
            tags,
            // All of them and some others are all.
            platforms: platforms.into_iter().collect::<Option<_>>().unwrap_or_default(),
            referrers: entry.referrers.or(usual.referrers).unwrap_or_default(),
            digest_tags: entry.digest_tags.or(usual.digest_tags).unwrap_or_default(),
            immutable: Patterns {
                globs: self.each(immutable, tag_rules::glob)?,
                regexes: Vec::new(),
            },
            deltas: entry.deltas.or(usual.deltas).is_some_and(DeltaRule::is_on),
        })
    }

    fn tags(self, line: u64, tags: &RawTags) -> Result<TagRules> {
        let this = Self { line, ..self };
        let (mut names, mut globs) = (Vec::new(), Vec::new());
        for pattern in this.each(tags.include.as_ref(), TagPattern::parse)? {
            match pattern {
                TagPattern::Name(name) => names.push(name),
                TagPattern::Glob(glob) => globs.push(glob),
            }
        }
        let range = tags.semver.as_ref().map(|range| {
            VersionRange::parse(&range.value)
                .map_err(|reason| self.yaml.invalid(range.referenced.line(), &reason))
        });
        let created = tags.created.as_ref().map(|created| {
            CreatedWithin::parse(&created.value)
                .map_err(|reason| self.yaml.invalid(created.referenced.line(), &reason))
        });
        Ok(TagRules {
            names,
            included: Patterns { globs, regexes: self.each(tags.include_regex.as_ref(), regex)? },
            excluded: Patterns {
                globs: self.each(tags.exclude.as_ref(), tag_rules::glob)?,
                regexes: self.each(tags.exclude_regex.as_ref(), regex)?,
            },
            range: range.transpose()?,
            prereleases: tags.prereleases,
            latest: tags.latest,
            created: created.transpose()?,
        })
    }

    /// Converts each text of a list.
    fn each<T>(
        self,
        texts: Option<&Spanned<OneOrMany>>,
        convert: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>> {
        let Some(texts) = texts else { return Ok(Vec::new()) };
        let line = texts.referenced.line().max(self.line);
        let converted = texts.value.lines(line).map(|(line, text)| {
            convert(text).map_err(|reason| self.yaml.invalid(line, &format!("`{text}`: {reason}")))
        });
        converted.collect()
    }
}

fn source(text: &str) -> Result<EntrySource, String> {
    let bare = text.strip_prefix("docker://").unwrap_or(text);
    if bare.contains('*') {
        let (registry, pattern) = bare.split_once('/').unwrap_or((bare, ""));
        let registry = registry_only(registry).map_err(|error| error.chain())?;
        let included = Patterns { globs: vec![tag_rules::glob(pattern)?], regexes: Vec::new() };
        let rules = RepositoryRules { included, excluded: Patterns::default() };
        return Ok(EntrySource::Repositories { registry, rules });
    }
    let location = location::Location::parse(text, DefaultLocation::Registry)
        .map_err(|error| error.chain())?;
    Ok(match (location, Reference::repository_only(bare)) {
        (location::Location::Registry(_), Ok(repository)) => EntrySource::Repository(repository),
        (location::Location::Layout { path, name: ImageName::Only }, _) => {
            EntrySource::Layout(path)
        }
        (location, _) => EntrySource::Image(location),
    })
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map(Some).map_err(serde::de::Error::custom)
}

pub(super) fn regex(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
