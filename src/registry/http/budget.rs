//! Limits the retries of each host over all requests: a host that is down is found out once, not by each blob.
//!
//! A failure takes a token, and successful requests and received bytes give tokens back. Without tokens, the requests to a
//! failing host share one attempt at a time. `Retry-After` pauses the host for all requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::origin::Origin;
use crate::error::{Error, ErrorKind, Outage, Result};
use crate::retry::RetryPolicy;

/// Initial tokens of a host, which are also the maximum: 10, and 2 for each of the usual six concurrent blobs.
const MAX_TOKENS: u32 = 10 + 2 * 6;

/// Received or sent bytes that give back a token.
const BYTES_PER_TOKEN: u64 = 8 << 20;

/// Successful requests that give back a token.
const REQUESTS_PER_TOKEN: u64 = 20;

/// Failures further apart are not in a row.
const MAX_GAP: Duration = Duration::from_secs(60);

/// Longest delay before the next shared attempt.
const MAX_DELAY: Duration = Duration::from_secs(10);

/// The right to send; one that is shared is held until its outcome was recorded.
type Turn = Option<OwnedMutexGuard<()>>;

/// The retry tokens and pauses of all hosts.
#[derive(Debug, Default)]
pub(in crate::registry) struct RetryBudget {
    policy: RetryPolicy,
    hosts: Mutex<HashMap<Origin, Host>>,
}

#[derive(Debug)]
struct Host {
    tokens: u32,
    /// Progress towards the next token.
    earned_bytes: u64,
    has_responded: bool,
    failing: Option<Failing>,
    paused: Option<(Instant, Reason)>,
    shared_attempt: Arc<tokio::sync::Mutex<()>>,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            tokens: MAX_TOKENS,
            earned_bytes: 0,
            has_responded: false,
            failing: None,
            paused: None,
            shared_attempt: Arc::default(),
        }
    }
}

/// An attempt for all requests to a host that fails.
struct SharedAttempt {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The number of failures so far.
    failures: u32,
    at: Instant,
}

/// Failures in a row.
#[derive(Debug)]
struct Failing {
    since: Instant,
    last: Instant,
    count: u32,
    /// Those of shared attempts.
    shared: u32,
    reason: Reason,
}

/// The reason of a failure, for the requests that are not sent because of it.
#[derive(Clone, Debug)]
struct Reason {
    text: String,
    status: Option<u16>,
}

impl Reason {
    fn error(&self, host: &Origin, what: &str) -> Error {
        let kind = if self.status.is_some() { ErrorKind::Registry } else { ErrorKind::Transport };
        let error = Error::new(kind, what).at(host.host_port()).with_reason(&self.text);
        match self.status {
            Some(status) => error.with_status(status),
            None => error,
        }
    }
}

impl Host {
    fn earn(&mut self, bytes: u64) {
        self.earned_bytes += bytes;
        let earned = u32::try_from(self.earned_bytes / BYTES_PER_TOKEN).unwrap_or(MAX_TOKENS);
        self.earned_bytes %= BYTES_PER_TOKEN;
        self.tokens = self.tokens.saturating_add(earned).min(MAX_TOKENS);
    }

    /// Whether nothing more is expected of the host.
    fn is_unreachable(&self, failing: &Failing, policy: &RetryPolicy) -> bool {
        match policy.attempts {
            Some(attempts) => failing.shared >= attempts,
            None if failing.shared == 0 => false,
            None => !self.has_responded || failing.since.elapsed() >= policy.retry_for,
        }
    }
}

