//! Lists the tags of a repository, and the repositories of a registry. Spec: distribution-spec "Listing Tags"; the
//! catalog is distribution's own.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use serde::Deserialize;

use super::pages::{PAGE_SIZE, Paginator};
use super::scope::ScopeSet;
use super::{Client, Repository};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::limits::MAX_NAME_BYTES;
use crate::reference::docker_hub::HUB;
use crate::reference::is_tag;
use crate::registry::http::counter::{RequestCounter, RequestKind};
use crate::registry::http::request::Request;

/// Registries that respond to a catalog request with a permission error.
const REGISTRIES_WITHOUT_CATALOG: [&str; 3] = [HUB, "ghcr.io", "registry.gitlab.com"];

#[derive(Deserialize)]
struct TagPage {
    /// `null` past the last page (GHCR), and its items `null` or "" (sonatype Nexus: containers/skopeo#2409).
    #[serde(alias = "repositories")]
    tags: Option<Vec<Option<String>>>,
}

impl Repository {
    /// All tags without duplicates, in the registry's order. One request per page.
    pub async fn tags(&self) -> Result<Vec<String>> {
        let what = format!("tags of {}", self.name);
        let url = self.transport.http.url(&format!("{}/tags/list?{PAGE_SIZE}", self.name))?;
        let request = self.get(RequestKind::Other, url, &what);
        // Artifactory lists digests among the tags (containers/skopeo#2346).
        collect(Paginator::new(&self.transport, request), is_tag).await
    }
}

impl Client {
    /// All repositories of a registry without duplicates, in the registry's order.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the registry has no catalog.
    pub async fn catalog(&self, registry: &str) -> Result<Vec<String>> {
        let transport = self.transport(registry)?;
        let url = transport.http.url(&format!("_catalog?{PAGE_SIZE}"))?;
        let (scopes, counter) = (ScopeSet::catalog(), RequestCounter::default());
        let request = Request::get(RequestKind::Other, url, &scopes, "catalog", &counter);
        let listed = collect(Paginator::new(&transport, request), |name| !name.is_empty()).await;
        listed.map_err(|error| {
            let has_none = match error.status() {
                Some(404 | 405 | 501) => true,
                Some(401 | 403) => REGISTRIES_WITHOUT_CATALOG.contains(&registry),
                _ => false,
            };
            if !has_none {
                let refused = matches!(error.status(), Some(401 | 403));
                return if refused {
                    error.with_detail(ErrorDetail::CatalogUnsupported)
                } else {
                    error
                };
            }
            Error::new(ErrorKind::Unsupported, "catalog").at(registry).with_reason(format!(
                "this registry does not support listing repositories ({})",
                error.reason()
            ))
        })
    }
}

async fn collect(
    mut pages: Paginator<'_>,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<String>> {
    let mut names = Names::default();
    while let Some(page) = pages.next().await? {
        let before = names.entries.len();
        for entry in page.read::<TagPage>()?.tags.unwrap_or_default().into_iter().flatten() {
            if entry.len() > MAX_NAME_BYTES {
                let reason =
                    format!("has a name of {} bytes, more than {MAX_NAME_BYTES}", entry.len());
                return Err(pages.too_many_pages(&reason));
            }
            let length = entry.len();
            if is_wanted(&entry) && names.add(entry) {
                pages.entry(length)?;
            }
        }
        pages.page(names.entries.len() - before)?;
    }
    Ok(names.entries)
}

/// Names in order of arrival, each stored once: a list may have millions.
#[derive(Default)]
struct Names {
    entries: Vec<String>,
    /// Index by hash of the name. On a collision only the earlier name is deduplicated.
    at: HashMap<u64, usize>,
    hasher: RandomState,
}

impl Names {
    /// Adds a name. Returns whether it is new.
    fn add(&mut self, name: String) -> bool {
        let at = *self.at.entry(self.hasher.hash_one(&name)).or_insert(self.entries.len());
        if self.entries.get(at) == Some(&name) {
            return false;
        }
        self.entries.push(name);
        true
    }
}
