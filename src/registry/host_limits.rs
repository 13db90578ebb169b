//! Limits of the requests to single hosts, as their operators ask for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::http::gate::Gate;
use super::http::origin::Origin;
use crate::error::{Error, ErrorKind, Result};
use crate::reference::docker_hub::{HUB, HUB_API_HOST};
use crate::reference::registry_only;
use crate::setters::setters;

/// The limits of one host. What is not set is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct HostLimit {
    /// Most requests at once, responses that are being read included.
    pub connections: Option<usize>,
    /// Most requests a second, evenly spaced. Every request counts: those answered with 401, redirects and retries, too.
    pub requests_per_second: Option<f64>,
}

impl HostLimit {
    setters! {
        optional connections: usize;
        optional requests_per_second: f64;
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
        let name = registry_only(host)?.to_ascii_lowercase();
        let name = if name == HUB { HUB_API_HOST.to_owned() } else { name };
        self.limits.insert(name, limit);
        Ok(self)
    }

    /// The gate of a host, shared by all clones.
    pub(super) fn gate(&self, host: &Origin) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let limit = self.limits.get(&host.authority()).copied().unwrap_or_default();
            Arc::new(Gate::new(limit.connections, limit.requests_per_second))
        };
        Arc::clone(gates.entry(host.clone()).or_insert_with(new))
    }
}