impl RetryBudget {
    pub(super) fn new(policy: RetryPolicy) -> Self {
        Self { policy, hosts: Mutex::default() }
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<Origin, Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a successful request.
    pub(super) fn record_success(&self, host: &Origin) {
        let mut hosts = self.hosts();
        let state = hosts.entry(host.clone()).or_default();
        (state.has_responded, state.failing) = (true, None);
        state.earn(BYTES_PER_TOKEN / REQUESTS_PER_TOKEN);
    }

    /// Counts bytes of blobs.
    pub(in crate::registry) fn record_bytes(&self, host: &Origin, bytes: u64) {
        self.hosts().entry(host.clone()).or_default().earn(bytes);
    }

    /// Counts a failure.
    pub(super) fn record_failure(&self, host: &Origin, text: &str, status: Option<u16>) {
        let mut hosts = self.hosts();
        let state = hosts.entry(host.clone()).or_default();
        let now = Instant::now();
        let reason = Reason { text: text.to_owned(), status };
        let before = state.failing.take().filter(|failing| now - failing.last < MAX_GAP);
        let (since, count, shared) =
            before.map_or((now, 0, 0), |failing| (failing.since, failing.count, failing.shared));
        let shared = shared + u32::from(state.tokens == 0);
        state.tokens = state.tokens.saturating_sub(1);
        state.failing = Some(Failing { since, last: now, count: count + 1, shared, reason });
    }

    /// Pauses the host as the error asks for.
    pub(super) fn pause(&self, host: &Origin, error: &Error) {
        let Some(wait) = error.retry_after().filter(|wait| *wait <= self.policy.max_retry_after)
        else {
            return;
        };
        let mut hosts = self.hosts();
        let state = hosts.entry(host.clone()).or_default();
        let now = Instant::now();
        let end = state.paused.as_ref().map_or(now, |(end, _)| *end).max(now);
        if now + wait > end {
            if end == now {
                tracing::info!("{}: all requests pause for {} s", host.host_port(), wait.as_secs());
            }
            let reason = Reason { text: error.reason().to_owned(), status: error.status() };
            state.paused = Some((now + wait, reason));
        }
    }

    /// Waits until a request may be sent to the host.
    ///
    /// # Errors
    /// Transient if the host is paused, or if the shared attempt failed meanwhile; permanent if the host is unreachable.
    pub(in crate::registry) async fn admit(&self, host: &Origin, what: &str) -> Result<Turn> {
        let Some(before) = self.check(host, what)? else { return Ok(None) };
        let turn = before.turn.lock_owned().await;
        match self.check(host, what)? {
            None => Ok(None),
            Some(now) if now.failures != before.failures => Err(self.shared_failure(host, what)),
            Some(now) => {
                tokio::time::sleep_until(now.at).await;
                Ok(Some(turn))
            }
        }
    }

    /// Returns the shared attempt to wait for, if the request may not be sent at once.
    fn check(&self, host: &Origin, what: &str) -> Result<Option<SharedAttempt>> {
        let hosts = self.hosts();
        let Some(state) = hosts.get(host) else { return Ok(None) };
        let now = Instant::now();
        if let Some((end, reason)) = state.paused.as_ref().filter(|(end, _)| *end > now) {
            let error = reason.error(host, what).transient(Some(*end - now));
            // Not a failure of this request, and not to be reported again.
            return Err(error.in_outage(Outage { lasted: Duration::ZERO, is_news: false }));
        }
        let failing = state.failing.as_ref();
        let Some(failing) = failing.filter(|one| state.tokens == 0 && now - one.last < MAX_GAP)
        else {
            return Ok(None);
        };
        if state.is_unreachable(failing, &self.policy) {
            let error = failing.reason.error(host, what);
            let reason = format!("{} (unreachable, tried {} times)", error.reason(), failing.count);
            return Err(error.with_reason(reason));
        }
        let delay = (now - failing.since) / 2;
        let at = failing.last + delay.clamp(self.policy.base_delay.min(MAX_DELAY), MAX_DELAY);
        let turn = Arc::clone(&state.shared_attempt);
        Ok(Some(SharedAttempt { turn, failures: failing.count, at }))
    }

    /// Returns the error of the shared attempt for a request that waited for it.
    fn shared_failure(&self, host: &Origin, what: &str) -> Error {
        let hosts = self.hosts();
        let failing = hosts.get(host).and_then(|state| Some((state, state.failing.as_ref()?)));
        let Some((state, failing)) = failing else {
            return Error::new(ErrorKind::Transport, what).at(host.host_port()).transient(None);
        };
        let error = failing.reason.error(host, what).transient(None);
        let lasted = failing.since.elapsed();
        if state.has_responded { error.in_outage(Outage { lasted, is_news: false }) } else { error }
    }
}

#[cfg(test)]
mod tests;
