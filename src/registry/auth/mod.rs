//! Authentication: Basic, Bearer by GET, OAuth2 by POST with an identity token; one token per set of scopes.
//!
//! Tokens are opaque, never parsed, shared by all tasks, and renewed before they expire or when a registry refuses one.
//! Spec: distribution "Token Authentication Specification" and "Oauth2 Token Authentication".

mod authorization;
mod cache;
pub(in crate::registry) mod challenge;
mod token;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;

use self::authorization::{basic_header, bearer_header};
use self::cache::TokenCache;
use self::challenge::Challenge;
use self::token::TokenService;
use super::credentials::Credential;
use super::scope::ScopeSet;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::registry::http::connection::Connection;
use crate::registry::http::request::Request;
use crate::secret::Secret;

/// The authentication scheme that a registry demands.
#[derive(Clone)]
enum Scheme {
    Basic,
    Bearer(Arc<TokenService>),
}

/// The authentication state of one registry.
pub(in crate::registry) struct Auth {
    registry: String,
    scheme: Mutex<Option<Scheme>>,
    tokens: TokenCache,
    credentials: tokio::sync::Mutex<HashMap<String, Option<Credential>>>,
    /// The identity token issued with the last token, if any.
    identity: Mutex<Option<Secret>>,
}

impl Auth {
    pub(in crate::registry) fn new(registry: String) -> Self {
        Self {
            registry,
            scheme: Mutex::default(),
            tokens: TokenCache::default(),
            credentials: tokio::sync::Mutex::default(),
            identity: Mutex::default(),
        }
    }

