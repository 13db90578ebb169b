//! The hosts that are asked for the content of a registry, as a file of another tool describes them.

use std::path::PathBuf;

use reqwest::Url;

use crate::registry::http::host_settings::HostSettings;

/// What a mirror may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) struct Capabilities {
    /// Content by digest.
    pub(in crate::registry) pull: bool,
    /// Manifests by tag.
    pub(in crate::registry) resolve: bool,
    /// Lists of referrers.
    pub(in crate::registry) referrers: bool,
}

impl Capabilities {
    pub(in crate::registry) const ALL: Self = Self { pull: true, resolve: true, referrers: true };
}

/// A host, and the name that a repository has there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registry) struct ContentHost {
    /// As in references: `mirror.example:5000`, or `docker.io`.
    pub(in crate::registry) name: String,
    /// The URL of its API with a slash at its end; `None` for that of a registry with this name.
    pub(in crate::registry) api: Option<Url>,
    pub(in crate::registry) repository: String,
    pub(in crate::registry) capabilities: Capabilities,
    pub(in crate::registry) settings: HostSettings,
}

impl ContentHost {
    /// The registry itself, without settings of its own.
    pub(in crate::registry) fn registry(name: &str, repository: &str) -> Self {
        Self {
            name: name.to_owned(),
            api: None,
            repository: repository.to_owned(),
            capabilities: Capabilities::ALL,
            settings: HostSettings::default(),
        }
    }
}

/// The hosts of one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registry) struct ContentHosts {
    /// The file that lists them; empty if no file does.
    pub(in crate::registry) file: PathBuf,
    /// In the order in which they are asked.
    pub(in crate::registry) mirrors: Vec<ContentHost>,
    /// Asked when no mirror answers, and for everything that mirrors are not asked for.
    pub(in crate::registry) registry: ContentHost,
    /// Where pushes and deletions go.
    pub(in crate::registry) push: ContentHost,
}

impl ContentHosts {
    /// The registry alone.
    pub(in crate::registry) fn registry_only(registry: &str, repository: &str) -> Self {
        let registry = ContentHost::registry(registry, repository);
        Self { file: PathBuf::new(), mirrors: Vec::new(), push: registry.clone(), registry }
    }
}
