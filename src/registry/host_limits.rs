//! Limits of the requests to single hosts, as their operators ask for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::http::gate::Gate;
use super::http::origin::Origin;
use crate::error::{Error, ErrorKind, Result};
use crate::reference::docker_hub::{HUB, HUB_API_HOST};
use crate::reference::registry_only;
use crate::setters::setters;

/// Longest wait for a limit to recover.
const MAX_WAIT: Duration = Duration::from_secs(7 * 86_400);

/// The limits of one host. What is not set is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct HostLimit {
    /// Maximum concurrent requests, including responses that are still being read.
    pub connections: Option<usize>,
    /// Maximum requests a second, evenly spaced. Every request counts: those answered with 401, redirects and retries, too.
    pub requests_per_second: Option<f64>,
    /// Pulls that are left to others of those that the registry announces by `ratelimit-remaining`, as Docker Hub does.
    pub rate_limit_floor: Option<u64>,
    /// How long to wait at the floor; without it, requests fail there with [`ErrorKind::Stopped`].
    pub rate_limit_wait: Option<Duration>,
}

impl HostLimit {
    setters! {
        optional connections: usize;
        optional requests_per_second: f64;
        optional rate_limit_floor: u64;
        optional rate_limit_wait: Duration;
    }
}

/// Limits by host. Clones share the requests that are on their way, so that several clients keep one limit together.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct HostLimits {
    limits: HashMap<String, HostLimit>,
    gates: Arc<Mutex<HashMap<Origin, Arc<Gate>>>>,
}

impl HostLimits {
    /// Sets the limits of a host: a registry as in references, or a host that registries refer to, for tokens or blobs.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the host is not one, or a limit is not above zero.
    pub fn with(mut self, host: &str, limit: HostLimit) -> Result<Self> {
        let invalid = |reason| {
            let what = format!("limits of `{host}`");
            Err(Error::new(ErrorKind::InvalidInput, what).with_reason(reason))
        };
        if limit.connections == Some(0) {
            return invalid("`connections` must be at least 1");
        }
        // A day between two requests is as good as none.
        if limit.requests_per_second.is_some_and(|rate| !(1e-5..=1e6).contains(&rate)) {
            return invalid("`requests-per-second` must be from 0.00001 to 1000000");
        }
        if limit.rate_limit_wait.is_some() && limit.rate_limit_floor.is_none() {
            return invalid("`rate-limit-wait` requires `rate-limit-floor`");
        }
        if limit.rate_limit_wait.is_some_and(|wait| wait > MAX_WAIT) {
            return invalid("`rate-limit-wait` must be at most 7 days");
        }
        let name = registry_only(host)?.to_ascii_lowercase();
        let name = if name == HUB { HUB_API_HOST.to_owned() } else { name };
        self.limits.insert(name, limit);
        Ok(self)
    }

    /// What is set for a host.
    pub(super) fn of(&self, host: &Origin) -> HostLimit {
        self.limits.get(&host.authority()).copied().unwrap_or_default()
    }

    /// The gate of a host, shared by all clones.
    pub(super) fn gate(&self, host: &Origin) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let limit = self.of(host);
            Arc::new(Gate::new(limit.connections, limit.requests_per_second))
        };
        Arc::clone(gates.entry(host.clone()).or_insert_with(new))
    }
}
