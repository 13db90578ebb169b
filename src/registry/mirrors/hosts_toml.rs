//! containerd's `hosts.toml`: the hosts of one registry, in a directory of its own. Spec: containerd `docs/hosts.md`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{fs, io};

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use toml::Spanned;

use super::host::{Capabilities, ContentHost, ContentHosts};
use crate::error::{Error, ErrorKind, Result};
use crate::reference::docker_hub::{HUB, HUB_HOSTS};
use crate::registry::http::certs_dir::HostCerts;
use crate::registry::http::host_settings::HostSettings;
use crate::registry::http::origin::Origin;
use crate::toml_file::TomlFile;

const FILE_NAME: &str = "hosts.toml";

/// The directory for registries without one of their own.
const DEFAULT_DIR: &str = "_default";

/// The file itself, whose own settings are those of `server`, or one of its hosts, which have neither `server` nor `host`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct HostTable {
    server: Option<Spanned<String>>,
    host: BTreeMap<Spanned<String>, HostTable>,
    capabilities: Option<Vec<Capability>>,
    ca: Option<OneOrMore>,
    client: Option<ClientFiles>,
    skip_verify: bool,
    header: BTreeMap<Spanned<String>, OneOrMore>,
    override_path: bool,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Capability {
    Pull,
    Resolve,
    Push,
    Referrers,
}

#[derive(Clone, Deserialize)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(all) => all,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a file, a list of files, or a list of pairs of files")]
enum ClientFiles {
    One(String),
    Files(Vec<String>),
    Pairs(Vec<Vec<String>>),
}

impl ClientFiles {
    /// The first certificate and its key. The key of a file without one of its own is in it.
    fn first(&self) -> Option<(&str, &str)> {
        let (cert, key) = match self {
            Self::One(file) => (file, None),
            Self::Files(files) => (files.first()?, None),
            Self::Pairs(pairs) => (pairs.first()?.first()?, pairs.first()?.get(1)),
        };
        Some((cert, key.filter(|key| !key.is_empty()).unwrap_or(cert)))
    }
}

/// The hosts of one registry.
#[derive(Debug)]
pub(super) struct HostsFile {
    path: PathBuf,
    mirrors: Vec<HostEntry>,
    /// The registry itself.
    server: HostEntry,
}

#[derive(Debug)]
struct HostEntry {
    /// The host and the URL of its API; `None` for the registry as named.
    at: Option<(String, Url)>,
    /// Comes before the names of repositories.
    prefix: String,
    capabilities: Capabilities,
    settings: HostSettings,
}

impl HostsFile {
    /// Reads the file of a registry in a directory with one directory for each; `None` if there is no directory for it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the file is wrong.
    pub(super) fn find(dir: &Path, registry: &str) -> Result<Option<Self>> {
        // A single plain path component cannot escape the directory.
        if registry.contains(['/', '\\', '\0']) || registry.starts_with('.') {
            return Ok(None);
        }
        for name in directory_names(registry) {
            let own = dir.join(name);
            if !own.is_dir() {
                continue;
            }
            let path = own.join(FILE_NAME);
            return match fs::read_to_string(&path) {
                Ok(text) if !text.trim().is_empty() => Self::parse(&text, &path).map(Some),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(Error::new(ErrorKind::InvalidInput, FILE_NAME)
                        .at(path.display().to_string())
                        .with_source(error))
                }
                // Docker's layout: certificates only.
                _ => Ok(HostCerts::in_dir(&own)?.map(|certs| Self::with_certs(own, certs))),
            };
        }
        Ok(None)
    }

    fn with_certs(path: PathBuf, certs: HostCerts) -> Self {
        let settings = HostSettings { certs: Some(certs), ..HostSettings::default() };
        let capabilities = Capabilities::ALL;
        let server = HostEntry { at: None, prefix: String::new(), capabilities, settings };
        Self { path, mirrors: Vec::new(), server }
    }

    fn parse(text: &str, path: &Path) -> Result<Self> {
        let file = TomlFile { what: FILE_NAME, path, text };
        let table: HostTable = file.parse()?;
        let mut hosts: Vec<_> = table.host.iter().collect();
        // The order in the file is the order in which they are asked.
        hosts.sort_by_key(|(url, _)| url.span().start);
        let mirrors = hosts.into_iter().map(|(url, settings)| entry(&file, Some(url), settings));
        Ok(Self {
            path: path.to_owned(),
            mirrors: mirrors.collect::<Result<_>>()?,
            server: entry(&file, table.server.as_ref(), &table)?,
        })
    }

    /// The hosts of a repository.
    pub(super) fn hosts(&self, registry: &str, repository: &str) -> ContentHosts {
        let host = |entry: &HostEntry, has_next: bool| {
            let (name, api) = match &entry.at {
                Some((name, url)) => (name.clone(), Some(url.clone())),
                None => (registry.to_owned(), None),
            };
            let is_other_host = name != registry;
            ContentHost {
                api,
                repository: format!("{}{repository}", entry.prefix),
                capabilities: entry.capabilities,
                settings: HostSettings {
                    namespace: is_other_host.then(|| registry.to_owned()),
                    is_other_host,
                    has_next,
                    ..entry.settings.clone()
                },
                name,
            }
        };
        let server = host(&self.server, false);
        ContentHosts {
            file: self.path.clone(),
            mirrors: self.mirrors.iter().map(|entry| host(entry, true)).collect(),
            push: server.clone(),
            registry: server,
        }
    }
}

