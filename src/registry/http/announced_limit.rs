//! What a registry says of its own limits: Docker Hub's `ratelimit-limit`, `ratelimit-remaining` and
//! `docker-ratelimit-source`, which others send, too.

use std::sync::{Mutex, PoisonError};

use reqwest::header::HeaderMap;

use crate::content::RateLimit;
use crate::registry::redactor::{Redactor, TextKind};

/// Most characters of a source: an address or the id of an account.
const MAX_SOURCE_CHARS: usize = 100;

/// The limit that a registry announced last.
#[derive(Debug, Default)]
pub(in crate::registry) struct AnnouncedLimit(Mutex<Option<RateLimit>>);

impl AnnouncedLimit {
    /// Remembers the limit in these headers, if there is one.
    pub(in crate::registry) fn note(&self, headers: &HeaderMap, redactor: &Redactor) {
        if let Some(limit) = parse(headers, redactor) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(limit);
        }
    }

    pub(in crate::registry) fn get(&self) -> Option<RateLimit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn parse(headers: &HeaderMap, redactor: &Redactor) -> Option<RateLimit> {
    let text = |name| headers.get(name)?.to_str().ok();
    let (limit, limit_window) = text("ratelimit-limit").and_then(count).unzip();
    let (remaining, window) = text("ratelimit-remaining").and_then(count).unzip();
    if limit.is_none() && remaining.is_none() {
        return None;
    }
    let source = text("docker-ratelimit-source").map(|source| {
        let source: String = source.chars().take(MAX_SOURCE_CHARS).collect();
        redactor.redact(&source, TextKind::Foreign).into_owned()
    });
    let window_s = limit_window.flatten().or(window.flatten());
    Some(RateLimit { limit, remaining, window_s, source })
}

/// Parses `100;w=21600`: a number and the seconds of its window.
fn count(value: &str) -> Option<(u64, Option<u64>)> {
    let mut parts = value.split(';').map(str::trim);
    let number = parts.next()?.parse().ok()?;
    Some((number, parts.find_map(|part| part.strip_prefix("w=")?.parse().ok())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(headers: &[(&'static str, &str)]) -> Option<RateLimit> {
        let pairs = headers.iter().map(|(name, value)| {
            (reqwest::header::HeaderName::from_static(name), value.parse().unwrap())
        });
        parse(&pairs.collect(), &Redactor::default())
    }

    #[test]
    fn rate_limit_headers_are_parsed() {
        let hub = limit(&[
            ("ratelimit-limit", "100;w=21600"),
            ("ratelimit-remaining", "76;w=21600"),
            ("docker-ratelimit-source", "192.0.2.1"),
        ]);
        let (limit_of_hub, source) = (Some(100), Some("192.0.2.1".to_owned()));
        let expected =
            RateLimit { limit: limit_of_hub, remaining: Some(76), window_s: Some(21_600), source };
        assert_eq!(hub, Some(expected));
        let only = limit(&[("ratelimit-remaining", "5")]).unwrap();
        assert_eq!((only.limit, only.remaining, only.window_s), (None, Some(5), None));
        for other in ["", "many", "-1", "18446744073709551616", ";w=1"] {
            assert_eq!(limit(&[("ratelimit-limit", other)]), None, "{other}");
        }
        assert_eq!(limit(&[("docker-ratelimit-source", "192.0.2.1")]), None);
    }
}
