//! Retry policy and backoff of the whole crate.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::error::{Error, Outage, Result};
use crate::setters::setters;

/// Default number of attempts; the minimum for a host that responded before.
const DEFAULT_ATTEMPTS: u32 = 5;

/// Maximum delay for a host that responded before, so that its return is noticed soon.
const MAX_OUTAGE_DELAY: Duration = Duration::from_secs(10);

/// An operation that has failed for this long is reported even if its host responds to other requests in between.
const REPORT_AFTER: Duration = Duration::from_secs(5);

/// Longer waits are not shown as dates, which have years of four digits.
const MAX_DATED_WAIT: Duration = Duration::from_secs(100 * 366 * 86_400);

/// The hint where the server asks for a longer wait than is honored.
const WAIT_HINT: &str = "run the command again then, or let it wait with `--retry-for TIME`";

/// How often and how long a failed request is retried.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Attempts in total; for a body, attempts in a row without a new byte. `None` means five, and more within
    /// `retry_for` for a host that responded before.
    pub attempts: Option<u32>,
    /// Time to keep retrying a host that responded before.
    pub retry_for: Duration,
    /// Delay before the second attempt; doubles with each further one.
    pub base_delay: Duration,
    /// Maximum delay, except for one that the registry asks for.
    pub max_delay: Duration,
    /// Maximum `Retry-After` that is honored. A longer one ends the retries with an error that states it.
    pub max_retry_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: None,
            retry_for: Duration::from_secs(120),
            base_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(30),
            max_retry_after: Duration::from_secs(60),
        }
    }
}

/// Consecutive failures of one operation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failures {
    /// Number of failures.
    count: u32,
    /// Failures of a host that responded before.
    outages: u32,
    /// Time of the first of these.
    since: Option<Instant>,
    is_reported: bool,
}

impl Failures {
    /// Starts with failures that were counted elsewhere.
    pub(crate) fn counted(count: u32) -> Self {
        Self { count, ..Self::default() }
    }

    /// The outage, to be reported once if those of the host are too short for that.
    fn reported(&mut self, outage: Outage) -> Outage {
        let elapsed = self.since.map(|since| since.elapsed()).unwrap_or_default();
        let is_news = !self.is_reported && elapsed >= REPORT_AFTER && outage.lasted < elapsed / 2;
        self.is_reported |= is_news || outage.should_report;
        Outage { should_report: outage.should_report || is_news, ..outage }
    }
}

impl RetryPolicy {
    /// Returns the delay after this failure.
    ///
    /// # Errors
    /// The error, with the number of attempts and their duration in its reason, if no retry is left or useful.
    pub fn backoff(&self, failures: &mut Failures, error: Error) -> Result<(Duration, Error)> {
        if !error.is_transient() {
            return Err(error);
        }
        if error.retry_after().is_some_and(|wait| wait > self.max_retry_after) {
            let reason = reason_with_wait(&error);
            let error = error.with_reason(reason).permanent();
            return Err(if error.detail().is_none() { error.with_hint(WAIT_HINT) } else { error });
        }
        failures.count += 1;
        let (delay, error) = if let Some(outage) = error.outage() {
            let delay = self.outage_delay(failures, outage);
            (delay, error.in_outage(failures.reported(outage)))
        } else {
            let others = failures.count - failures.outages;
            (self.exponential_delay(others, failures.count), error)
        };
        match delay {
            Some(delay) => Ok((error.retry_after().unwrap_or(delay), error)),
            None => Err(given_up(failures, error)),
        }
    }

    /// Returns the delay after the `failures`-th failure of `all`; `None` after the last one.
    fn exponential_delay(&self, failures: u32, all: u32) -> Option<Duration> {
        let is_last = match self.attempts {
            Some(attempts) => all >= attempts,
            None => failures >= DEFAULT_ATTEMPTS,
        };
        (!is_last).then(|| self.delay(failures))
    }

    /// Returns the delay after so many failures in a row, none after 0.
    pub(crate) fn delay(&self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
        let doubled = self.base_delay.saturating_mul(1_u32 << doublings.min(16));
        // Full jitter: clients that failed together must not retry together.
        doubled.min(self.max_delay).mul_f64(fastrand::f64())
    }

