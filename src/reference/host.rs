//! Parses a registry as users name it where no repository matters: `ghcr.io`, `localhost:5000`,
//! `https://h.example/v2/`.

use super::docker_hub::{HUB, HUB_HOSTS};
use super::grammar::{check_host, check_path};
use crate::error::{Error, ErrorKind, Result};

/// Parses a registry and returns its name as in references: `docker.io` for any of Docker Hub's hosts.
///
/// # Errors
/// [`ErrorKind::InvalidInput`], also for a repository: an operation on a registry affects all of them.
pub fn registry_only(text: &str) -> Result<String> {
    // The text before it may be a password.
    let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
    let invalid = |reason: String| {
        Error::new(ErrorKind::InvalidInput, format!("registry `{shown}`")).with_reason(reason)
    };
    if shown.len() < text.len() {
        return Err(invalid("a user name and password cannot be part of a name".to_owned()));
    }
    let (is_url, rest) = match text.split_once("://") {
        Some(("http" | "https", rest)) => (true, rest),
        Some((scheme, _)) => return Err(invalid(format!("unsupported scheme `{scheme}://`"))),
        None => (false, text),
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let is_api = is_url && matches!(path.trim_end_matches('/'), "v1" | "v2");
    if !path.is_empty() && !is_api {
        return Err(invalid(format!("expected a registry only: `{host}`")));
    }
    if HUB_HOSTS.contains(&host) {
        return Ok(HUB.to_owned());
    }
    if host.is_empty() {
        return Err(invalid("missing host".to_owned()));
    }
    check_host(host).map_err(invalid)?;
    if host != "localhost" && !host.contains(['.', ':']) {
        return Err(invalid("not a registry host".to_owned())
            .with_hint(format!("add a port or a domain, e.g. `{host}:5000`")));
    }
    Ok(host.to_owned())
}

/// Parses a registry, with an optional namespace or repository in it: `quay.io/team`.
///
/// # Errors
/// [`ErrorKind::InvalidInput`], also for a tag or digest.
pub fn registry_and_namespace(text: &str) -> Result<(String, Option<String>)> {
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    if text.contains("://") || text.contains('@') || path.trim_end_matches('/').is_empty() {
        return Ok((registry_only(text)?, None));
    }
    let registry = registry_only(host)?;
    let namespace = path.trim_end_matches('/');
    check_path(namespace).map_err(|reason| {
        Error::new(ErrorKind::InvalidInput, format!("namespace `{text}`")).with_reason(reason)
    })?;
    Ok((registry, Some(namespace.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registry_host_is_parsed_and_others_rejected() {
        for (text, registry) in [
            ("ghcr.io", "ghcr.io"),
            ("localhost", "localhost"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("[::1]:5000", "[::1]:5000"),
            ("https://h.example/", "h.example"),
            ("http://h.example:80/v2/", "h.example:80"),
            ("docker.io", "docker.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("registry-1.docker.io", "docker.io"),
        ] {
            assert_eq!(registry_only(text).unwrap(), registry, "{text}");
        }
        for (bad, reason) in [
            ("ghcr.io/org", "a registry only: `ghcr.io`"),
            ("https://h.example/v2/app", "a registry only"),
            ("h.example/v2", "a registry only"),
            ("docker://h.example", "`docker://`"),
            ("alpine", "not a registry host"),
            ("h.example:port", "port"),
            ("h.example\n", "host"),
            ("a b", "invalid host"),
            ("", "missing host"),
            ("https://", "missing host"),
        ] {
            let error = registry_only(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad}");
            assert!(error.to_string().contains(reason), "{bad}: {error}");
        }
        for secret in ["https://user:canary@h.example/", "user:canary@h.example", "canary@"] {
            for error in
                [registry_only(secret).unwrap_err(), registry_and_namespace(secret).unwrap_err()]
            {
                assert!(!error.to_string().contains("canary"), "{error}");
            }
        }
    }

    #[test]
    fn registry_namespace_is_parsed() {
        let read = |text: &str| {
            let (registry, namespace) = registry_and_namespace(text)?;
            Ok::<_, Error>(format!("{registry} {}", namespace.unwrap_or_default()))
        };
        for (text, found) in [
            ("quay.io/team", "quay.io team"),
            ("quay.io/team/app/", "quay.io team/app"),
            ("localhost:5000/a", "localhost:5000 a"),
            ("docker.io/team", "docker.io team"),
            ("quay.io/", "quay.io "),
            ("https://index.docker.io/v1/", "docker.io "),
        ] {
            assert_eq!(read(text).unwrap(), found, "{text}");
        }
        for bad in ["quay.io/Team", "quay.io/a//b", "quay.io/a:1", "team/app", "https://q.io/team"]
        {
            assert_eq!(read(bad).unwrap_err().kind(), ErrorKind::InvalidInput, "{bad}");
        }
    }
}
