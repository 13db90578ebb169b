//! Tries a credential at a registry before it is kept. Spec: distribution-spec "Determining Support".

use super::Client;
use super::scope::ScopeSet;
use crate::error::{ErrorDetail, ErrorKind, Result};
use crate::registry::http::counter::{RequestCounter, RequestKind};
use crate::registry::http::request::Request;
use crate::retry::retry;
use crate::secret::Secret;

/// What came of showing a credential.
#[expect(missing_debug_implementations, reason = "what has no Debug cannot slip into a log")]
pub struct LoginResult {
    /// Whether the registry asked for it. One with anonymous access proves nothing.
    pub challenged: bool,
    /// What the token server gives to be kept in place of the password.
    pub identity_token: Option<Secret>,
}

impl Client {
    /// Shows the client's credential to a registry.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] where the registry or its token server refuses it.
    pub async fn log_in(&self, registry: &str) -> Result<LoginResult> {
        let transport = self.transport(registry)?;
        let (scopes, counter) = (ScopeSet::default(), RequestCounter::default());
        let request =
            Request::get(RequestKind::Other, transport.http.url("")?, &scopes, "login", &counter);
        let shown =
            retry(&transport.http.options.retry, || transport.expect_success(&request)).await;
        shown.map_err(|error| match (error.kind(), error.status()) {
            (ErrorKind::Denied, Some(_)) => error.with_detail(ErrorDetail::InvalidCredential),
            _ => error,
        })?;
        Ok(LoginResult {
            challenged: transport.auth.was_challenged(),
            identity_token: transport.auth.identity_token(),
        })
    }
}
