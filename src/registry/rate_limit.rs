//! Asks a registry what it says of its own limits.

use super::scope::ScopeSet;
use super::{Client, manifest};
use crate::content::RateLimit;
use crate::error::Result;
use crate::reference::Reference;
use crate::reference::docker_hub::HUB;
use crate::registry::http::counter::{RequestCounter, RequestKind};
use crate::registry::http::request::Request;
use crate::retry::retry;

/// The image that Docker Hub has for asking: a HEAD of it does not count as a pull.
const HUB_PROBE: &str = "docker.io/ratelimitpreview/test:latest";

impl Client {
    /// Asks a registry for its limits. `None` if it says nothing of them. Costs a request, at Docker Hub a HEAD that does not
    /// count as a pull; tokens are not counted.
    ///
    /// Refusals announce the limits too, in particular the 429 of a limit that is used up.
    pub async fn rate_limit(&self, registry: &str) -> Result<Option<RateLimit>> {
        let transport = self.transport(registry)?;
        if registry == HUB {
            let reference: Reference = HUB_PROBE.parse()?;
            let asked = manifest::head(&self.repository(&reference)?, &reference.name()).await;
            if transport.announced_limit.get().is_none() {
                asked?;
            }
        } else {
            let (scopes, counter) = (ScopeSet::default(), RequestCounter::default());
            let url = transport.http.url("")?;
            let request = Request::get(RequestKind::Other, url, &scopes, "limits", &counter);
            retry(&transport.http.retry, || async {
                match transport.expect_success(&request).await {
                    Err(_) if transport.announced_limit.get().is_some() => Ok(()),
                    other => other.map(drop),
                }
            })
            .await?;
        }
        Ok(transport.announced_limit.get())
    }
}
