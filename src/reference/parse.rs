//! Parses references as users write them, with a reason for each error.

use std::str::FromStr;

use super::docker_hub::{HUB, OFFICIAL_NAMESPACE, OLD_HUB};
use super::grammar::{check_host, check_path, check_tag};
use super::{DEFAULT_TAG, Reference};
use crate::digest::{Digest, DigestError, registered_algorithm};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};

/// Why a text is not a valid reference.
#[derive(Debug, PartialEq, Eq)]
struct Invalid {
    reason: String,
    /// The text to use instead, if it is known.
    hint: Option<String>,
}

impl<T: Into<String>> From<T> for Invalid {
    fn from(reason: T) -> Self {
        Self { reason: reason.into(), hint: None }
    }
}

fn invalid(reason: impl Into<String>, hint: String) -> Invalid {
    Invalid { reason: reason.into(), hint: Some(hint) }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut reference =
            parse(text).map_err(|cause| invalid_reference("reference", text, cause))?;
        if reference.tag.is_none() && reference.digest.is_none() {
            reference.tag = Some(DEFAULT_TAG.to_owned());
        }
        Ok(reference)
    }
}

impl Reference {
    /// Parses the name of a repository: a reference without tag and digest, and without the default tag.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`], also for a tag or digest, which must not be ignored silently.
    pub fn repository_only(text: &str) -> Result<Self> {
        let invalid = |cause: Invalid| invalid_reference("repository", text, cause);
        let reference = parse(text).map_err(invalid)?;
        if is_host_with_port(text) {
            return Err(invalid(Invalid {
                reason: "is a registry, expected a repository in it".to_owned(),
                hint: Some(format!(
                    "write `{text}/NAME`; `rpull catalog {text}` lists the repositories"
                )),
            }));
        }
        let extra = match (&reference.tag, &reference.digest) {
            (None, None) => return Ok(reference),
            (Some(tag), _) => format!("tag `{tag}`"),
            (None, Some(_)) => "digest".to_owned(),
        };
        let name = text.split('@').next().unwrap_or_default();
        let bare = match &reference.tag {
            Some(tag) => name.strip_suffix(&format!(":{tag}")).unwrap_or(name),
            None => name,
        };
        Err(invalid(format!("expected a repository without the {extra}: `{bare}`").into()))
    }
}

/// Whether it is the address of a registry, which would be a repository on Docker Hub and its tag.
fn is_host_with_port(text: &str) -> bool {
    text.split_once(':').is_some_and(|(host, port)| {
        (host == "localhost" || host.contains('.')) && port.parse::<u16>().is_ok()
    })
}

/// Returns the error for this text, without any user and password in it.
fn invalid_reference(what: &str, text: &str, cause: Invalid) -> Error {
    let without = without_user(text);
    let shown = without.as_deref().unwrap_or(text);
    let matter = without.is_some().then_some(ErrorDetail::CredentialInReference);
    let error = Error::new(ErrorKind::InvalidInput, format!("{what} `{shown}`"))
        .with_reason(cause.reason)
        .with_detail(matter);
    match cause.hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// Parses a reference without adding a default tag.
fn parse(text: &str) -> Result<Reference, Invalid> {
    if text.is_empty() {
        return Err("empty, expected a name such as alpine:3.14".into());
    }
    if without_user(text).is_some() {
        return Err("a user name and password cannot be part of a name".into());
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let reason = format!("a reference has no `{scheme}://`");
        return Err(invalid(reason, format!("write `{rest}`")));
    }
    if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(invalid(
            "64 hex digits are an image ID, not a name",
            format!("write a digest as `NAME@sha256:{text}`"),
        ));
    }
    if is_digest_alone(text) {
        return Err(invalid("missing name before the digest", format!("write `NAME@{text}`")));
    }
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(parse_digest(digest)?)),
        None => (text, None),
    };
    let (registry, rest) = split_host(name)?;
    let (path, tag) = match rest.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (rest, None),
    };
    let official = registry == HUB && !path.is_empty() && !path.contains('/');
    let repository =
        if official { format!("{OFFICIAL_NAMESPACE}/{path}") } else { path.to_owned() };
    check_path(&repository)?;
    tag.map_or(Ok(()), check_tag)?;
    Ok(Reference { registry: registry.to_owned(), repository, tag: tag.map(str::to_owned), digest })
}

/// Returns the text without the user of a URL, if it has one: errors must not show the password.
fn without_user(text: &str) -> Option<String> {
    // The part after the @ of a digest contains no slash.
    let slash = text.rfind('/')?;
    let (scheme, rest) = text.split_at(text.find("://").map_or(0, |at| at + 3));
    let at = text.get(..slash)?.rfind('@').filter(|at| *at >= scheme.len())?;
    rest.get(at - scheme.len()..).map(|rest| format!("{scheme}***{rest}"))
}

/// Splits off the registry. The part before the first slash is a host only if it looks like one.
fn split_host(name: &str) -> Result<(&str, &str), String> {
    let Some((first, rest)) = name.split_once('/') else {
        if name.starts_with('[') {
            return Err("missing repository after the registry".to_owned());
        }
        return Ok((HUB, name));
    };
    match first {
        HUB | OLD_HUB => Ok((HUB, rest)),
        "localhost" => Ok((first, rest)),
        _ if first.contains(['.', ':']) || first.chars().any(char::is_uppercase) => {
            check_host(first).map_err(|reason| format!("host `{first}`: {reason}"))?;
            Ok((first, rest))
        }
        _ => Ok((HUB, name)),
    }
}

/// Whether the text is only a digest. It would parse as a tag of a repository named like the algorithm.
fn is_digest_alone(text: &str) -> bool {
    let algorithm = text.split(':').next().and_then(registered_algorithm);
    algorithm.is_some() && text.parse::<Digest>().is_ok()
}