/// The names that the directory of a registry may have, in order of precedence.
fn directory_names(registry: &str) -> Vec<String> {
    let (own, default) = (registry.to_owned(), DEFAULT_DIR.to_owned());
    match registry.rsplit_once(':') {
        Some((host, port)) => vec![format!("{host}_{port}_"), own, default],
        None => vec![own, default],
    }
}

fn entry(
    file: &TomlFile<'_>,
    url: Option<&Spanned<String>>,
    table: &HostTable,
) -> Result<HostEntry> {
    let (at, prefix) = match url {
        Some(url) => {
            let (api, prefix) = parse_url(url.get_ref(), table.override_path)
                .map_err(|reason| file.error_at(&url.span(), &reason))?;
            let origin = Origin::from_url(&api)?;
            let name = origin.authority();
            let is_hub = HUB_HOSTS.contains(&name.as_str());
            (Some((if is_hub { HUB.to_owned() } else { name }, api)), prefix)
        }
        None => (None, String::new()),
    };
    // Paths in the file are relative to its directory.
    let near = |name: &String| file.path.with_file_name(name);
    let ca = table.ca.iter().flat_map(OneOrMore::all).map(near).collect::<Vec<_>>();
    let client = table.client.as_ref().and_then(ClientFiles::first);
    let client = client.map(|(cert, key)| (near(&cert.to_owned()), near(&key.to_owned())));
    let certs = (!ca.is_empty() || client.is_some()).then_some(HostCerts { ca, client });
    let has = |one| table.capabilities.as_ref().is_none_or(|listed| listed.contains(&one));
    Ok(HostEntry {
        at,
        prefix,
        capabilities: Capabilities {
            pull: has(Capability::Pull),
            resolve: has(Capability::Resolve),
            referrers: has(Capability::Referrers),
        },
        settings: HostSettings {
            certs,
            insecure: table.skip_verify,
            headers: headers(file, &table.header)?,
            ..HostSettings::default()
        },
    })
}

/// Returns the URL of the API, and what comes before the names of repositories.
fn parse_url(text: &str, is_api: bool) -> Result<(Url, String), String> {
    let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let mut url = Url::parse(&full).map_err(|error| format!("not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("expected an http or https URL with a host".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL must not contain a user or password".to_owned());
    }
    url.set_query(None);
    url.set_fragment(None);
    let segments = url.path_segments().into_iter().flatten().filter(|segment| !segment.is_empty());
    let mut path: Vec<String> = segments.map(str::to_owned).collect();
    let mut prefix = String::new();
    if !is_api && path.last().is_none_or(|last| last != "v2") {
        path.push("v2".to_owned());
    } else if is_api && path.first().is_some_and(|first| first == "v2") {
        // What follows is a part of the repositories' names, which tokens are requested for.
        prefix = with_slashes(&path.split_off(1));
    }
    url.set_path(&with_slashes(&path));
    Ok((url, prefix))
}

/// `a/b/`
fn with_slashes(segments: &[String]) -> String {
    segments.iter().flat_map(|segment| [segment.as_str(), "/"]).collect()
}

fn headers(file: &TomlFile<'_>, table: &BTreeMap<Spanned<String>, OneOrMore>) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, values) in table {
        let invalid = |span: Range<usize>, what: &str| {
            file.error_at(&span, &format!("`{}`: not {what}", name.get_ref()))
        };
        let header = HeaderName::from_bytes(name.get_ref().as_bytes())
            .map_err(|_| invalid(name.span(), "the name of a header"))?;
        for value in values.all() {
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| invalid(name.span(), "the value of a header"))?;
            // It may be a token.
            value.set_sensitive(true);
            headers.append(&header, value);
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests;
