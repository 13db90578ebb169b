//! What is known of each host, over all requests to it: since when it no longer responds, how often requests may still be
//! retried, and when it asked for a pause.
//!
//! A host that is down is found out once, not by each blob: a failure takes a token, and successful requests and received bytes
//! give tokens back. Without tokens, the requests to a failing host share one attempt at a time. `Retry-After` pauses the host
//! for all requests. One manifest or blob that is always answered by 500 does not make a host that is down: the others are
//! requested.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::{Response, StatusCode};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::gate::{Gate, Pass, RequestClass};
use super::origin::Origin;
use crate::error::{Error, ErrorKind, Outage, Result};
use crate::registry::host_limits::HostLimits;
use crate::registry::options::RegistryOptions;
use crate::retry::RetryPolicy;

/// Initial tokens of a host, beside two for each blob that is transferred at once: only readers of blobs retry, not their
/// further connections.
const BASE_TOKENS: u32 = 10;

/// Received or sent bytes that give back a token.
const BYTES_PER_TOKEN: u64 = 8 << 20;

/// Successful requests that give back a token.
const REQUESTS_PER_TOKEN: u64 = 20;

/// Failures further apart are not in a row. Longer than any wait between two attempts, timeouts included.
const MAX_GAP: Duration = Duration::from_secs(60);

/// Longest delay before the next shared attempt.
const MAX_DELAY: Duration = Duration::from_secs(10);

/// What failed is remembered up to this number.
const MAX_REMEMBERED: usize = 1000;

/// Outages shorter than this are not reported.
const MIN_OUTAGE: Duration = Duration::from_secs(1);

/// Shorter waits that a host asks for are announced for the first one only.
const MIN_ANNOUNCED: Duration = Duration::from_secs(5);

/// The limiters of all hosts, created on first use.
#[derive(Debug)]
pub(in crate::registry) struct Limiters {
    policy: RetryPolicy,
    limits: HostLimits,
    /// Initial tokens of each host, which are also the maximum.
    max_tokens: u32,
    hosts: Mutex<HashMap<Origin, Arc<Limiter>>>,
}

impl Limiters {
    pub(in crate::registry) fn new(options: &RegistryOptions) -> Self {
        let connections = u32::try_from(options.connections).unwrap_or(u32::MAX);
        let max_tokens = BASE_TOKENS.saturating_add(connections.saturating_mul(2));
        let (policy, limits) = (options.retry, options.limits.clone());
        Self { policy, limits, max_tokens, hosts: Mutex::default() }
    }

    pub(in crate::registry) fn host(&self, host: &Origin) -> Arc<Limiter> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Limiter::new(host, self));
        Arc::clone(hosts.entry(host.clone()).or_insert_with(new))
    }
}

/// The state of one host.
#[derive(Debug)]
pub(in crate::registry) struct Limiter {
    host: Origin,
    policy: RetryPolicy,
    max_tokens: u32,
    gate: Arc<Gate>,
    state: Mutex<HostState>,
    shared_attempt: Arc<tokio::sync::Mutex<()>>,
}

/// The right to send, held until the outcome was recorded.
#[derive(Debug)]
pub(in crate::registry) struct Admission {
    /// Set for the shared attempt.
    turn: Option<OwnedMutexGuard<()>>,
    pass: Option<Pass>,
}

impl Admission {
    /// Keeps the place among the requests of the host until the body was read, for which [`Pass`] is an extension of the
    /// response. Other responses have no body worth counting.
    pub(in crate::registry) fn extend_to_body(self, response: &mut Response) {
        drop(self.turn);
        if let Some(pass) = self.pass {
            pass.begin_body();
            response.extensions_mut().insert(Arc::new(pass));
        }
    }
}

#[derive(Debug, Default)]
struct HostState {
    tokens: u32,
    /// Progress towards the next token.
    earned_bytes: u64,
    /// When it last responded without a failure.
    last_response: Option<Instant>,
    /// When what was requested was first answered by 500.
    broken: HashMap<String, Instant>,
    failing: Option<Failing>,
    paused: Option<(Instant, Reason)>,
}

