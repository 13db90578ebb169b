//! containers' `registries.conf`, version 2: mirrors and settings by prefix of the name. Spec: containers-registries.conf(5).

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;
use toml::Spanned;

use super::host::{Capabilities, ContentHost, ContentHosts};
use crate::error::{Error, ErrorKind, Result};
use crate::reference::{is_repository, registry_and_namespace};
use crate::registry::http::host_settings::HostSettings;
use crate::toml_file::TomlFile;

const FILE_NAME: &str = "registries.conf";

#[derive(Deserialize)]
struct ConfTable {
    #[serde(default)]
    registry: Vec<Spanned<RegistryTable>>,
    /// Registries of version 1 of the format.
    registries: Option<Spanned<serde::de::IgnoredAny>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RegistryTable {
    prefix: Option<Spanned<String>>,
    location: Option<Spanned<String>>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<MirrorTable>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct MirrorTable {
    location: Spanned<String>,
    #[serde(default)]
    insecure: bool,
    pull_from_mirror: Option<Spanned<PullFromMirror>>,
}

/// The names that a mirror is used for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum PullFromMirror {
    All,
    DigestOnly,
    TagOnly,
}

/// A file, or several that belong together.
#[derive(Debug, Default)]
pub(super) struct RegistriesConf {
    registries: Vec<RegistryEntry>,
}

#[derive(Debug)]
struct RegistryEntry {
    file: PathBuf,
    prefix: Prefix,
    /// `None` for the name as it is.
    location: Option<RegistryPrefix>,
    insecure: bool,
    blocked: bool,
    mirrors: Vec<MirrorEntry>,
}

#[derive(Debug)]
struct MirrorEntry {
    location: RegistryPrefix,
    insecure: bool,
    names: PullFromMirror,
}

/// What the matching part of a name is replaced by.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RegistryPrefix {
    registry: String,
    namespace: Option<String>,
}

/// Which names an entry is for: those that begin with it, up to a slash or their end.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Prefix {
    /// A registry, and the beginning of its repositories.
    Name(RegistryPrefix),
    /// `*.example.com`: the dot and what follows.
    Subdomains(String),
}

impl Prefix {
    /// What follows the prefix in the name, without a slash; `None` for another name.
    fn rest<'a>(&self, registry: &str, repository: &'a str) -> Option<&'a str> {
        match self {
            Self::Subdomains(end) => registry.ends_with(end.as_str()).then_some(repository),
            Self::Name(place) if place.registry != registry => None,
            Self::Name(RegistryPrefix { namespace: None, .. }) => Some(repository),
            Self::Name(RegistryPrefix { namespace: Some(namespace), .. }) => {
                let rest = repository.strip_prefix(namespace.as_str())?;
                if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Subdomains(end) => end.len() + 1,
            Self::Name(place) => {
                place.registry.len() + place.namespace.as_ref().map_or(0, |name| name.len() + 1)
            }
        }
    }
}

impl RegistryPrefix {
    /// The repository there.
    fn repository(&self, rest: &str) -> String {
        match &self.namespace {
            Some(namespace) if rest.is_empty() => namespace.clone(),
            Some(namespace) => format!("{namespace}/{rest}"),
            None => rest.to_owned(),
        }
    }
}

