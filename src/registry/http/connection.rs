//! The connection to one registry: its base URL, its HTTP clients and the hosts it redirects to.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Response, StatusCode, Url, Version};

use super::host_settings::HostSettings;
use super::hosts::HttpClients;
use super::limiter::Limiters;
use super::origin::{Origin, redact};
use super::request::ConnectionUse;
use super::{url_policy, warnings::SeenWarnings};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::registry::options::RegistryOptions;
use crate::registry::redactor::TextKind;
use crate::retry::RetryPolicy;

/// The parameter with the registry that a mirror is asked in place of. containerd introduced it.
const NAMESPACE: &str = "ns";

/// The connection to one registry, shared by its repositories. It holds no credentials.
pub(in crate::registry) struct Connection {
    pub(in crate::registry) options: Arc<RegistryOptions>,
    pub(in crate::registry) name: String,
    pub(in crate::registry) settings: Arc<HostSettings>,
    /// Retries of documents, tokens and listings.
    pub(in crate::registry) retry: RetryPolicy,
    base: Mutex<Url>,
    /// Whether the registry has responded, which settles its scheme.
    has_responded: AtomicBool,
    /// Whether a credential was found for it, so that a refusal does not ask for one.
    pub(in crate::registry) has_credential: AtomicBool,
    pub(in crate::registry) clients: HttpClients,
    pub(in crate::registry) limiters: Arc<Limiters>,
    pub(in crate::registry) warnings: SeenWarnings,
}

impl Connection {
    pub(in crate::registry) fn new(
        name: String,
        base: Url,
        clients: HttpClients,
        options: Arc<RegistryOptions>,
        limiters: Arc<Limiters>,
    ) -> Self {
        let settings = Arc::clone(&clients.settings);
        let retry = if settings.has_next { options.retry.attempts(1) } else { options.retry };
        Self {
            limiters,
            settings,
            retry,
            options,
            name,
            base: Mutex::new(base),
            has_responded: AtomicBool::new(false),
            has_credential: AtomicBool::new(false),
            clients,
            warnings: SeenWarnings::default(),
        }
    }

    /// A URL below `/v2/`.
    pub(in crate::registry) fn url(&self, path: &str) -> Result<Url> {
        let base = self.base();
        base.join(path).map_err(|error| {
            Error::new(ErrorKind::InvalidInput, path).at(&self.name).with_source(error)
        })
    }

    fn base(&self) -> Url {
        self.base.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the URL to send a request to, for a URL of this registry. In place of another registry, its name is added.
    pub(in crate::registry) fn request_url(&self, url: &Url) -> Url {
        let mut url = self.with_current_scheme(url);
        if let Some(namespace) = &self.settings.namespace
            && url.query_pairs().all(|(key, _)| key != NAMESPACE)
        {
            url.query_pairs_mut().append_pair(NAMESPACE, namespace);
        }
        url
    }

    /// Returns the URL with https if the registry has since turned out to require it, and with http if it has none.
    pub(in crate::registry) fn with_current_scheme(&self, url: &Url) -> Url {
        let base = self.base();
        let mut changed = url.clone();
        _ = changed.set_scheme(base.scheme());
        let is_registry = Origin::from_url(&changed).ok() == Origin::from_url(&base).ok();
        if base.scheme() == "https" || (self.allows_fallback() && is_registry) {
            changed
        } else {
            url.clone()
        }
    }

    pub(in crate::registry) fn upgrade(&self) {
        self.set_scheme("https");
    }

    fn set_scheme(&self, scheme: &str) {
        let mut base = self.base.lock().unwrap_or_else(PoisonError::into_inner);
        _ = base.set_scheme(scheme);
    }

    pub(super) fn note_response(&self) {
        self.has_responded.store(true, Ordering::Relaxed);
    }

    /// Whether passwords and tokens may be sent to this origin: over plain http only if it is local, or the user allowed it.
    pub(in crate::registry) fn may_send_secrets(&self, origin: &Origin) -> bool {
        origin.is_https() || origin.is_local() || self.options.plain_http
    }

    fn allows_fallback(&self) -> bool {
        self.clients.is_insecure() && !self.options.plain_http
    }

    /// Falls back to plain http if the user allows it and the failed request to the registry shows that it does not speak
    /// TLS. Returns whether the request is to be repeated.
    ///
    /// Never after a response: an attacker in the network must not downgrade later requests to clear text.
    pub(in crate::registry) fn fall_back(&self, failure: &Error) -> bool {
        if failure.detail() != Some(ErrorDetail::NotTls) || !self.allows_fallback() {
            return false;
        }
        if self.base().scheme() == "http" {
            return true;
        }
        if self.has_responded.load(Ordering::Relaxed) {
            return false;
        }
        tracing::info!("{} does not support TLS; using plain HTTP", self.name);
        self.set_scheme("http");
        true
    }

    /// Whether the response is how Go (a bare HTTP/1.0 status line) or nginx (an HTML page) answers plain http on a TLS
    /// port.
    ///
    /// Strict, because a 400 of a registry that does speak http must keep its own message.
    pub(in crate::registry) fn requires_tls(&self, requested: &Url, response: &Response) -> bool {
        let headers = response.headers();
        let is_gos = response.version() == Version::HTTP_10
            && !headers.contains_key(CONTENT_TYPE)
            && !headers.contains_key(CONTENT_LENGTH);
        let is_page = headers
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
        response.status() == StatusCode::BAD_REQUEST
            && requested.scheme() == "http"
            && !self.options.plain_http
            && !self.clients.is_insecure()
            && Origin::from_url(requested).is_ok_and(|origin| origin.is_local())
            && (is_gos || is_page)
    }

    /// The HTTP client for an origin: the registry's own or a server-supplied one.
    pub(in crate::registry) fn client_for(
        &self,
        origin: &Origin,
        connection: ConnectionUse,
    ) -> Result<reqwest::Client> {
        self.clients.get(origin, &self.origin()?, connection)
    }

    /// Checks a server-supplied URL before anything is sent to it.
    pub(in crate::registry) fn check_server_url(
        &self,
        url: &Url,
        what: &str,
        kind: ErrorKind,
    ) -> Result<()> {
        url_policy::check_server_url(url, &self.origin()?, &self.clients.url_policy).map_err(
            |refusal| {
                let reason = self.options.redactor.redact(&refusal.reason, TextKind::Foreign);
                Error::new(kind, what)
                    .at(&self.name)
                    .with_reason(reason)
                    .with_detail(refusal.detail)
            },
        )
    }

    /// Resolves and checks the target of a redirect from `from`.
    pub(in crate::registry) fn redirect_url(
        &self,
        from: &Url,
        target: &str,
        what: &str,
    ) -> Result<Url> {
        let invalid_redirect = |reason: String| {
            Error::new(ErrorKind::Transport, what).at(&self.name).with_reason(reason)
        };
        let next = from.join(target).map_err(|error| {
            invalid_redirect("redirected to an invalid URL".into()).with_source(error)
        })?;
        self.options.redactor.note_url(&next);
        if from.scheme() == "https" && next.scheme() != "https" {
            return Err(invalid_redirect(format!("redirected from https to {}", redact(&next))));
        }
        self.check_server_url(&next, what, ErrorKind::Transport)?;
        Ok(next)
    }

    /// The origin of the base URL. Credentials are bound to it.
    pub(in crate::registry) fn origin(&self) -> Result<Origin> {
        Origin::from_url(&self.base())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection").field(&self.name).finish()
    }
}