/// An attempt for all requests to a host that fails.
struct SharedAttempt {
    /// The number of failures so far.
    failures: u32,
    at: Instant,
    /// It is the last one.
    is_probe: bool,
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
    is_reported: bool,
    /// What was requested without success.
    requested: HashSet<String>,
    /// The number of failures when something else was requested after `retry_for`.
    probed: Option<u32>,
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

impl Failing {
    /// The outage so far; it is news once.
    fn outage(&mut self) -> Outage {
        let lasted = self.last - self.since;
        let was_reported = self.is_reported;
        self.is_reported |= lasted >= MIN_OUTAGE;
        Outage { lasted, should_report: self.is_reported && !was_reported }
    }
}

impl HostState {
    fn has_responded(&self) -> bool {
        self.last_response.is_some()
    }

    fn earn(&mut self, bytes: u64, max_tokens: u32) {
        self.earned_bytes += bytes;
        let earned = u32::try_from(self.earned_bytes / BYTES_PER_TOKEN).unwrap_or(max_tokens);
        self.earned_bytes %= BYTES_PER_TOKEN;
        self.tokens = self.tokens.saturating_add(earned).min(max_tokens);
    }

    fn fail(&mut self, text: &str, status: Option<u16>) {
        let now = Instant::now();
        let reason = Reason { text: text.to_owned(), status };
        let before = self.failing.take().filter(|failing| now - failing.last < MAX_GAP);
        let mut failing = before.unwrap_or_else(|| Failing {
            since: now,
            last: now,
            count: 0,
            shared: 0,
            reason: reason.clone(),
            is_reported: false,
            requested: HashSet::new(),
            probed: None,
        });
        failing.count += 1;
        failing.shared += u32::from(self.tokens == 0);
        (failing.last, failing.reason) = (now, reason);
        self.tokens = self.tokens.saturating_sub(1);
        self.failing = Some(failing);
    }

    /// Whether this is broken, and not the host, which has answered other requests since.
    fn is_broken(&mut self, error: &Error) -> bool {
        if error.status() != Some(StatusCode::INTERNAL_SERVER_ERROR.as_u16()) {
            return false;
        }
        if self.broken.len() >= MAX_REMEMBERED && !self.broken.contains_key(error.what()) {
            return false;
        }
        let first = self.broken.entry(error.what().to_owned()).or_insert_with(Instant::now);
        self.last_response.is_some_and(|last| last > *first)
    }

    /// Whether a host that seems to be unreachable may only lack what was requested so far, and is asked for something else.
    fn may_probe(&self, failing: &Failing, what: &str) -> bool {
        self.has_responded()
            && failing.probed.is_none_or(|failures| failing.count <= failures)
            && failing.requested.len() < MAX_REMEMBERED
            && !failing.requested.contains(what)
    }

