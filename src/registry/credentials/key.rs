//! Matches keys of an auth file with a repository: exact host and port, never a part of a name.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::reference::docker_hub::{HUB_CREDENTIAL_KEY, HUB_HOSTS};

/// How an auth file is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AuthFileFormat {
    /// docker's and podman's `config.json` and `auth.json`.
    Current,
    /// `.dockercfg`: entries only, and no namespaces.
    Legacy,
}

/// The repository that a credential is looked up for.
pub(super) struct RepositoryKey<'a> {
    registry: &'a str,
    repository: &'a str,
}

impl<'a> RepositoryKey<'a> {
    pub(super) fn new(registry: &'a str, repository: &'a str) -> Self {
        Self { registry, repository }
    }

    /// The key for a store of all credentials, as `docker login` writes it.
    pub(super) fn server_key(&self) -> &'a str {
        if self.is_hub() { HUB_CREDENTIAL_KEY } else { self.registry }
    }

    /// The key that a login stores its credential under: that of the namespace, if given.
    pub(super) fn own_key(&self) -> Cow<'a, str> {
        if self.repository.is_empty() {
            self.server_key().into()
        } else {
            format!("{}/{}", self.registry, self.repository).into()
        }
    }

    /// Whether `key` is a namespace and nearer to the repository than `other`.
    pub(super) fn is_nearer(&self, key: &str, other: &str) -> bool {
        let is_own = |key: &str| self.namespaces().any(|own| own == key);
        let is_namespace = is_own(key) && key.len() > self.registry.len();
        is_namespace && (!is_own(other) || key.len() > other.len())
    }

    /// Whether it covers less than the whole registry.
    pub(super) fn is_namespace(&self) -> bool {
        !self.repository.is_empty()
    }

    /// The entry whose key matches the repository best.
    ///
    /// `docker.io` precedes docker's own key for it, as in podman, because its namespaces precede both. In a legacy file,
    /// a path after the host is ignored: it is from before namespaces.
    pub(super) fn best_match<'m, V>(
        &self,
        map: &'m BTreeMap<String, V>,
        format: AuthFileFormat,
    ) -> Option<(&'m str, &'m V)> {
        let exact = |key: &str| map.get_key_value(key).map(|(key, value)| (key.as_str(), value));
        let nearest = self.namespaces().find_map(|key| exact(&key));
        let hub = || self.is_hub().then(|| exact(HUB_CREDENTIAL_KEY)).flatten();
        nearest.or_else(hub).or_else(|| {
            // Other spellings of the host. Among several, https and then the shortest wins.
            let same = map.iter().filter(|(key, _)| {
                host_of(key, format).is_some_and(|host| is_same(&host, self.registry))
            });
            same.min_by_key(|(key, _)| (!key.starts_with("https://"), key.len()))
                .map(|(key, value)| (key.as_str(), value))
        })
    }

    /// `host/a/b`, `host/a`, `host`.
    fn namespaces(&self) -> impl Iterator<Item = String> {
        let whole = format!("{}/{}", self.registry, self.repository);
        let whole = whole.trim_end_matches('/').to_owned();
        let stop = self.registry.len();
        std::iter::successors(Some(whole), move |key| {
            let (above, _) = key.rsplit_once('/')?;
            (above.len() >= stop).then(|| above.to_owned())
        })
    }

    fn is_hub(&self) -> bool {
        HUB_HOSTS.iter().any(|hub| self.registry.eq_ignore_ascii_case(hub))
    }
}

/// The host and port of a key; `None` if the key is a namespace.
///
/// A path in a URL is an API's (`https://h/v2/`), after a bare host it is a namespace (podman's rule; docker would use
/// `h/team` for all of `h`).
fn host_of(key: &str, format: AuthFileFormat) -> Option<String> {
    let (is_url, rest) = match key.split_once("://") {
        Some((_, rest)) => (true, rest),
        None => (false, key.trim_end_matches('/')),
    };
    let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
    let has_namespaces = format == AuthFileFormat::Current;
    (is_url || !has_namespaces || path.is_none()).then(|| host.to_ascii_lowercase())
}

fn is_same(host: &str, registry: &str) -> bool {
    let of_hub = |host: &str| HUB_HOSTS.iter().any(|hub| host.eq_ignore_ascii_case(hub));
    host.eq_ignore_ascii_case(registry) || (of_hub(host) && of_hub(registry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(keys: &[&str], registry: &str, repository: &str) -> Option<String> {
        let map: BTreeMap<String, u8> = keys.iter().map(|key| ((*key).to_owned(), 0)).collect();
        let repository = RepositoryKey::new(registry, repository);
        repository.best_match(&map, AuthFileFormat::Current).map(|(key, _)| key.to_owned())
    }

    #[test]
    fn key_longest_namespace_wins() {
        let keys =
            ["docker.io", "docker.io/library", "docker.io/library/busybox", "docker.io/vendor"];
        for (repository, key) in [
            ("library/busybox", "docker.io/library/busybox"),
            ("library/alpine", "docker.io/library"),
            ("library/busybox2", "docker.io/library"),
            ("vendor/a/b", "docker.io/vendor"),
            ("vendors/a", "docker.io"),
        ] {
            assert_eq!(
                chosen(&keys, "docker.io", repository).as_deref(),
                Some(key),
                "{repository}"
            );
        }
        assert_eq!(chosen(&["h.example/team"], "h.example", "other/team"), None);
        assert_eq!(chosen(&["library"], "docker.io", "library/alpine"), None);
    }

    #[test]
    fn key_docker_hub_aliases_match() {
        for key in [
            HUB_CREDENTIAL_KEY,
            "docker.io",
            "index.docker.io",
            "registry-1.docker.io",
            "https://index.docker.io/v1",
            "https://registry-1.docker.io/v2/",
        ] {
            assert_eq!(chosen(&[key], "docker.io", "library/alpine").as_deref(), Some(key));
        }
        assert_eq!(chosen(&["https://auth.docker.io/"], "docker.io", "a/b"), None);
        let both = [HUB_CREDENTIAL_KEY, "https://index.docker.io/v1/access-token"];
        assert_eq!(chosen(&both, "docker.io", "a/b").as_deref(), Some(HUB_CREDENTIAL_KEY));
    }

    #[test]
    fn key_matches_exact_host_only() {
        for key in [
            "example.com",
            "https://example.com",
            "http://example.com/",
            "https://example.com/v2/",
            "example.com/",
            "EXAMPLE.com",
        ] {
            assert_eq!(chosen(&[key], "example.com", "a").as_deref(), Some(key));
        }
        for key in [
            "example.com.evil",
            "evil-example.com",
            "sub.example.com",
            "example.co",
            "example.com:443",
            "example.com:5000",
            "https://user@example.com",
            "https://evil/example.com",
            "",
            "*",
        ] {
            assert_eq!(chosen(&[key], "example.com", "a"), None, "{key}");
        }
        let ports = ["example.com:5000", "example.com"];
        assert_eq!(chosen(&ports, "example.com:5000", "a").as_deref(), Some("example.com:5000"));
        let schemes = ["http://example.com", "https://example.com"];
        assert_eq!(chosen(&schemes, "example.com", "").as_deref(), Some("https://example.com"));
    }
}
