//! Maps names of the layout to repositories with tags.
//!
//! `localhost/team/app:1` is tag `1` of `team/app`: images pushed here are stored under that registry, as podman names
//! local images. Images of other registries are served below their registry: `docker.io/library/alpine`,
//! `reg.local_5000/team/app`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::route::ManifestRef;
use crate::digest::Digest;
use crate::error::Result;
use crate::layout::{IndexEntry, IndexVersion, Layout};
use crate::reference::Reference;

/// Registry in the names of images that were pushed here.
pub(super) const LOCAL_REGISTRY: &str = "localhost";

/// Names of the layout by repository.
#[derive(Debug, Default)]
pub(super) struct NameTable {
    pub(super) repositories: BTreeMap<String, ServedRepository>,
    /// Number of names that are not valid as a repository with a tag or digest.
    pub(super) unservable: usize,
}

/// The named images of one repository.
#[derive(Debug, Default)]
pub(super) struct ServedRepository {
    pub(super) tags: BTreeMap<String, NamedManifest>,
    /// Manifests without a tag, pushed by digest.
    pub(super) untagged: Vec<NamedManifest>,
    /// Blobs that their documents reference, computed on the first request.
    pub(super) blobs: OnceCell<HashSet<Digest>>,
}

/// An image with its name in the layout.
#[derive(Debug)]
pub(super) struct NamedManifest {
    pub(super) name: String,
    pub(super) entry: IndexEntry,
}

impl NamedManifest {
    /// Whether this is the document of that digest, and not only stored as a referrer that is deleted with its subject.
    pub(super) fn is_standalone(&self, digest: &Digest) -> bool {
        self.entry.descriptor.digest == *digest && self.entry.attached_to().is_none()
    }
}

impl ServedRepository {
    pub(super) fn images(&self) -> impl Iterator<Item = &NamedManifest> {
        self.tags.values().chain(&self.untagged)
    }
}

impl NameTable {
    pub(super) fn from_entries(entries: Vec<IndexEntry>) -> Self {
        let mut names = Self::default();
        for entry in entries {
            let Some(name) = entry.names.first().cloned() else { continue };
            let Some((path, reference)) = parse_layout_name(&name) else {
                names.unservable += 1;
                continue;
            };
            let repository = names.repositories.entry(path).or_default();
            let image = NamedManifest { name, entry };
            match reference {
                // An image pushed here takes precedence over one of another registry with the same path.
                ManifestRef::Tag(tag) if image.name.starts_with("localhost/") => {
                    repository.tags.insert(tag, image);
                }
                ManifestRef::Tag(tag) => {
                    repository.tags.entry(tag).or_insert(image);
                }
                ManifestRef::Digest(_) => repository.untagged.push(image),
            }
        }
        names
    }
}

/// Returns the repository and the tag or digest of a name; `None` if no client could request it.
fn parse_layout_name(name: &str) -> Option<(String, ManifestRef)> {
    let reference: Reference = name.parse().ok()?;
    // Short names exist only in the layout.
    if reference.to_string() != name {
        return None;
    }
    let path = path_of(reference.registry(), reference.repository());
    let manifest = match (reference.tag(), reference.digest()) {
        (Some(tag), None) => ManifestRef::Tag(tag.to_owned()),
        (None, Some(digest)) => ManifestRef::Digest(digest.clone()),
        _ => return None,
    };
    crate::reference::is_repository(&path).then(|| (path.into_owned(), manifest))
}

/// Returns the path under which a registry's repository is served.
pub(super) fn path_of<'a>(registry: &str, repository: &'a str) -> Cow<'a, str> {
    match registry {
        LOCAL_REGISTRY => repository.into(),
        other => format!("{}/{repository}", other.replacen(':', "_", 1)).into(),
    }
}

