//! The grammar of a reference's parts, with a reason for each error.

use std::net::Ipv6Addr;

/// Maximum characters of a repository's path, without the registry.
const MAX_PATH: usize = 255;

/// Maximum characters of a tag.
const MAX_TAG: usize = 128;

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
    // The number parser would accept a sign.
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
    // The grammar excludes embedded IPv4 addresses, which `Ipv6Addr` accepts.
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
    let Some(component) = path.split('/').find(|component| !is_component(component)) else {
        return Ok(());
    };
    Err(match component {
        "" => "empty path component between slashes".to_owned(),
        _ if component.chars().any(char::is_whitespace) => "white space in the name".to_owned(),
        _ if is_component(&component.to_lowercase()) => {
            format!("`{component}` must be lowercase: `{}`", component.to_lowercase())
        }
        _ => format!(
            "invalid name component `{component}`, expected a-z and 0-9, joined by one `.`, one or two `_` or any number of `-`"
        ),
    })
}

/// Letters and digits, with single separators between them.
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

/// Whether the text is a valid tag: letters, digits and `_ . -`, at most 128, not starting with `.` or `-`.
pub fn is_tag(text: &str) -> bool {
    check_tag(text).is_ok()
}

/// Whether the text is a valid repository path: `library/alpine`.
pub fn is_repository(path: &str) -> bool {
    check_path(path).is_ok()
}
