//! A registry that a server fetches from, and where it is reached.

use std::fmt;
use std::sync::Arc;

use url::Url;

use super::super::name_table::LOCAL_REGISTRY;
use crate::error::{Error, ErrorKind, Result};
use crate::reference::{Reference, is_repository, registry_only};
use crate::registry::{Client, RegistryOptions, Repository};
use crate::retry::{RetryPolicy, Timeouts};

/// A registry that a server fetches from.
#[derive(Clone)]
pub struct Upstream {
    /// As references name it.
    pub(super) registry: String,
    /// Where it is asked: `registry[:port]`, and the path before the names of its repositories.
    location: String,
    client: Arc<Client>,
    pub(super) retry: RetryPolicy,
    pub(super) timeouts: Timeouts,
}

impl Upstream {
    /// The registry `NAME`, or `NAME=URL` for one that is reached at another address: `docker.io`,
    /// `docker.io=https://cache.example/hub`. A path in the URL goes before the names of repositories. Sends nothing.
    ///
    /// Credentials are those in `options` for the host of the URL, and go nowhere else.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is neither.
    pub fn new(text: &str, mut options: RegistryOptions) -> Result<Self> {
        let (name, url) =
            text.split_once('=').map_or((text, None), |(name, url)| (name, Some(url)));
        let registry = registry_only(name)?;
        if registry == LOCAL_REGISTRY {
            return Err(Error::new(ErrorKind::InvalidInput, "upstream")
                .at(name)
                .with_reason("names the images of the store itself; add its port"));
        }
        let mut location = registry.clone();
        if let Some(url) = url {
            let url = parse_url(url)?;
            options.plain_http = url.scheme() == "http";
            location = location_of(&url)?;
        }
        let (retry, timeouts) = (options.retry, options.timeouts);
        Ok(Self { registry, location, client: Arc::new(Client::new(options)), retry, timeouts })
    }

    /// The registry, as references name it.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    pub(super) fn repository(&self, name: &str) -> Result<Repository> {
        let reference: Reference = format!("{}/{name}", self.location).parse()?;
        self.client.repository(&reference)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upstream").field(&self.registry).field(&self.location).finish()
    }
}

fn parse_url(text: &str) -> Result<Url> {
    let invalid =
        |reason: &str| Error::new(ErrorKind::InvalidInput, "upstream").at(text).with_reason(reason);
    let url: Url = text.parse().map_err(|error: url::ParseError| invalid(&error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        // Not with its text, which has the password.
        return Err(Error::new(ErrorKind::InvalidInput, "upstream")
            .with_reason("a URL must not contain a user or password")
            .with_hint("log in with `rpull login HOST`"));
    }
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(invalid("expected http://HOST or https://HOST"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("a URL must not have a query or fragment"));
    }
    Ok(url)
}

/// Returns `host[:port][/path]`, without the `/v2` of the API.
fn location_of(url: &Url) -> Result<String> {
    let host = url.host_str().unwrap_or_default();
    // In references, a name without a dot is a host only with its port.
    let port = if host.contains(['.', ':']) { url.port() } else { url.port_or_known_default() };
    let host = match port {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let host = registry_only(&host)?;
    let path = url.path().trim_matches('/');
    let path = path
        .strip_prefix("v2")
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .unwrap_or(path);
    let path = path.trim_matches('/');
    if path.is_empty() {
        return Ok(host);
    }
    if !is_repository(path) {
        return Err(Error::new(ErrorKind::InvalidInput, "upstream")
            .at(url.as_str())
            .with_reason("its path cannot begin the name of a repository"));
    }
    Ok(format!("{host}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(text: &str) -> Result<String> {
        Upstream::new(text, RegistryOptions::default()).map(|upstream| format!("{upstream:?}"))
    }

    #[test]
    fn upstream_name_and_url_are_parsed() {
        for (text, expected) in [
            ("docker.io", r#"Upstream("docker.io", "docker.io")"#),
            ("index.docker.io", r#"Upstream("docker.io", "docker.io")"#),
            ("reg.example:5000", r#"Upstream("reg.example:5000", "reg.example:5000")"#),
            ("docker.io=http://127.0.0.1:5001", r#"Upstream("docker.io", "127.0.0.1:5001")"#),
            ("a.io=https://b.example/v2/", r#"Upstream("a.io", "b.example")"#),
            ("a.io=https://b.example/hub/x/", r#"Upstream("a.io", "b.example/hub/x")"#),
            ("a.io=https://b.example/v2/hub", r#"Upstream("a.io", "b.example/hub")"#),
            ("a.io=https://b.example/v2x", r#"Upstream("a.io", "b.example/v2x")"#),
            ("a.io=http://cache/hub", r#"Upstream("a.io", "cache:80/hub")"#),
            ("a.io=https://cache:443", r#"Upstream("a.io", "cache:443")"#),
        ] {
            assert_eq!(location(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn upstream_malformed_is_rejected_without_its_password() {
        for text in [
            "",
            "docker.io/library",
            "localhost",
            "docker.io=",
            "docker.io=127.0.0.1:5001",
            "docker.io=ftp://h.example",
            "docker.io=https://h.example/?a=b",
            "docker.io=https://h.example/A",
            "docker.io=https://user:hunter2@h.example",
        ] {
            let error = location(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
            assert!(!error.chain().contains("hunter2"), "{error}");
        }
    }
}
