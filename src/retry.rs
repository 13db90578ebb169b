//! When to try again, and how long to wait: the only back-off in the crate.

use std::time::Duration;

use crate::error::{Error, Result};

/// How often a failed request is tried again.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Tries in all, the first included; for a body, tries in a row without a new byte.
    pub attempts: u32,
    /// Wait before the second try; doubles with each further one.
    pub first_delay: Duration,
    /// No wait is longer, unless the registry asks for it.
    pub longest_delay: Duration,
    /// The longest `Retry-After` that is obeyed; a longer one is an error at once that says until when.
    pub patience: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_delay: Duration::from_millis(500),
            longest_delay: Duration::from_secs(30),
            patience: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    /// How long to wait after this failure, the `failures`-th in a row.
    ///
    /// # Errors
    /// Gives the error back, saying how often it was tried, where there is no use in waiting.
    pub fn delay(&self, failures: u32, error: Error) -> Result<(Duration, Error)> {
        if !error.is_transient() {
            return Err(error);
        }
        if let Some(wanted) = error.retry_after()
            && wanted > self.patience
        {
            let why = format!("{}; it asks to wait {} s", error.why(), wanted.as_secs());
            return Err(error.because(why).lasting());
        }
        if failures >= self.attempts {
            let why = match self.attempts {
                0 | 1 => error.why().to_owned(),
                tries => format!("{} (tried {tries} times)", error.why()),
            };
            return Err(error.because(why).lasting());
        }
        let doubled =
            self.first_delay.saturating_mul(1_u32 << (failures.saturating_sub(1)).min(16));
        // Full jitter: many clients that failed together must not come back together.
        let jittered = doubled.min(self.longest_delay).mul_f64(fastrand::f64());
        Ok((error.retry_after().unwrap_or(jittered), error))
    }
}

/// Runs `operation` until it succeeds, fails for good, or the policy gives up.
pub async fn retry<T, F>(policy: &RetryPolicy, mut operation: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut failures = 0;
    loop {
        match operation().await {
            Ok(value) => return Ok(value),
            Err(error) => {
                failures += 1;
                let (delay, error) = policy.delay(failures, error)?;
                tracing::info!("{}; trying again in {} ms", error.chain(), delay.as_millis());
                tokio::time::sleep(delay).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn busy(retry_after: Option<u64>) -> Error {
        Error::new(ErrorKind::Registry, "blob")
            .because("busy")
            .transient(retry_after.map(Duration::from_secs))
    }

    #[test]
    fn waits_double_up_to_a_cap_and_obey_the_registry() {
        let policy = RetryPolicy { attempts: 50, ..RetryPolicy::default() };
        for failures in 1..40 {
            let (delay, _) = policy.delay(failures, busy(None)).unwrap();
            assert!(
                delay
                    <= policy
                        .longest_delay
                        .min(Duration::from_millis(500 << (failures - 1).min(20)))
            );
        }
        assert_eq!(policy.delay(1, busy(Some(7))).unwrap().0, Duration::from_secs(7));
    }

    #[test]
    fn gives_up_on_lasting_errors_long_waits_and_after_the_last_attempt() {
        let policy = RetryPolicy::default();
        assert!(policy.delay(1, busy(None).lasting()).is_err());
        let asked_too_much = policy.delay(1, busy(Some(3600))).unwrap_err();
        assert!(asked_too_much.to_string().contains("3600 s") && !asked_too_much.is_transient());
        assert!(policy.delay(5, busy(None)).unwrap_err().to_string().contains("tried 5 times"));
    }

    #[tokio::test(start_paused = true)]
    async fn succeeds_when_the_burst_is_shorter_than_the_budget() {
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
