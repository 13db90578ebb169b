//! Tracks which hosts have responded in this run, and since when a host no longer does.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::StatusCode;
use tokio::time::Instant;

use super::budget::RetryBudget;
use super::origin::Origin;
use crate::error::{Error, Outage};
use crate::retry::RetryPolicy;

/// Failures further apart are separate outages. Longer than any wait between two attempts, timeouts included.
const MAX_GAP: Duration = Duration::from_secs(60);

/// Outages shorter than this are not reported.
const MIN_OUTAGE: Duration = Duration::from_secs(1);

/// The state of all hosts.
#[derive(Debug, Default)]
pub(in crate::registry) struct Health {
    /// The outage of each host that has responded before, if any.
    outages: Mutex<HashMap<Origin, Option<Down>>>,
    pub(in crate::registry) budget: RetryBudget,
}

#[derive(Clone, Copy, Debug)]
struct Down {
    since: Instant,
    last_failure: Instant,
    is_reported: bool,
}

impl Health {
    pub(super) fn new(policy: RetryPolicy) -> Self {
        Self { budget: RetryBudget::new(policy), ..Self::default() }
    }

    /// Records a response. A response that only reports an unavailable server does not count.
    pub(in crate::registry) fn record_response(&self, host: &Origin, status: StatusCode) {
        if status.is_server_error() {
            let reason = format!("responded {status}");
            self.budget.record_failure(host, &reason, Some(status.as_u16()));
            return;
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            return;
        }
        self.budget.record_success(host);
        self.outages.lock().unwrap_or_else(PoisonError::into_inner).insert(host.clone(), None);
    }

    /// Adds the outage to the error, if the host has responded before.
    pub(in crate::registry) fn record_failure(&self, host: &Origin, error: Error) -> Error {
        if !error.is_transient() {
            return error;
        }
        if error.status().is_none() {
            self.budget.record_failure(host, error.reason(), None);
        }
        let mut hosts = self.outages.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = hosts.get_mut(host) else { return error };
        let now = Instant::now();
        let current = state.filter(|down| now - down.last_failure < MAX_GAP);
        let lasted = now - current.map_or(now, |down| down.since);
        let was_reported = current.is_some_and(|down| down.is_reported);
        let is_reported = was_reported || lasted >= MIN_OUTAGE;
        *state = Some(Down { since: now - lasted, last_failure: now, is_reported });
        error.in_outage(Outage { lasted, is_news: is_reported && !was_reported })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn outage(health: &Health, host: &Origin) -> Option<Outage> {
        let error = Error::new(ErrorKind::Transport, "blob").transient(None);
        health.record_failure(host, error).outage()
    }

    #[tokio::test(start_paused = true)]
    async fn outage_begins_with_first_failure_after_answer() {
        let health = Health::default();
        let host = Origin::of(&"http://localhost:5000/v2/".parse().unwrap()).unwrap();
        assert_eq!(outage(&health, &host), None);
        health.record_response(&host, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(outage(&health, &host), None, "it has not answered yet");
        health.record_response(&host, StatusCode::UNAUTHORIZED);
        let new = Outage { lasted: Duration::ZERO, is_news: false };
        assert_eq!(outage(&health, &host), Some(new));
        tokio::time::advance(Duration::from_secs(50)).await;
        health.record_response(&host, StatusCode::BAD_GATEWAY);
        let later = Outage { lasted: Duration::from_secs(50), is_news: true };
        assert_eq!(outage(&health, &host), Some(later));
        assert_eq!(outage(&health, &host), Some(Outage { is_news: false, ..later }));
        tokio::time::advance(MAX_GAP).await;
        assert_eq!(outage(&health, &host), Some(new), "nobody has asked for a while");
        health.record_response(&host, StatusCode::OK);
        assert_eq!(outage(&health, &host), Some(new));
        let lasting = health.record_failure(&host, Error::new(ErrorKind::Denied, "blob"));
        assert_eq!(lasting.outage(), None);
    }
}