    /// Returns the delay for a host that responded before. It grows with the outage; the last attempt is at the end of
    /// `retry_for`.
    fn outage_delay(&self, failures: &mut Failures, outage: Outage) -> Option<Duration> {
        failures.outages += 1;
        let elapsed = failures.since.get_or_insert_with(Instant::now).elapsed();
        // If `retry_for` was used up by other tasks or slow attempts, the usual number of attempts still applies.
        let remaining = self.retry_for.saturating_sub(elapsed.max(outage.lasted));
        if remaining.is_zero() || self.attempts.is_some_and(|attempts| failures.count >= attempts) {
            return self.exponential_delay(failures.count, failures.count);
        }
        // With the time of this operation: a host that responds in between, and breaks off the same upload again and again, has
        // outages without a duration.
        let grown = (outage.lasted.max(elapsed) / 2).max(self.base_delay).min(MAX_OUTAGE_DELAY);
        Some(grown.mul_f64(0.5 + fastrand::f64() / 2.0).min(remaining))
    }

    setters! {
        optional attempts: u32;
        value retry_for: Duration;
        value base_delay: Duration;
        value max_delay: Duration;
        value max_retry_after: Duration;
    }
}

/// The reason with the time that the server asks to wait for, if it does.
fn reason_with_wait(error: &Error) -> String {
    let Some(wait) = error.retry_after() else { return error.reason().to_owned() };
    let end = SystemTime::now().checked_add(wait).filter(|_| wait < MAX_DATED_WAIT);
    match end.map(httpdate::fmt_http_date) {
        Some(end) => format!("{}; the server asks to wait until {end}", error.reason()),
        None => format!("{}; the server asks not to retry", error.reason()),
    }
}

fn given_up(failures: &Failures, error: Error) -> Error {
    let waited = failures.since.map(|since| since.elapsed()).unwrap_or_default();
    let reason = reason_with_wait(&error);
    let reason = match failures.count {
        0 | 1 => reason,
        tries if waited > Duration::from_secs(10) => {
            format!("{reason} (tried {tries} times in {} s)", waited.as_secs())
        }
        tries => format!("{reason} (tried {tries} times)"),
    };
    error.with_reason(reason).permanent()
}

/// Warns about an outage, once for all waiting tasks.
pub(crate) fn warn_of_outage(policy: &RetryPolicy, error: &Error) {
    if error.outage().is_some_and(|outage| outage.should_report) {
        let seconds = policy.retry_for.as_secs();
        tracing::warn!("{}; retrying for up to {seconds} s", error.chain());
    }
}

/// Runs `operation` until it succeeds, fails permanently, or the policy gives up.
pub async fn retry<T, F>(policy: &RetryPolicy, mut operation: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut failures = Failures::default();
    loop {
        match operation().await {
            Ok(value) => return Ok(value),
            Err(error) => {
                let (delay, error) = policy.backoff(&mut failures, error)?;
                warn_of_outage(policy, &error);
                tracing::info!("{}; retrying in {} ms", error.chain(), delay.as_millis());
                tokio::time::sleep(delay).await;
            }
        }
    }
}

/// Timeouts of single steps. A whole blob has no timeout.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Timeouts {
    /// For a connection, including TLS.
    pub connect: Duration,
    /// For the response headers after a request was sent.
    pub headers: Duration,
    /// For the next bytes of a body.
    pub idle: Duration,
    /// For the response to an uploaded blob: some registries first copy it to its final location.
    pub commit: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            headers: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            commit: Duration::from_secs(300),
        }
    }
}

