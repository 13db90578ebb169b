//! The file of regsync.
//!
//! ```yaml
//! version: 1
//! sync:
//!   - source: alpine
//!     target: registry.example/library/alpine
//!     type: repository
//!     tags: { allow: ["3", "3\\.\\d+"] }
//! ```

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;

use super::creds::RawCreds;
use super::go_template::{EntryValues, expand};
use super::notes::{AnyKey, Notes};
use super::options::Lookup;
use crate::error::{Error, Result};
use crate::location::{DefaultLocation, Location};
use crate::mirror::file::{EntrySource, MirrorEntry, MirrorFile, RepositoryRules};
use crate::mirror::tag_rules::{Patterns, TagRules};
use crate::mirror::template::Template;
use crate::mirror::version::VersionRange;
use crate::mirror::yaml::{OneOrMany, Yaml};
use crate::platform::Platform;
use crate::reference::{Reference, registry_only};

/// What regsync calls a layout.
const LAYOUT_SCHEME: &str = "ocidir://";

/// Keys beside those that begin with `x-`, which the user may add.
const TOP_LEVEL_KEYS: [&str; 4] = ["version", "creds", "defaults", "sync"];

#[derive(Deserialize)]
struct RawFile {
    version: Option<Spanned<u64>>,
    creds: Option<Vec<RawCreds>>,
    defaults: Option<Spanned<RawEntry>>,
    sync: Option<Vec<Spanned<RawEntry>>>,
}

/// An entry, or what is usual for all.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct RawEntry {
    source: Option<Spanned<String>>,
    target: Option<Spanned<String>>,
    #[serde(rename = "type")]
    kind: Option<Spanned<String>>,
    tags: Option<Spanned<RawFilter>>,
    repos: Option<Spanned<RawFilter>>,
    platform: Option<Spanned<String>>,
    platforms: Option<Spanned<OneOrMany>>,
    referrers: Option<bool>,
    digest_tags: Option<bool>,
    backup: AnyKey,
    hooks: AnyKey,
    media_types: AnyKey,
    tag_sets: AnyKey,
    referrer_source: AnyKey,
    referrer_target: AnyKey,
    interval: AnyKey,
    schedule: AnyKey,
    ratelimit: AnyKey,
    parallel: AnyKey,
    cache_count: AnyKey,
    cache_time: AnyKey,
    user_agent: AnyKey,
    fast_copy: AnyKey,
    fast_check: AnyKey,
    force_recursive: AnyKey,
    referrer_filters: AnyKey,
    referrer_slow: AnyKey,
    include_external: AnyKey,
    skip_docker_config: AnyKey,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct RawFilter {
    allow: Option<Spanned<OneOrMany>>,
    deny: Option<Spanned<OneOrMany>>,
    semver_range: Option<Spanned<OneOrMany>>,
}

pub(super) fn read(yaml: Yaml<'_>, outside: &Lookup<'_>) -> Result<MirrorFile> {
    let keys: BTreeMap<String, Spanned<IgnoredAny>> = yaml.read()?;
    let is_own = |key: &str| TOP_LEVEL_KEYS.contains(&key) || key.starts_with("x-");
    if let Some((key, value)) = keys.iter().find(|(key, _)| !is_own(key)) {
        let reason =
            format!("unknown field `{key}`, expected one of {}", TOP_LEVEL_KEYS.join(", "));
        return Err(yaml.invalid(value.referenced.line(), &reason));
    }
    let RawFile { version, creds, defaults, sync } = yaml.read()?;
    if let Some(version) = version.filter(|version| version.value > 1) {
        let reason = format!("version {} of the file is not supported", version.value);
        return Err(yaml.invalid(version.referenced.line(), &reason));
    }
    let mut notes = Notes::new(yaml);
    let registries = creds.iter().flatten().map(|creds| creds.settings(yaml, outside, &mut notes));
    let registries = registries.collect::<Result<_>>()?;
    let usual = defaults.map(|defaults| defaults.value).unwrap_or_default();
    usual.note(&mut notes)?;
    if let Some(source) = &usual.source {
        return Err(yaml.invalid(source.referenced.line(), "not allowed in `defaults`"));
    }
    let mut entries = Vec::new();
    for entry in sync.unwrap_or_default() {
        entry.value.note(&mut notes)?;
        let line = entry.referenced.line();
        let reader = EntryReader { yaml, line, usual: &usual, outside };
        entries.push(reader.entry(&entry.value)?);
    }
    Ok(MirrorFile { entries, registries, notes: notes.lines })
}