    /// Whether nothing more is expected of the host.
    fn is_unreachable(&self, failing: &Failing, policy: &RetryPolicy) -> bool {
        match policy.attempts {
            Some(attempts) => failing.shared >= attempts,
            None if failing.shared == 0 => false,
            None => !self.has_responded() || failing.since.elapsed() >= policy.retry_for,
        }
    }
}

impl Limiter {
    fn new(host: &Origin, all: &Limiters) -> Self {
        let state = HostState { tokens: all.max_tokens, ..HostState::default() };
        Self {
            host: host.clone(),
            policy: all.policy,
            max_tokens: all.max_tokens,
            gate: all.limits.gate(host),
            state: Mutex::new(state),
            shared_attempt: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, HostState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a response. A response that only reports an unavailable or overloaded server does not count as one.
    pub(in crate::registry) fn record_response(&self, status: StatusCode) {
        let mut state = self.state();
        if is_overloaded(status) {
            state.fail(&format!("responded {status}"), Some(status.as_u16()));
        } else {
            (state.last_response, state.failing) = (Some(Instant::now()), None);
            state.earn(BYTES_PER_TOKEN / REQUESTS_PER_TOKEN, self.max_tokens);
        }
    }

    /// Counts bytes of blobs.
    pub(in crate::registry) fn record_bytes(&self, bytes: u64) {
        self.gate.record_bytes();
        self.state().earn(bytes, self.max_tokens);
    }

    /// Counts a failure, unless its response was recorded. Adds the outage to the error, if the host has responded before and
    /// does not respond to other requests.
    pub(in crate::registry) fn record_failure(&self, error: Error) -> Error {
        if !error.is_transient() {
            return error;
        }
        let mut state = self.state();
        if error.status().is_none() {
            state.fail(error.reason(), None);
        }
        if let Some(failing) = &mut state.failing
            && failing.requested.len() < MAX_REMEMBERED
        {
            failing.requested.insert(error.what().to_owned());
        }
        if !state.has_responded() || state.is_broken(&error) {
            return error;
        }
        let begun = Outage { lasted: Duration::ZERO, should_report: false };
        error.in_outage(state.failing.as_mut().map_or(begun, Failing::outage))
    }

    /// Pauses the host as the error asks for.
    pub(super) fn pause(&self, error: &Error) {
        let Some(wait) = error.retry_after().filter(|wait| *wait <= self.policy.max_retry_after)
        else {
            return;
        };
        let mut state = self.state();
        let now = Instant::now();
        let end = state.paused.as_ref().map_or(now, |(end, _)| *end).max(now);
        if now + wait > end {
            if end == now && (state.paused.is_none() || wait >= MIN_ANNOUNCED) {
                let (host, end) = (self.host.authority(), clock(SystemTime::now() + wait));
                tracing::warn!("waiting for {host} until {end} (asked by Retry-After)");
            }
            let reason = Reason { text: error.reason().to_owned(), status: error.status() };
            state.paused = Some((now + wait, reason));
        }
    }

    /// Waits until a request may be sent to the host.
    ///
    /// # Errors
    /// Transient if the host is paused, or if the shared attempt failed meanwhile; permanent if the host is unreachable.
    pub(in crate::registry) async fn admit(
        &self,
        class: RequestClass,
        what: &str,
    ) -> Result<Admission> {
        let pass = self.gate.pass(class).await;
        Ok(Admission { turn: self.take_turn(what).await?, pass })
    }

    async fn take_turn(&self, what: &str) -> Result<Option<OwnedMutexGuard<()>>> {
        let Some(before) = self.check(what)? else { return Ok(None) };
        let turn = Arc::clone(&self.shared_attempt).lock_owned().await;
        match self.check(what)? {
            None => Ok(None),
            Some(now) if now.failures != before.failures => Err(self.shared_failure(what)),
            Some(now) => {
                if let Some(failing) = self.state().failing.as_mut().filter(|_| now.is_probe) {
                    failing.probed = Some(failing.count);
                }
                tokio::time::sleep_until(now.at).await;
                Ok(Some(turn))
            }
        }
    }

    /// Returns the shared attempt to wait for, if the request may not be sent at once.
    fn check(&self, what: &str) -> Result<Option<SharedAttempt>> {
        let state = self.state();
        let now = Instant::now();
        if let Some((end, reason)) = state.paused.as_ref().filter(|(end, _)| *end > now) {
            let error = reason.error(&self.host, what).transient(Some(*end - now));
            // Not a failure of this request, and not to be reported again.
            return Err(error.in_outage(Outage { lasted: Duration::ZERO, should_report: false }));
        }
        let failing = state.failing.as_ref();
        let Some(failing) = failing.filter(|one| state.tokens == 0 && now - one.last < MAX_GAP)
        else {
            return Ok(None);
        };
        let is_unreachable = state.is_unreachable(failing, &self.policy);
        if is_unreachable && !state.may_probe(failing, what) {
            let error = failing.reason.error(&self.host, what);
            let reason = format!("{} (unreachable, tried {} times)", error.reason(), failing.count);
            return Err(error.with_reason(reason));
        }
        let delay = (now - failing.since) / 2;
        let at = failing.last + delay.clamp(self.policy.base_delay.min(MAX_DELAY), MAX_DELAY);
        Ok(Some(SharedAttempt { failures: failing.count, at, is_probe: is_unreachable }))
    }

    /// Returns the error of the shared attempt for a request that waited for it.
    fn shared_failure(&self, what: &str) -> Error {
        let state = self.state();
        let Some(failing) = &state.failing else {
            return Error::new(ErrorKind::Transport, what)
                .at(self.host.host_port())
                .transient(None);
        };
        let error = failing.reason.error(&self.host, what).transient(None);
        let lasted = failing.since.elapsed();
        if state.has_responded() {
            error.in_outage(Outage { lasted, should_report: false })
        } else {
            error
        }
    }
}

/// Whether a host with this response may serve the same request later.
pub(in crate::registry) fn is_overloaded(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// The time of day: `12:03:10 UTC`.
pub(in crate::registry) fn clock(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() % 86_400;
    format!("{:02}:{:02}:{:02} UTC", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests;
