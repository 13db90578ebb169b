//! What a registry says of its own limits: Docker Hub's `ratelimit-limit`, `ratelimit-remaining` and
//! `docker-ratelimit-source`, which others send, too.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderMap;

use crate::content::RateLimit;
use crate::registry::redactor::{Redactor, TextKind};

/// Maximum characters of a source: an address or the id of an account.
const MAX_SOURCE_CHARS: usize = 100;

/// The limit that a registry announced last.
#[derive(Debug, Default)]
pub(in crate::registry) struct AnnouncedLimit(Mutex<Announced>);

#[derive(Debug, Default)]
struct Announced {
    limit: Option<RateLimit>,
    /// Pulls on their way, which the limit need not include.
    pending: u64,
    /// Whether a pull was told to ask.
    has_asked: bool,
}

/// Whether a pull may be sent.
#[derive(Debug)]
pub(in crate::registry) enum Permission<'a> {
    Granted(Pull<'a>),
    /// The limit, and how many pulls are on their way.
    Refused(RateLimit, u64),
    /// The registry has not said how many are left. Only the first pull gets this answer.
    Unknown,
    /// The registry does not say it.
    Unlimited,
}

/// A pull that is on its way.
#[derive(Debug)]
pub(in crate::registry) struct Pull<'a>(&'a AnnouncedLimit);

impl Drop for Pull<'_> {
    fn drop(&mut self) {
        self.0.announced().pending -= 1;
    }
}

impl AnnouncedLimit {
    /// Remembers the limit in these headers, if there is one.
    pub(in crate::registry) fn note(&self, headers: &HeaderMap, redactor: &Redactor) {
        let Some(mut limit) = parse(headers, redactor) else { return };
        let mut announced = self.announced();
        // Responses to concurrent pulls can overtake each other.
        if announced.pending > 0
            && let Some(before) = announced.limit.as_ref().and_then(|before| before.remaining)
        {
            limit.remaining = limit.remaining.map(|remaining| remaining.min(before));
        }
        announced.limit = Some(limit);
    }

    pub(in crate::registry) fn get(&self) -> Option<RateLimit> {
        self.announced().limit.clone()
    }

    /// Permits a pull, if more than `floor` are left.
    pub(in crate::registry) fn take(&self, floor: u64) -> Permission<'_> {
        let mut announced = self.announced();
        let limit = announced.limit.as_ref();
        let Some((limit, remaining)) = limit.and_then(|limit| Some((limit, limit.remaining?)))
        else {
            let has_asked = std::mem::replace(&mut announced.has_asked, true);
            return if has_asked { Permission::Unlimited } else { Permission::Unknown };
        };
        if remaining.saturating_sub(announced.pending) <= floor {
            return Permission::Refused(limit.clone(), announced.pending);
        }
        announced.pending += 1;
        Permission::Granted(Pull(self))
    }

    fn announced(&self) -> MutexGuard<'_, Announced> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Whether nothing is left in these headers of a window that is longer than `time`.
pub(super) fn is_used_up(headers: &HeaderMap, time: Duration) -> bool {
    let limit = parse(headers, &Redactor::default());
    limit.is_some_and(|limit| {
        limit.remaining == Some(0) && limit.window_s.is_some_and(|window| window > time.as_secs())
    })
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
    fn rate_limit_floor_includes_pulls_on_their_way() {
        let announced = AnnouncedLimit::default();
        assert!(matches!(announced.take(0), Permission::Unknown));
        assert!(matches!(announced.take(0), Permission::Unlimited));
        let name = reqwest::header::HeaderName::from_static("ratelimit-remaining");
        let left = HeaderMap::from_iter([(name, "12".parse().unwrap())]);
        announced.note(&left, &Redactor::default());
        for _ in 0..3 {
            let pulls = [announced.take(10), announced.take(10)];
            assert!(pulls.iter().all(|pull| matches!(pull, Permission::Granted(_))), "{pulls:?}");
            assert!(matches!(announced.take(10), Permission::Refused(..)));
            assert!(matches!(announced.take(9), Permission::Granted(_)));
        }
        assert!(matches!(announced.take(12), Permission::Refused(..)));
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