impl Timeouts {
    setters! {
        value connect: Duration;
        value headers: Duration;
        value idle: Duration;
        value commit: Duration;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn busy(retry_after: Option<u64>) -> Error {
        Error::new(ErrorKind::Registry, "blob")
            .with_reason("busy")
            .transient(retry_after.map(Duration::from_secs))
    }

    #[test]
    fn backoff_doubles_up_to_max_and_honours_retry_after() {
        let policy = RetryPolicy { attempts: Some(50), ..RetryPolicy::default() };
        let mut failures = Failures::default();
        for number in 1..40 {
            let (delay, _) = policy.backoff(&mut failures, busy(None)).unwrap();
            let doubled = Duration::from_millis(500 << (number - 1).min(20));
            assert!(delay <= policy.max_delay.min(doubled));
        }
        assert_eq!(policy.backoff(&mut failures, busy(Some(7))).unwrap().0, Duration::from_secs(7));
    }

    #[test]
    fn retry_stops_on_permanent_error_or_last_attempt() {
        let policy = RetryPolicy::default();
        let first = || Failures::default();
        assert!(policy.backoff(&mut first(), busy(None).permanent()).is_err());
        let too_long = busy(None).transient(Some(Duration::MAX));
        assert!(policy.backoff(&mut first(), too_long).is_err());
        let asked_too_much = policy.backoff(&mut first(), busy(Some(3600))).unwrap_err();
        let text = asked_too_much.to_string();
        assert!(text.contains("busy; the server asks to wait until ") && text.ends_with(" GMT"));
        assert!(!asked_too_much.is_transient());
        assert!(asked_too_much.hint().unwrap().contains("--retry-for"));
        for wait in [Duration::MAX, Duration::from_secs(1 << 40)] {
            let never = policy.backoff(&mut first(), busy(None).transient(Some(wait))).unwrap_err();
            assert!(never.to_string().ends_with("; the server asks not to retry"), "{never}");
        }
        let last = policy.backoff(&mut Failures::counted(4), busy(None)).unwrap_err();
        assert!(last.to_string().contains("tried 5 times"));
    }

    /// Retries a host that responded once and fails since; returns the attempts and their duration.
    async fn away(policy: &RetryPolicy) -> (u32, Duration, Error) {
        let (began, mut tries) = (Instant::now(), 0);
        let error = retry::<(), _>(policy, || {
            tries += 1;
            let outage = Outage { lasted: began.elapsed(), should_report: false };
            async move { Err(busy(None).in_outage(outage)) }
        })
        .await
        .unwrap_err();
        (tries, began.elapsed(), error)
    }

    #[tokio::test(start_paused = true)]
    async fn outage_of_known_host_is_retried_with_backoff() {
        let (tries, took, error) = away(&RetryPolicy::default()).await;
        assert!(took >= Duration::from_secs(120) && took < Duration::from_secs(180), "{took:?}");
        assert!((15..60).contains(&tries), "{tries}");
        assert!(error.to_string().contains(" s)"), "{error}");
        let short = RetryPolicy { retry_for: Duration::from_secs(9), ..RetryPolicy::default() };
        let (_, took, _) = away(&short).await;
        assert!(took >= Duration::from_secs(9) && took < Duration::from_secs(40), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn outage_retries_obey_explicit_limit() {
        for attempts in [1, 3] {
            let policy = RetryPolicy { attempts: Some(attempts), ..RetryPolicy::default() };
            assert_eq!(away(&policy).await.0, attempts);
        }
        // Other tasks have used up the time.
        let policy = RetryPolicy { retry_for: Duration::ZERO, ..RetryPolicy::default() };
        let (tries, took, _) = away(&policy).await;
        assert!(tries == DEFAULT_ATTEMPTS && took < Duration::from_secs(9), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn outage_with_responses_between_is_retried_with_growing_delay() {
        let (mut tries, mut reports) = (0, 0);
        let (policy, mut failures) = (RetryPolicy::default(), Failures::default());
        let outage = Outage { lasted: Duration::ZERO, should_report: false };
        while let Ok((delay, error)) = policy.backoff(&mut failures, busy(None).in_outage(outage)) {
            tries += 1;
            reports += usize::from(error.outage().is_some_and(|outage| outage.should_report));
            tokio::time::sleep(delay).await;
        }
        assert!((15..60).contains(&tries), "{tries}");
        assert_eq!(reports, 1);
    }

    #[tokio::test]
    async fn failures_after_outage_have_own_retry_count() {
        let policy = RetryPolicy { base_delay: Duration::ZERO, ..RetryPolicy::default() };
        let mut failures = Failures::default();
        let outage = Outage { lasted: Duration::ZERO, should_report: false };
        for _ in 0..20 {
            policy.backoff(&mut failures, busy(None).in_outage(outage)).unwrap();
        }
        for _ in 1..DEFAULT_ATTEMPTS {
            policy.backoff(&mut failures, busy(None)).unwrap();
        }
        policy.backoff(&mut failures, busy(None)).unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn retry_succeeds_after_transient_errors() {
        let mut calls = 0;
        let result = retry(&RetryPolicy::default(), || {
            calls += 1;
            let answer = if calls < 5 { Err(busy(None)) } else { Ok(calls) };
            async move { answer }
        })
        .await;
        assert_eq!(result.unwrap(), 5);
    }
}