/// Returns the layout's name for an image of this repository. If the path begins with a registry, so does the name.
pub(super) fn layout_name(repository: &str, manifest: &ManifestRef) -> String {
    let name_in = |path: &str| match manifest {
        ManifestRef::Tag(tag) => format!("{path}:{tag}"),
        ManifestRef::Digest(digest) => format!("{path}@{digest}"),
    };
    let name = path_with_registry(repository).map(|path| name_in(&path));
    // Not for `docker.io/alpine`: its full name is `docker.io/library/alpine`, which is served under another path.
    let name =
        name.filter(|name| parse_layout_name(name).is_some_and(|(path, _)| path == repository));
    name.unwrap_or_else(|| name_in(&format!("{LOCAL_REGISTRY}/{repository}")))
}

/// Returns the path with the registry that it begins with: `docker.io/library/alpine`, `reg.local:5000/team/app`. `None`
/// if it begins with none.
fn path_with_registry(repository: &str) -> Option<String> {
    let (host, path) = repository.split_once('/').filter(|(host, _)| host.contains('.'))?;
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match host.rsplit_once('_') {
        Some((host, port)) if is_port(port) => Some(format!("{host}:{port}/{path}")),
        _ => Some(repository.to_owned()),
    }
}

/// Cache of a layout's names. It is read again after a change.
#[derive(Debug, Default)]
pub(super) struct NameCache(Mutex<Option<(IndexVersion, Arc<NameTable>)>>);

impl NameCache {
    pub(super) fn get(&self, layout: &Layout) -> Result<Arc<NameTable>> {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Take the version first: a change during the read is then noticed by the next request.
        let version = layout.version()?;
        if let Some((cached_version, names)) = cached.as_ref()
            && *cached_version == version
        {
            return Ok(Arc::clone(names));
        }
        let names = Arc::new(NameTable::from_entries(layout.entries()?));
        *cached = Some((version, Arc::clone(&names)));
        Ok(names)
    }

    /// Discards the cache after a change by this process: two files written within a clock tick can have the same
    /// version.
    pub(super) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::digest::Digest;

    #[test]
    fn store_name_maps_to_repository_and_back() {
        let path = |name| parse_layout_name(name).map(|(path, _)| path);
        assert_eq!(path("localhost/team/app:1").as_deref(), Some("team/app"));
        assert_eq!(path("docker.io/library/alpine:3").as_deref(), Some("docker.io/library/alpine"));
        assert_eq!(path("reg.local:5000/a:1").as_deref(), Some("reg.local_5000/a"));
        for none in ["1.0", "alpine", "alpine:3", "[::1]:5000/a:1", "", "x y"] {
            assert_eq!(path(none), None, "{none}");
        }
        let tag = ManifestRef::Tag("1".into());
        assert_eq!(layout_name("team/app", &tag), "localhost/team/app:1");
        assert_eq!(layout_name("docker.io/library/a", &tag), "docker.io/library/a:1");
        assert_eq!(layout_name("a.b", &tag), "localhost/a.b:1");
        assert_eq!(layout_name("reg.local_5000/a", &tag), "reg.local:5000/a:1");
        assert_eq!(layout_name("docker.io/a", &tag), "localhost/docker.io/a:1");
    }

    #[track_caller]
    fn assert_found_again(repository: &str) {
        let digest = ManifestRef::Digest(Digest::sha256(b""));
        for named in [ManifestRef::Tag("1".into()), digest] {
            let back = parse_layout_name(&layout_name(repository, &named));
            assert_eq!(back, Some((repository.to_owned(), named)), "{repository}");
        }
    }

    #[test]
    fn pushed_repository_name_round_trips() {
        for repository in [
            "a.b",
            "a_5000/b",
            "localhost/x",
            "localhost/localhost/x",
            "docker.io/a",
            "index.docker.io/library/a",
            "reg.local_99999999/a",
            "reg.local_5000_6000/a",
            "my__app.io/x",
            "127.0.0.1_5000/x",
            &"f".repeat(64),
            &format!("a.b/{}", "c".repeat(251)),
        ] {
            assert_found_again(repository);
        }
    }

    proptest! {
        #[test]
        fn pushed_arbitrary_repository_name_round_trips(repository in "([a-z0-9]{1,3}([._]|__|-{1,2})){0,3}[a-z0-9]{1,5}(/[a-z0-9]{1,3}(_[0-9]{1,2})?){0,2}") {
            assert_found_again(&repository);
        }
    }
}