impl RegistriesConf {
    /// Reads these files. An entry replaces one with the same prefix in an earlier file.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if one of them is wrong.
    pub(super) fn read(files: &[PathBuf]) -> Result<Self> {
        let mut all = Self::default();
        for path in files {
            match fs::read_to_string(path) {
                Ok(text) => all.add(&text, path)?,
                // Made for another user.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                Err(error) => {
                    return Err(Error::new(ErrorKind::InvalidInput, FILE_NAME)
                        .at(path.display().to_string())
                        .with_source(error));
                }
            }
        }
        Ok(all)
    }

    fn add(&mut self, text: &str, path: &Path) -> Result<()> {
        let file = TomlFile { what: FILE_NAME, path, text };
        let table: ConfTable = file.parse()?;
        if let Some(old) = table.registries {
            let reason = "`registries`: version 1 of the format is not supported";
            return Err(file.error_at(&old.span(), reason));
        }
        for registry in table.registry {
            let span = registry.span();
            let Some(entry) = entry(&file, &span, registry.into_inner())? else { continue };
            self.registries.retain(|other| other.file == path || other.prefix != entry.prefix);
            self.registries.push(entry);
        }
        Ok(())
    }

    /// The entry with the longest prefix of this name, and what follows the prefix.
    fn find<'a>(&self, registry: &str, repository: &'a str) -> Option<(&RegistryEntry, &'a str)> {
        let matching = self
            .registries
            .iter()
            .filter_map(|entry| entry.prefix.rest(registry, repository).map(|rest| (entry, rest)));
        // Of several with the same prefix the first, which `max_by_key` would return last.
        matching.rev().max_by_key(|(entry, _)| entry.prefix.len())
    }

    /// The hosts of a repository; `None` if nothing is said of it. `is_pinned` is whether it is read by digest.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if the registry is blocked.
    pub(super) fn hosts(
        &self,
        registry: &str,
        repository: &str,
        is_pinned: bool,
    ) -> Result<Option<ContentHosts>> {
        let Some((entry, rest)) = self.find(registry, repository) else { return Ok(None) };
        let error = |kind| {
            Error::new(kind, format!("{registry}/{repository}"))
                .at(entry.file.display().to_string())
        };
        if entry.blocked {
            return Err(error(ErrorKind::Denied).with_reason("the registry is blocked there"));
        }
        let host = |place: &RegistryPrefix, insecure, has_next| {
            let there = place.repository(rest);
            if !is_repository(&there) {
                let reason = format!("`{}` is a registry, not a repository", place.registry);
                return Err(error(ErrorKind::InvalidInput).with_reason(reason));
            }
            let is_other_host = place.registry != registry;
            let settings =
                HostSettings { insecure, is_other_host, has_next, ..HostSettings::default() };
            Ok(ContentHost {
                name: place.registry.clone(),
                api: None,
                repository: there,
                capabilities: Capabilities::ALL,
                settings,
            })
        };
        let is_used = |mirror: &&MirrorEntry| match mirror.names {
            PullFromMirror::All => true,
            PullFromMirror::DigestOnly => is_pinned,
            PullFromMirror::TagOnly => !is_pinned,
        };
        let mirrors = entry.mirrors.iter().filter(is_used);
        let mut push = ContentHost::registry(registry, repository);
        push.settings.insecure = entry.insecure;
        Ok(Some(ContentHosts {
            file: entry.file.clone(),
            mirrors: mirrors
                .map(|mirror| host(&mirror.location, mirror.insecure, true))
                .collect::<Result<_>>()?,
            registry: match &entry.location {
                Some(place) => host(place, entry.insecure, false)?,
                None => push.clone(),
            },
            push,
        }))
    }
}

/// Returns the entry; `None` for one of a single image, which is not supported.
fn entry(
    file: &TomlFile<'_>,
    span: &Range<usize>,
    table: RegistryTable,
) -> Result<Option<RegistryEntry>> {
    let location = table.location.as_ref().map(|text| parse_prefix(file, text)).transpose()?;
    let prefix = match (&table.prefix, &location) {
        (Some(text), _) if !text.get_ref().is_empty() => match text.get_ref().strip_prefix('*') {
            Some(end) if end.starts_with('.') && !end.contains(['/', '*']) && end.len() > 1 => {
                Prefix::Subdomains(end.to_owned())
            }
            Some(_) => {
                let reason = "`prefix`: expected a name, or `*.` and a domain";
                return Err(file.error_at(&text.span(), reason));
            }
            None if is_of_image(text.get_ref()) => {
                tracing::warn!(
                    "{}: the entry of the image `{}` is ignored; prefixes with a tag or digest are not supported",
                    file.path.display(),
                    crate::escape(text.get_ref())
                );
                return Ok(None);
            }
            None => Prefix::Name(parse_prefix(file, text)?),
        },
        (_, Some(location)) => Prefix::Name(location.clone()),
        (_, None) => {
            return Err(file.error_at(span, "`location`: missing, and there is no `prefix`"));
        }
    };
    if location.is_none() && matches!(prefix, Prefix::Name(_)) && !table.blocked {
        return Err(file.error_at(span, "`location`: missing"));
    }
    let mut mirrors = Vec::new();
    for mirror in table.mirror {
        let names = match mirror.pull_from_mirror {
            Some(names) if table.mirror_by_digest_only => {
                let reason =
                    "`pull-from-mirror`: cannot be set together with `mirror-by-digest-only`";
                return Err(file.error_at(&names.span(), reason));
            }
            Some(names) => names.into_inner(),
            None if table.mirror_by_digest_only => PullFromMirror::DigestOnly,
            None => PullFromMirror::All,
        };
        let location = parse_prefix(file, &mirror.location)?;
        mirrors.push(MirrorEntry { location, insecure: mirror.insecure, names });
    }
    let (insecure, blocked) = (table.insecure, table.blocked);
    let file = file.path.to_owned();
    Ok(Some(RegistryEntry { file, prefix, location, insecure, blocked, mirrors }))
}

/// Whether the prefix has a tag or digest.
fn is_of_image(prefix: &str) -> bool {
    let path = prefix.split_once('/').map_or("", |(_, path)| path);
    prefix.contains('@') || path.contains(':')
}

fn parse_prefix(file: &TomlFile<'_>, text: &Spanned<String>) -> Result<RegistryPrefix> {
    let invalid = |reason: &str| file.error_at(&text.span(), reason);
    let trimmed = text.get_ref().trim_end_matches('/');
    if trimmed.contains("://") {
        return Err(invalid("expected `host[:port][/namespace]` without a scheme"));
    }
    let parsed = registry_and_namespace(trimmed);
    let (registry, namespace) = parsed.map_err(|error| invalid(&error.chain()))?;
    Ok(RegistryPrefix { registry, namespace })
}

#[cfg(test)]
mod tests;