impl RawEntry {
    fn note(&self, notes: &mut Notes<'_>) -> Result<()> {
        let once = "the file is mirrored once; `--watch` follows changes";
        notes.refuse(&[
            ("backup", &self.backup, "remove the key, and copy the former image before"),
            ("hooks", &self.hooks, ""),
            ("mediaTypes", &self.media_types, ""),
            ("tagSets", &self.tag_sets, "write an entry with `tags` for each"),
            ("referrerSource", &self.referrer_source, ""),
            ("referrerTarget", &self.referrer_target, ""),
        ])?;
        let heads = "an unchanged image costs one HEAD at each end";
        notes.no_effect(&[
            ("interval", &self.interval, once),
            ("schedule", &self.schedule, once),
            ("ratelimit", &self.ratelimit, "a registry that throttles is waited for"),
            ("parallel", &self.parallel, "`--jobs` limits what moves concurrently"),
            ("cacheCount", &self.cache_count, heads),
            ("cacheTime", &self.cache_time, heads),
            ("fastCopy", &self.fast_copy, heads),
            ("fastCheck", &self.fast_check, heads),
            ("forceRecursive", &self.force_recursive, heads),
            ("userAgent", &self.user_agent, "requests are rpull's"),
            ("referrerFilters", &self.referrer_filters, "all referrers are mirrored"),
            ("referrerSlow", &self.referrer_slow, "referrers are listed by the registry"),
            ("includeExternal", &self.include_external, "pass `--foreign-layers`"),
            (
                "skipDockerConfig",
                &self.skip_docker_config,
                "pass `--authfile` for other credentials",
            ),
        ]);
        Ok(())
    }
}

/// Converts one entry.
struct EntryReader<'a> {
    yaml: Yaml<'a>,
    line: u64,
    usual: &'a RawEntry,
    outside: &'a Lookup<'a>,
}

