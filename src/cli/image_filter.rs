//! `--filter KEY=VALUE` of images in the store.

use crate::error::{Error, ErrorKind, Result};
use crate::reference::Reference;

/// The keys, as a message lists them.
const KEYS: &str = "reference, registry, repository, tag, platform or label";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Reference,
    Registry,
    Repository,
    Tag,
    Platform,
    Label,
}

/// Conditions: one of the values of each key must match. `*` in a value stands for any text.
#[derive(Debug, Default)]
pub(super) struct ImageFilter(Vec<(Key, String)>);

/// An image to compare with a filter.
#[derive(Debug)]
pub(super) struct FilterSubject<'a> {
    pub(super) name: &'a str,
    pub(super) platforms: &'a [String],
    /// Labels of its configs: key and value.
    pub(super) labels: &'a [(String, String)],
}

impl ImageFilter {
    pub(super) fn parse(typed: &[String]) -> Result<Self> {
        let condition = |text: &String| {
            let Some((key, value)) = text.split_once('=') else {
                return Err(invalid(text, "expected KEY=VALUE"));
            };
            let key = match key {
                "reference" => Key::Reference,
                "registry" => Key::Registry,
                "repository" => Key::Repository,
                "tag" => Key::Tag,
                "platform" => Key::Platform,
                "label" => Key::Label,
                _ => return Err(invalid(text, &format!("expected one of the keys {KEYS}"))),
            };
            Ok((key, value.to_owned()))
        };
        typed.iter().map(condition).collect::<Result<_>>().map(Self)
    }

    /// Whether the image satisfies all conditions.
    pub(super) fn matches(&self, image: &FilterSubject<'_>) -> bool {
        self.0.iter().all(|(key, _)| {
            let mut values = self.0.iter().filter(|(other, _)| other == key);
            values.any(|(_, value)| matches(*key, value, image))
        })
    }
}

/// The names that match one of the filters `KEY=PATTERN`, or all without a filter.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for another key.
pub(super) fn matching_names(
    mut names: Vec<String>,
    key: &str,
    filters: &[String],
) -> Result<Vec<String>> {
    let pattern = |text: &String| {
        let found = text.split_once('=').filter(|(own, _)| *own == key);
        let found = found.map(|(_, pattern)| pattern.to_owned());
        found.ok_or_else(|| invalid(text, &format!("expected {key}=PATTERN")))
    };
    let patterns = filters.iter().map(pattern).collect::<Result<Vec<_>>>()?;
    names.retain(|name| patterns.is_empty() || patterns.iter().any(|own| like(own, name)));
    Ok(names)
}

pub(super) fn invalid(text: &str, reason: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("`--filter {text}`")).with_reason(reason)
}

fn matches(key: Key, value: &str, image: &FilterSubject<'_>) -> bool {
    let reference = || image.name.parse::<Reference>().ok();
    let part = |of: fn(&Reference) -> Option<&str>| {
        reference().is_some_and(|reference| of(&reference).is_some_and(|text| like(value, text)))
    };
    match key {
        Key::Reference => like(value, image.name) || like(value, familiar(image.name)),
        Key::Registry => part(|reference| Some(reference.registry())),
        Key::Repository => reference().is_some_and(|reference| {
            let repository = reference.repository_name();
            like(value, &repository) || like(value, familiar(&repository))
        }),
        Key::Tag => part(Reference::tag),
        Key::Platform => image.platforms.iter().any(|platform| like(value, platform)),
        Key::Label => image.labels.iter().any(|(key, text)| match value.split_once('=') {
            Some((wanted, value)) => like(wanted, key) && like(value, text),
            None => like(value, key),
        }),
    }
}

/// The name as docker shows it.
fn familiar(name: &str) -> &str {
    let hub = name.strip_prefix("docker.io/").unwrap_or(name);
    hub.strip_prefix("library/").filter(|_| hub != name).unwrap_or(hub)
}

/// Whether a text matches a pattern in which `*` stands for any text.
fn like(pattern: &str, text: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(begin) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match left.split_once(part) {
            Some((_, after)) => left = after,
            None => return false,
        }
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(filters: &[&str], name: &str) -> bool {
        let typed: Vec<String> = filters.iter().map(|text| (*text).to_owned()).collect();
        let labels = [("team".to_owned(), "core".to_owned())];
        let platforms = ["linux/amd64".to_owned()];
        let subject = FilterSubject { name, platforms: &platforms, labels: &labels };
        ImageFilter::parse(&typed).unwrap().matches(&subject)
    }

    #[test]
    fn image_filter_matches_names_platforms_and_labels() {
        let name = "docker.io/library/alpine:3.14";
        for (filters, expected) in [
            (&[][..], true),
            (&["reference=docker.io/library/alpine:3.14"], true),
            (&["reference=alpine:*"], true),
            (&["reference=library/*"], false),
            (&["reference=alpine"], false),
            (&["registry=docker.io"], true),
            (&["registry=*.io"], true),
            (&["repository=alpine"], true),
            (&["repository=docker.io/*/alpine"], true),
            (&["tag=3.*"], true),
            (&["tag=3.*", "tag=4.*"], true),
            (&["tag=4.*"], false),
            (&["tag=3.*", "registry=ghcr.io"], false),
            (&["platform=linux/*"], true),
            (&["platform=linux/arm64"], false),
            (&["label=team"], true),
            (&["label=team=core"], true),
            (&["label=team=other"], false),
        ] {
            assert_eq!(selects(filters, name), expected, "{filters:?}");
        }
        assert!(selects(&["reference=<none>"], "<none>") && !selects(&["registry=*"], "<none>"));
        for bad in ["alpine", "name=x", "=x"] {
            assert!(ImageFilter::parse(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn image_filter_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "abcd", false),
            ("*b*", "abc", true),
            ("a*b*a", "aba", true),
            ("a*ba", "aba", true),
            ("ab*ba", "aba", false),
            ("a**c", "abc", true),
            ("", "a", false),
        ] {
            assert_eq!(like(pattern, text), expected, "{pattern} {text}");
        }
    }
}
