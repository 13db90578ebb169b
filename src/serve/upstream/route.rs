//! Decides which registry a request is for.

use hyper::StatusCode;

use super::super::name_table::{NameTable, path_of};
use super::super::response::ApiError;
use super::PullThrough;
use super::registry::Upstream;
use crate::reference::{Reference, registry_only};
use crate::registry::Repository;

/// A repository of an upstream.
#[derive(Clone, Debug)]
pub(in crate::serve) struct UpstreamRepository {
    /// The registry, as references name it.
    pub(super) registry: String,
    /// The path under which the repository is served, with its registry: `docker.io/library/alpine`.
    pub(in crate::serve) path: String,
    pub(super) source: Repository,
    pub(super) upstream: Upstream,
}

impl PullThrough {
    /// Returns the repository that a request is for: of the registry in `ns`, else of the one that the path begins with, else of
    /// the first one. `None` if it is one of the store, which is no upstream's.
    ///
    /// # Errors
    /// The response for an `ns` that is no upstream.
    pub(in crate::serve) fn route(
        &self,
        ns: Option<&str>,
        path: &str,
        names: &NameTable,
    ) -> Result<Option<UpstreamRepository>, ApiError> {
        if let Some(ns) = ns {
            let registry = registry_only(ns).ok();
            let is_meant = |own: &&Upstream| Some(&own.registry) == registry.as_ref();
            let upstream = self.upstreams.iter().find(is_meant).ok_or_else(|| {
                let reason = "the registry in `ns` is no upstream of this server";
                ApiError::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", reason)
            })?;
            return open(upstream, path).map(Some);
        }
        let begins = |own: &Upstream| {
            let name = path.strip_prefix(&*path_of(&own.registry, ""))?;
            Some((own.clone(), name.to_owned()))
        };
        if let Some((upstream, name)) = self.upstreams.iter().find_map(begins) {
            return open(&upstream, &name).map(Some);
        }
        if names.repositories.contains_key(path) {
            return Ok(None);
        }
        self.upstreams.first().map(|first| open(first, path)).transpose()
    }
}

fn open(upstream: &Upstream, name: &str) -> Result<UpstreamRepository, ApiError> {
    let invalid = |_| {
        let reason = format!("not a repository of {}", upstream.registry);
        ApiError::new(StatusCode::NOT_FOUND, "NAME_INVALID", reason)
    };
    let named: Reference = format!("{}/{name}", upstream.registry).parse().map_err(invalid)?;
    Ok(UpstreamRepository {
        registry: upstream.registry.clone(),
        path: path_of(&upstream.registry, named.repository()).into_owned(),
        source: upstream.repository(named.repository()).map_err(invalid)?,
        upstream: upstream.clone(),
    })
}