    /// Whether a challenge was received.
    pub(in crate::registry) fn was_challenged(&self) -> bool {
        self.scheme.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The identity token that a token server issued.
    pub(in crate::registry) fn identity_token(&self) -> Option<Secret> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The `Authorization` for this request; `None` until the registry has sent a challenge.
    pub(in crate::registry) async fn authorization_for(
        &self,
        http: &Connection,
        request: &Request<'_>,
    ) -> Result<Option<HeaderValue>> {
        let scheme = self.scheme.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match scheme {
            None => Ok(None),
            Some(Scheme::Basic) => self.basic(http, request).await.map(Some),
            Some(Scheme::Bearer(service)) => {
                match self.bearer(http, request, &service, None, None).await {
                    // The registry's challenge will name the right scopes.
                    Err(error)
                        if error.kind() == ErrorKind::Denied
                            && self.tokens.scopes_of(request).is_guess() =>
                    {
                        tracing::info!("{}; continuing without a token", error.chain());
                        Ok(None)
                    }
                    other => other.map(Some),
                }
            }
        }
    }

    /// Handles a 401: selects the scheme and requests another token if the `refused` one was current.
    ///
    /// Returns whether a retry would send anything other than `refused`. If not, the registry's response is the error.
    pub(in crate::registry) async fn handle_challenge(
        &self,
        http: &Connection,
        request: &Request<'_>,
        challenges: &[Challenge],
        base: &Url,
        refused: Option<&HeaderValue>,
    ) -> Result<bool> {
        if challenges.is_empty() {
            return Ok(false);
        }
        let bearer = bearer_challenge(challenges);
        let basic = challenges.iter().find(|challenge| challenge.scheme == "basic");
        let scheme = match (bearer, basic) {
            (Some(bearer), _) => {
                let service = TokenService::from_challenge(bearer, request, http, base)?;
                Scheme::Bearer(Arc::new(service))
            }
            (None, Some(_)) => Scheme::Basic,
            (None, None) => {
                return Err(denied(request, &self.registry, &unsupported_schemes(challenges)));
            }
        };
        let lock = || self.scheme.lock().unwrap_or_else(PoisonError::into_inner);
        let former = lock().replace(scheme.clone());
        let header = match scheme {
            Scheme::Basic => self.basic(http, request).await,
            Scheme::Bearer(service) => {
                let scope = bearer.and_then(|bearer| bearer.param("scope"));
                self.bearer(http, request, &service, refused, scope).await
            }
        };
        match header {
            Ok(header) => Ok(Some(&header) != refused),
            Err(error) => {
                // Some registries challenge for missing content, and serve the rest anonymously.
                if !error.is_transient() {
                    *lock() = former;
                }
                Err(error)
            }
        }
    }

    /// Handles a refusal of a token with too few scopes: requests one for exactly the scopes of the challenge, unless
    /// it was requested for these already. Spec: RFC 6750 section 3.1, `insufficient_scope`.
    pub(in crate::registry) async fn handle_insufficient_scope(
        &self,
        http: &Connection,
        request: &Request<'_>,
        challenges: &[Challenge],
        refused: Option<&HeaderValue>,
    ) -> Result<bool> {
        let scheme = self.scheme.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let scope = bearer_challenge(challenges).and_then(|bearer| bearer.param("scope"));
        let (Some(Scheme::Bearer(service)), Some(scope), Some(_)) = (scheme, scope, refused) else {
            return Ok(false);
        };
        let demanded = ScopeSet::parse(scope);
        let requested =
            self.tokens.cell(&self.tokens.scopes_of(request)).lock().await.requested.clone();
        if demanded.is_empty() || demanded == requested {
            return Ok(false);
        }
        self.tokens.require(request, demanded);
        let header = self.bearer(http, request, &service, refused, None).await?;
        Ok(Some(&header) != refused)
    }

    async fn basic(&self, http: &Connection, request: &Request<'_>) -> Result<HeaderValue> {
        self.check_https(http, request, "password")?;
        match self.credential(http, request).await? {
            Some(
                Credential::Basic { user, password }
                | Credential::IdentityToken { basic: Some((user, password)), .. },
            ) => basic_header(&user, &password, request),
            Some(Credential::RegistryToken(token)) => bearer_header(&token, request),
            Some(Credential::IdentityToken { .. }) => Err(denied(
                request,
                &self.registry,
                "requires a password, but only an identity token is stored",
            )
            .with_detail(ErrorDetail::CredentialRequired)),
            None => Err(denied(
                request,
                &self.registry,
                "authentication required, and no credentials found",
            )
            .with_detail(ErrorDetail::CredentialRequired)),
        }
    }

    async fn bearer(
        &self,
        http: &Connection,
        request: &Request<'_>,
        service: &TokenService,
        refused: Option<&HeaderValue>,
        challenged: Option<&str>,
    ) -> Result<HeaderValue> {
        let mut scopes = self.tokens.scopes_of(request);
        let slot = self.tokens.cell(&scopes);
        let mut cached = slot.lock().await;
        if let Some(scope) = challenged {
            cached.challenged = Some(scope.to_owned());
        }
        if let Some(header) = cached.usable(refused) {
            return Ok(header.clone());
        }
        let credential = self.credential(http, request).await?;
        // The token of an account is as secret as its password.
        if credential.is_some() {
            self.check_https(http, request, "token")?;
        }
        if let Some(Credential::RegistryToken(token)) = credential {
            return bearer_header(&token, request);
        }
        scopes.merge_challenge(cached.challenged.as_deref().unwrap_or_default());
        let issued = token::fetch(http, request, service, credential.as_ref(), &scopes).await?;
        http.options.redactor.note_passing(issued.token.expose());
        issued.identity.iter().for_each(|token| http.options.redactor.add(token.expose()));
        let header = bearer_header(&issued.token, request)?;
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = issued.identity;
        cached.store(&header, Duration::from_secs(issued.lifetime_seconds), scopes);
        Ok(header)
    }

    /// Refuses to send a secret over plain http, unless the user allowed it.
    fn check_https(&self, http: &Connection, request: &Request<'_>, secret: &str) -> Result<()> {
        if http.may_send_secrets(&http.origin()?) {
            return Ok(());
        }
        let reason = format!("requires a {secret} over plain HTTP");
        Err(denied(request, &self.registry, &reason).with_detail(ErrorDetail::SecretOverHttp))
    }

    /// The credential for the repository, looked up once: helpers are programs and may prompt the user.
    async fn credential(
        &self,
        http: &Connection,
        request: &Request<'_>,
    ) -> Result<Option<Credential>> {
        let repository = request.scopes.repository().unwrap_or_default().to_owned();
        let mut cache = self.credentials.lock().await;
        if let Some(credential) = cache.get(&repository) {
            return Ok(credential.clone());
        }
        let credentials = &http.options.credentials;
        let found = if http.settings.is_other_host {
            credentials.find_of_host(&self.registry, &repository).await?
        } else {
            credentials.find(&self.registry, &repository).await?
        };
        found
            .iter()
            .flat_map(Credential::secrets)
            .for_each(|secret| http.options.redactor.add(secret.expose()));
        if found.is_some() {
            http.has_credential.store(true, Ordering::Relaxed);
        }
        cache.insert(repository, found.clone());
        Ok(found)
    }
}

fn bearer_challenge(challenges: &[Challenge]) -> Option<&Challenge> {
    let has_realm = |one: &&Challenge| one.param("realm").is_some_and(|realm| !realm.is_empty());
    challenges.iter().find(|challenge| challenge.scheme == "bearer").filter(has_realm)
}

fn unsupported_schemes(challenges: &[Challenge]) -> String {
    let offered: Vec<&str> = challenges.iter().map(|challenge| challenge.scheme.as_str()).collect();
    if offered.contains(&"bearer") {
        return "requires a token but names no token server".to_owned();
    }
    format!("unsupported authentication scheme {}", offered.join(" or "))
}

fn denied(request: &Request<'_>, registry: &str, reason: &str) -> Error {
    Error::new(ErrorKind::Denied, request.what).at(registry).with_reason(reason)
}
