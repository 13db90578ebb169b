//! Tries a credential at a registry before it is kept. Spec: distribution-spec "Determining Support".

use super::Client;
use super::counter::{Counter, Endpoint};
use super::request::Request;
use super::scope::ScopeSet;
use crate::error::{ErrorKind, Matter, Result};
use crate::retry::retry;
use crate::secret::Secret;

/// What came of showing a credential.
#[expect(missing_debug_implementations, reason = "what has no Debug cannot slip into a log")]
pub struct Welcome {
    /// Whether the registry wanted to see it; one that lets everybody in proves nothing.
    pub asked: bool,
    /// What the token server gives to be kept in place of the password.
    pub identity: Option<Secret>,
}

impl Client {
    /// Shows the client's credential to a registry.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] where the registry or its token server refuses it.
    pub async fn log_in(&self, registry: &str) -> Result<Welcome> {
        let transport = self.transport(registry)?;
        let (scopes, counter) = (ScopeSet::default(), Counter::default());
        let request = Request::get(Endpoint::Other, transport.url("")?, &scopes, "login", &counter);
        let shown = retry(&transport.options.retry, || transport.expect_success(&request)).await;
        shown.map_err(|error| match (error.kind(), error.status()) {
            (ErrorKind::Denied, Some(_)) => error.about(Matter::WrongCredential),
            _ => error,
        })?;
        Ok(Welcome { asked: transport.auth.was_asked(), identity: transport.auth.identity() })
    }
}