impl EntryReader<'_> {
    fn entry(&self, raw: &RawEntry) -> Result<MirrorEntry> {
        let kind = self.required("type", raw.kind.as_ref())?;
        let source = self.required("source", raw.source.as_ref())?;
        let target = self.required("target", raw.target.as_ref())?;
        let values = EntryValues { source: "", kind: &kind.value };
        let from = self.expanded(source, values)?;
        let to = self.expanded(target, EntryValues { source: &from, ..values })?;
        let (from, to) = match kind.value.as_str() {
            "image" => (image(&from).map(EntrySource::Image), image_target(&to)),
            "repository" => (repository(&from), repository_target(&to)),
            "registry" => (self.registry(&from, raw), Ok(registry_target(&to))),
            other => {
                let reason = format!("`{other}`: expected image, repository or registry");
                return Err(self.invalid(kind, &reason));
            }
        };
        let from = from.map_err(|error| self.invalid(source, &error.chain()))?;
        let to = to.map_err(|error| self.invalid(target, &error.chain()))?;
        let to = Template::parse(&to).map_err(|reason| self.invalid(target, &reason))?;
        Ok(MirrorEntry {
            tags: self.tags(raw)?,
            platforms: self.platforms(raw)?,
            referrers: raw.referrers.or(self.usual.referrers).unwrap_or_default(),
            digest_tags: raw.digest_tags.or(self.usual.digest_tags).unwrap_or_default(),
            ..MirrorEntry::new(self.yaml.place(self.line), from, vec![to])
        })
    }

    fn required<'a, T>(&self, key: &str, value: Option<&'a Spanned<T>>) -> Result<&'a Spanned<T>> {
        value.ok_or_else(|| self.yaml.invalid(self.line, &format!("missing key `{key}`")))
    }

    fn invalid<T>(&self, at: &Spanned<T>, reason: &str) -> Error {
        self.yaml.invalid(at.referenced.line(), reason)
    }

    fn expanded(&self, text: &Spanned<String>, values: EntryValues<'_>) -> Result<String> {
        let expanded = expand(&text.value, values, self.outside);
        expanded.map_err(|reason| self.invalid(text, &reason))
    }

    fn registry(&self, from: &str, raw: &RawEntry) -> Result<EntrySource> {
        let filter = raw.repos.as_ref().map(|repos| &repos.value);
        let rules = RepositoryRules {
            included: self.patterns(filter.and_then(|repos| repos.allow.as_ref()))?,
            excluded: self.patterns(filter.and_then(|repos| repos.deny.as_ref()))?,
        };
        Ok(EntrySource::Repositories { registry: registry_only(from)?, rules })
    }

    fn tags(&self, raw: &RawEntry) -> Result<TagRules> {
        let Some(tags) = raw.tags.as_ref().or(self.usual.tags.as_ref()) else {
            return Ok(TagRules::default());
        };
        let RawFilter { allow, deny, semver_range } = &tags.value;
        if let (Some(_), Some(range)) = (allow, semver_range) {
            return Err(self.invalid(range, "not supported beside `allow`"));
        }
        let range = semver_range.as_ref().map(|range| {
            let line = range.referenced.line();
            let texts: Vec<&str> = range.value.lines(line).map(|(_, text)| text).collect();
            VersionRange::parse(&texts.join(" || ")).map_err(|reason| self.invalid(range, &reason))
        });
        Ok(TagRules {
            included: self.patterns(allow.as_ref())?,
            excluded: self.patterns(deny.as_ref())?,
            range: range.transpose()?,
            ..TagRules::default()
        })
    }

    /// Regular expressions, which match whole names.
    fn patterns(&self, texts: Option<&Spanned<OneOrMany>>) -> Result<Patterns> {
        let Some(texts) = texts else { return Ok(Patterns::default()) };
        let regexes = texts.value.lines(texts.referenced.line()).map(|(line, text)| {
            Regex::new(&format!("^{text}$"))
                .map_err(|error| self.yaml.invalid(line, &format!("`{text}`: {error}")))
        });
        Ok(Patterns { globs: Vec::new(), regexes: regexes.collect::<Result<_>>()? })
    }

    fn platforms(&self, raw: &RawEntry) -> Result<Vec<Platform>> {
        let parse = |line: u64, text: &str| match text {
            "local" => Ok(Platform::host()),
            text => text.parse().map_err(|error: Error| self.yaml.invalid(line, &error.chain())),
        };
        let one = raw.platform.as_ref().or(self.usual.platform.as_ref());
        let one = one.map(|one| parse(one.referenced.line(), &one.value));
        let several = raw.platforms.as_ref().or(self.usual.platforms.as_ref());
        let several = several.into_iter().flat_map(|several| {
            several.value.lines(several.referenced.line()).map(|(line, text)| parse(line, text))
        });
        one.into_iter().chain(several).collect()
    }
}

/// An image with a tag.
fn image(text: &str) -> Result<Location> {
    match text.strip_prefix(LAYOUT_SCHEME) {
        Some(path) => Location::parse(&tagged_layout(path), DefaultLocation::Registry),
        None => text.parse().map(Location::Registry),
    }
}

fn image_target(text: &str) -> Result<String> {
    match text.strip_prefix(LAYOUT_SCHEME) {
        Some(path) => Ok(tagged_layout(path)),
        None => text.parse::<Reference>().map(|reference| reference.to_string()),
    }
}

fn tagged_layout(path: &str) -> String {
    let tag = if path.contains([':', '@']) { "" } else { ":latest" };
    format!("oci:{path}{tag}")
}

fn repository(text: &str) -> Result<EntrySource> {
    match text.strip_prefix(LAYOUT_SCHEME) {
        Some(path) => Ok(EntrySource::Layout(path.into())),
        None => Reference::repository_only(text).map(EntrySource::Repository),
    }
}

fn repository_target(text: &str) -> Result<String> {
    match text.strip_prefix(LAYOUT_SCHEME) {
        Some(path) => Ok(format!("oci:{path}:{{{{tag}}}}")),
        None => Reference::repository_only(text).map(|repository| repository.to_string()),
    }
}

fn registry_target(text: &str) -> String {
    match text.trim_end_matches('/').strip_prefix(LAYOUT_SCHEME) {
        Some(path) => format!("oci:{path}/{{{{repository}}}}:{{{{tag}}}}"),
        None => format!("{}/{{{{repository}}}}", text.trim_end_matches('/')),
    }
}

#[cfg(test)]
mod tests;
