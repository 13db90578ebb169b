//! Which hosts have answered in this run, and since when one of them does not any more.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::StatusCode;
use tokio::time::Instant;

use super::origin::Origin;
use crate::error::{Error, Outage};

/// Failures further apart belong to two outages: no wait between two tries is so long, timeouts included.
const MAX_GAP: Duration = Duration::from_secs(60);

/// An outage shorter than this is not worth a word.
const BLINK: Duration = Duration::from_secs(1);

/// What is known of each host that has answered.
#[derive(Debug, Default)]
pub(in crate::registry) struct Health(Mutex<HashMap<Origin, Option<Down>>>);

#[derive(Clone, Copy, Debug)]
struct Down {
    since: Instant,
    last_failure: Instant,
    is_told: bool,
}

impl Health {
    /// Notes an answer. One that only says that the host cannot answer is none.
    pub(in crate::registry) fn heard(&self, host: &Origin, status: StatusCode) {
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return;
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(host.clone(), None);
    }

    /// The error with the outage that it belongs to, where the host has answered before.
    pub(in crate::registry) fn failed(&self, host: &Origin, error: Error) -> Error {
        if !error.is_transient() {
            return error;
        }
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = hosts.get_mut(host) else { return error };
        let now = Instant::now();
        let known = state.filter(|down| now - down.last_failure < MAX_GAP);
        let lasted = now - known.map_or(now, |down| down.since);
        let was_told = known.is_some_and(|down| down.is_told);
        let is_told = was_told || lasted >= BLINK;
        *state = Some(Down { since: now - lasted, last_failure: now, is_told });
        error.in_outage(Outage { lasted, is_news: is_told && !was_told })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn outage(health: &Health, host: &Origin) -> Option<Outage> {
        let error = Error::new(ErrorKind::Transport, "blob").transient(None);
        health.failed(host, error).outage()
    }

    #[tokio::test(start_paused = true)]
    async fn outage_begins_with_first_failure_after_answer() {
        let health = Health::default();
        let host = Origin::of(&"http://localhost:5000/v2/".parse().unwrap()).unwrap();
        assert_eq!(outage(&health, &host), None);
        health.heard(&host, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(outage(&health, &host), None, "it has not answered yet");
        health.heard(&host, StatusCode::UNAUTHORIZED);
        let new = Outage { lasted: Duration::ZERO, is_news: false };
        assert_eq!(outage(&health, &host), Some(new));
        tokio::time::advance(Duration::from_secs(50)).await;
        health.heard(&host, StatusCode::BAD_GATEWAY);
        let later = Outage { lasted: Duration::from_secs(50), is_news: true };
        assert_eq!(outage(&health, &host), Some(later));
        assert_eq!(outage(&health, &host), Some(Outage { is_news: false, ..later }));
        tokio::time::advance(MAX_GAP).await;
        assert_eq!(outage(&health, &host), Some(new), "nobody has asked for a while");
        health.heard(&host, StatusCode::OK);
        assert_eq!(outage(&health, &host), Some(new));
        let lasting = health.failed(&host, Error::new(ErrorKind::Denied, "blob"));
        assert_eq!(lasting.outage(), None);
    }
}