fn parse_digest(text: &str) -> Result<Digest, String> {
    let digest: Digest = text
        .parse()
        .map_err(|error: DigestError| format!("digest `{text}`: {}", error.reason()))?;
    // Documents may contain other algorithms, but a request for one could only fail later.
    if registered_algorithm(digest.algorithm_name()).is_none() {
        return Err(format!("unknown digest algorithm `{}`", digest.algorithm_name()));
    }
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "8d1f24a6e3c95b70f1e2d3c4b5a697887766554433221100ffeeddccbbaa9900";

    fn canonical(text: &str) -> Result<String, String> {
        parse(text).map(|reference| reference.to_string()).map_err(|invalid| match invalid.hint {
            Some(hint) => format!("{}, {hint}", invalid.reason),
            None => invalid.reason,
        })
    }

    #[test]
    fn first_component_is_host_only_with_dot_or_port() {
        for (text, expected) in [
            ("alpine", "docker.io/library/alpine"),
            ("team/app", "docker.io/team/app"),
            ("a/b/c:1", "docker.io/a/b/c:1"),
            ("localhost", "docker.io/library/localhost"),
            ("localhost/app", "localhost/app"),
            ("registry:5000", "docker.io/library/registry:5000"),
            ("registry:5000/app:6000", "registry:5000/app:6000"),
            ("reg.example/app", "reg.example/app"),
            ("LAN/app", "LAN/app"),
            ("10.1.2.3:80/a/b", "10.1.2.3:80/a/b"),
            ("xn--bcher-kva.example/app", "xn--bcher-kva.example/app"),
            ("[::1]/app", "[::1]/app"),
            ("[2001:db8::5]:443/app:1", "[2001:db8::5]:443/app:1"),
            ("index.docker.io/alpine", "docker.io/library/alpine"),
            ("docker.io/team/app", "docker.io/team/app"),
            ("my_host.example:80", "docker.io/library/my_host.example:80"),
            ("a.b/c.d__e---f:T_1.-", "a.b/c.d__e---f:T_1.-"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn tag_and_digest_are_both_parsed() {
        let reference = parse(&format!("app:1@sha256:{HEX}")).unwrap();
        assert_eq!(reference.tag(), Some("1"));
        assert_eq!(reference.digest().unwrap().encoded(), HEX);
        assert!(parse(&format!("app@sha512:{HEX}{HEX}")).unwrap().tag().is_none());
        assert!(parse(&format!("docker.io/{HEX}")).is_ok());
    }

    #[test]
    fn invalid_reference_says_why() {
        for (text, reason) in [
            ("", "empty"),
            ("user:canary@reg.example/app:1", "a user name and password cannot be part"),
            ("https://canary@reg.example/app", "a user name and password cannot be part"),
            ("https://ghcr.io/org/app", "has no `https://`, write `ghcr.io/org/app`"),
            (HEX, "image ID"),
            (&format!("sha256:{HEX}"), "write `NAME@sha256:8d1f24a6"),
            (":1", "missing repository name"),
            ("@sha256:00", "requires 64 hex digits"),
            ("localhost/", "missing repository name"),
            ("team/", "empty path component between slashes"),
            ("team//app", "empty path component between slashes"),
            ("/app", "empty path component between slashes"),
            ("App:1", "must be lowercase: `app`"),
            ("reg.example/Team/app", "must be lowercase: `team`"),
            (" alpine", "white space"),
            ("alpine:", "missing tag after the colon"),
            ("alpine:-1", "invalid tag"),
            ("alpine:3 14", "invalid tag"),
            ("team/app:5000/x", "a port belongs before the first slash"),
            ("reg:99999/app", "invalid port"),
            ("reg:+80/app", "invalid port"),
            ("reg:v1/app", "invalid port"),
            ("reg:0/app", "invalid port"),
            ("::1/app", "must be in brackets"),
            ("[::1]:5000", "missing repository after the registry"),
            ("[::1/app", "missing closing bracket"),
            ("[::1]5000/app", "after the bracket"),
            ("[1::2::3]/app", "invalid IPv6 address"),
            ("[::ffff:10.0.0.1]/app", "invalid IPv6 address"),
            ("[fe80::1%eth0]/app", "zone"),
            ("-reg.example/app", "inner hyphens"),
            ("reg..example/app", "single dots"),
            ("reg_1.example/app", "single dots"),
            ("bücher.example/app", "single dots"),
            ("a..b/app", "single dots"),
            ("team/a..b", "invalid name component"),
            ("team/a_-b", "invalid name component"),
            ("team/a___b", "invalid name component"),
            ("team/-app", "invalid name component"),
            ("team/app-", "invalid name component"),
            ("app@md5:d41d8cd98f00b204e9800998ecf8427e", "unknown digest algorithm `md5`"),
            ("app@sha256:abc", "requires 64 hex digits"),
            ("app@@x", "digest `@x`"),
        ] {
            let refusal = canonical(text).unwrap_err();
            assert!(refusal.contains(reason), "{text}: {refusal}");
            assert!(!refusal.contains("canary"), "{refusal}");
        }
    }

    #[test]
    fn name_and_tag_length_are_limited() {
        let path = |length| format!("reg.example/{}", "a".repeat(length));
        assert!(parse(&path(255)).is_ok());
        assert!(canonical(&path(256)).unwrap_err().contains("255"));
        // `library/` counts.
        assert!(parse(&"a".repeat(250)).is_err());
        assert!(check_tag(&"a".repeat(128)).is_ok());
        assert!(check_tag(&"a".repeat(129)).unwrap_err().contains("128"));
    }
}
