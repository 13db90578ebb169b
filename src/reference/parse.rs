//! The grammar of references, with a reason for every refusal.

use std::net::Ipv6Addr;

use super::Reference;
use super::docker_hub::{HUB, OFFICIAL_NAMESPACE, OLD_HUB};
use crate::digest::{Digest, registered_algorithm};
use crate::error::Error;

/// Characters of a repository's path, the registry not counted.
const MAX_PATH: usize = 255;

/// Characters of a tag.
const MAX_TAG: usize = 128;

/// Why a text is no reference.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    pub(super) reason: String,
    /// What to type instead, if the text tells.
    pub(super) hint: Option<String>,
}

impl<T: Into<String>> From<T> for Invalid {
    fn from(reason: T) -> Self {
        Self { reason: reason.into(), hint: None }
    }
}

fn invalid(reason: impl Into<String>, hint: String) -> Invalid {
    Invalid { reason: reason.into(), hint: Some(hint) }
}

/// Parses a reference without adding a default tag.
pub(super) fn parse(text: &str) -> Result<Reference, Invalid> {
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

/// What was typed with a user in it, as in a URL, without that user: a message must not show the password.
pub(super) fn without_user(text: &str) -> Option<String> {
    // What follows the @ of a digest has no slash.
    let slash = text.rfind('/')?;
    let (scheme, rest) = text.split_at(text.find("://").map_or(0, |at| at + 3));
    let at = text.get(..slash)?.rfind('@').filter(|at| *at >= scheme.len())?;
    rest.get(at - scheme.len()..).map(|rest| format!("{scheme}***{rest}"))
}

/// The registry and what follows it. The part before the first slash is a host only where it looks like one.
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
            check_host(first).map_err(|why| format!("host `{first}`: {why}"))?;
            Ok((first, rest))
        }
        _ => Ok((HUB, name)),
    }
}

pub(super) fn check_host(host: &str) -> Result<(), String> {
    if let Some(rest) = host.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or("missing closing bracket")?;
        check_ipv6(address)?;
        return match port.strip_prefix(':') {
            Some(port) => check_port(port),
            None if port.is_empty() => Ok(()),
            None => Err(format!("invalid port `{port}` after the bracket")),
        };
    }
    let (name, port) = match host.split_once(':') {
        Some((_, port)) if port.contains(':') => {
            return Err("an IPv6 address must be in brackets: `[::1]:5000`".to_owned());
        }
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    port.map_or(Ok(()), check_port)?;
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.split('.').all(is_label) {
        return Ok(());
    }
    Err("invalid host, expected letters, digits and inner hyphens, joined by single dots"
        .to_owned())
}

fn check_port(port: &str) -> Result<(), String> {
    // A sign would pass the number parser.
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    if digits && port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Ok(());
    }
    Err(format!("invalid port `{port}`, expected 1 to 65535"))
}

fn check_ipv6(address: &str) -> Result<(), String> {
    if address.contains('%') {
        return Err("an IPv6 zone cannot be part of a reference".to_owned());
    }
    // The grammar has no embedded IPv4 address, which Ipv6Addr would take.
    if address.contains('.') || address.parse::<Ipv6Addr>().is_err() {
        return Err(format!("invalid IPv6 address `{address}`, expected hex digits and colons"));
    }
    Ok(())
}

pub(super) fn check_path(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("missing repository name".to_owned());
    }
    if path.len() > MAX_PATH {
        return Err(format!(
            "the repository path has {} characters, more than {MAX_PATH}",
            path.len()
        ));
    }
    let Some(odd) = path.split('/').find(|component| !is_component(component)) else {
        return Ok(());
    };
    Err(match odd {
        "" => "empty path component between slashes".to_owned(),
        _ if odd.chars().any(char::is_whitespace) => "white space in the name".to_owned(),
        _ if is_component(&odd.to_lowercase()) => {
            format!("`{odd}` must be lowercase: `{}`", odd.to_lowercase())
        }
        _ => format!(
            "invalid name component `{odd}`, expected a-z and 0-9, joined by one `.`, one or two `_` or any number of `-`"
        ),
    })
}

/// Letters and digits with a separator between, never at the ends.
fn is_component(text: &str) -> bool {
    let mut between = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    between.next() == Some("")
        && between.next_back() == Some("")
        && between
            .all(|gap| matches!(gap, "" | "." | "_" | "__") || gap.bytes().all(|byte| byte == b'-'))
}

pub(super) fn check_tag(tag: &str) -> Result<(), String> {
    if tag.is_empty() {
        return Err("missing tag after the colon".to_owned());
    }
    if tag.contains('/') {
        return Err(format!("invalid tag `{tag}`; a port belongs before the first slash"));
    }
    if tag.len() > MAX_TAG {
        return Err(format!("the tag has {} characters, more than {MAX_TAG}", tag.len()));
    }
    let is_tag = tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        && !tag.starts_with(['.', '-']);
    if is_tag {
        return Ok(());
    }
    Err(format!(
        "invalid tag `{tag}`, expected letters, digits, `_`, `.` and `-`, the last two not first"
    ))
}

/// It would read as a tag of a repository named like the algorithm.
fn is_digest_alone(text: &str) -> bool {
    let algorithm = text.split(':').next().and_then(registered_algorithm);
    algorithm.is_some() && text.parse::<Digest>().is_ok()
}

fn parse_digest(text: &str) -> Result<Digest, String> {
    let digest: Digest =
        text.parse().map_err(|error: Error| format!("digest `{text}`: {}", error.reason()))?;
    // Others may stand in a document, but asked for by name they could only fail later.
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
        for (text, wanted) in [
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
            assert_eq!(canonical(text).as_deref(), Ok(wanted), "{text}");
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
        for (text, why) in [
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
            assert!(refusal.contains(why), "{text}: {refusal}");
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
