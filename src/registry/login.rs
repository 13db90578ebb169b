//! Tries a credential at a registry before it is stored. Spec: distribution-spec "Determining Support".

use reqwest::header::{CONTENT_TYPE, HeaderMap};

use super::Client;
use super::scope::ScopeSet;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::registry::http::counter::{RequestCounter, RequestKind};
use crate::registry::http::request::Request;
use crate::retry::retry;
use crate::secret::Secret;

/// The result of a login.
#[expect(missing_debug_implementations, reason = "what has no Debug cannot slip into a log")]
#[non_exhaustive]
pub struct LoginResult {
    /// Whether the registry required the credential. A registry with anonymous access proves nothing.
    pub challenged: bool,
    /// An identity token to store instead of the password, if the token server issued one.
    pub identity_token: Option<Secret>,
}

impl Client {
    /// Tries the client's credential at a registry.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if the registry or its token server rejects it, [`ErrorKind::Registry`] for the page of a web
    /// server that is not a registry.
    pub async fn log_in(&self, registry: &str) -> Result<LoginResult> {
        let transport = self.transport(registry)?;
        let (scopes, counter) = (ScopeSet::default(), RequestCounter::default());
        let request =
            Request::get(RequestKind::Other, transport.http.url("")?, &scopes, "login", &counter);
        let shown = retry(&transport.http.retry, || transport.expect_success(&request)).await;
        let response = shown.map_err(|error| match (error.kind(), error.status()) {
            (ErrorKind::Denied, Some(_)) => error.with_detail(ErrorDetail::InvalidCredential),
            _ => error,
        })?;
        if is_web_page(response.headers()) {
            return Err(Error::new(ErrorKind::Registry, "login")
                .at(registry)
                .with_reason("not a registry: `/v2/` is a web page")
                .with_hint(
                    "check the name of the host; a proxy or login page may answer instead",
                ));
        }
        Ok(LoginResult {
            challenged: transport.auth.was_challenged(),
            identity_token: transport.auth.identity_token(),
        })
    }
}

/// Whether the response is a web page. Not every registry identifies itself, but none that does is one.
fn is_web_page(headers: &HeaderMap) -> bool {
    let is_html = headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(b"text/html"));
    is_html && !headers.contains_key("docker-distribution-api-version")
}
