//! Answers challenges: Basic, Bearer by GET, OAuth2 by POST with an identity token; one token per set of scopes.
//!
//! Tokens are opaque, never parsed, shared by all tasks, and renewed before they expire or when a registry refuses one.
//! Spec: distribution "Token Authentication Specification" and "Oauth2 Token Authentication".

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::header::HeaderValue;

use super::authorization::{basic_header, bearer_header};
use super::challenge::Challenge;
use super::counter::RequestKind;
use super::credentials::Credential;
use super::request::Request;
use super::scope::ScopeSet;
use super::token::{self, TokenService};
use super::transport::Transport;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::secret::Secret;

/// What a registry wants to see with each request.
#[derive(Clone)]
enum Scheme {
    Basic,
    Bearer(Arc<TokenService>),
}

/// What is held for one set of scopes; the async lock makes sure that only one task at a time asks for a token.
type TokenCell = Arc<tokio::sync::Mutex<CachedToken>>;

#[derive(Default)]
struct CachedToken {
    token: Option<BearerToken>,
    /// What the registry last said it wants for these requests; another repository's token must not ask for it.
    challenged: Option<String>,
    /// What the token was asked to be good for.
    asked: ScopeSet,
}

struct BearerToken {
    header: HeaderValue,
    renew_at: Instant,
}

/// The authentication state of one registry.
pub(super) struct Auth {
    registry: String,
    scheme: Mutex<Option<Scheme>>,
    slots: Mutex<HashMap<ScopeSet, TokenCell>>,
    /// What the registry wants for requests of one kind, where it refused the token for their own scopes.
    exact: Mutex<HashMap<(ScopeSet, RequestKind), ScopeSet>>,
    credentials: tokio::sync::Mutex<HashMap<String, Option<Credential>>>,
    /// The identity token that came with the last token, where one was asked for.
    identity: Mutex<Option<Secret>>,
}

impl Auth {
    pub(super) fn new(registry: String) -> Self {
        Self {
            registry,
            scheme: Mutex::default(),
            slots: Mutex::default(),
            exact: Mutex::default(),
            credentials: tokio::sync::Mutex::default(),
            identity: Mutex::default(),
        }
    }

    /// Whether the registry has challenged.
    pub(super) fn was_challenged(&self) -> bool {
        self.scheme.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The identity token that a token server gave.
    pub(super) fn identity_token(&self) -> Option<Secret> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What to send with this request: nothing until the registry has challenged.
    pub(super) async fn authorization_for(
        &self,
        transport: &Transport,
        request: &Request<'_>,
    ) -> Result<Option<HeaderValue>> {
        let scheme = self.scheme.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match scheme {
            None => Ok(None),
            Some(Scheme::Basic) => self.basic(transport, request).await.map(Some),
            Some(Scheme::Bearer(service)) => {
                match self.bearer(transport, request, &service, None, None).await {
                    // The registry's challenge will say what is needed.
                    Err(error)
                        if error.kind() == ErrorKind::Denied
                            && self.scopes_of(request).is_guess() =>
                    {
                        tracing::info!("{}; asking without a token", error.chain());
                        Ok(None)
                    }
                    other => other.map(Some),
                }
            }
        }
    }

    /// Learns from a 401: chooses a scheme, and gets another token where `refused` was the one at hand.
    ///
    /// Says whether there is anything else to send than what was refused; where not, the registry's own words count.
    pub(super) async fn handle_challenge(
        &self,
        transport: &Transport,
        request: &Request<'_>,
        challenges: &[Challenge],
        base: &Url,
        refused: Option<&HeaderValue>,
    ) -> Result<bool> {
        if challenges.is_empty() {
            return Ok(false);
        }
        let bearer = bearer_of(challenges);
        let basic = challenges.iter().find(|challenge| challenge.scheme == "basic");
        let scheme = match (bearer, basic) {
            (Some(bearer), _) => {
                let service = TokenService::from_challenge(bearer, request, transport, base)?;
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
            Scheme::Basic => self.basic(transport, request).await,
            Scheme::Bearer(service) => {
                let scope = bearer.and_then(|bearer| bearer.param("scope"));
                self.bearer(transport, request, &service, refused, scope).await
            }
        };
        match header {
            Ok(header) => Ok(Some(&header) != refused),
            Err(error) => {
                // Some challenge for what they do not have, and give the rest to everybody.
                if !error.is_transient() {
                    *lock() = former;
                }
                Err(error)
            }
        }
    }

    /// Learns from another refusal, of a token that is good for too little: gets one for exactly what the registry names,
    /// where that is not what was asked for already. Spec: RFC 6750 section 3.1, `insufficient_scope`.
    pub(super) async fn answer_again(
        &self,
        transport: &Transport,
        request: &Request<'_>,
        challenges: &[Challenge],
        refused: Option<&HeaderValue>,
    ) -> Result<bool> {
        let scheme = self.scheme.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let scope = bearer_of(challenges).and_then(|bearer| bearer.param("scope"));
        let (Some(Scheme::Bearer(service)), Some(scope), Some(_)) = (scheme, scope, refused) else {
            return Ok(false);
        };
        let named = ScopeSet::named(scope);
        let asked = self.slot(&self.scopes_of(request)).lock().await.asked.clone();
        if named.is_empty() || named == asked {
            return Ok(false);
        }
        let kind = (request.scopes.clone(), request.endpoint);
        self.exact.lock().unwrap_or_else(PoisonError::into_inner).insert(kind, named);
        let header = self.bearer(transport, request, &service, refused, None).await?;
        Ok(Some(&header) != refused)
    }

    /// What a token for this request is asked to be good for, as far as the registry did not say more.
    fn scopes_of(&self, request: &Request<'_>) -> ScopeSet {
        let kind = (request.scopes.clone(), request.endpoint);
        let exact = self.exact.lock().unwrap_or_else(PoisonError::into_inner).get(&kind).cloned();
        exact.unwrap_or(kind.0)
    }

    fn slot(&self, scopes: &ScopeSet) -> TokenCell {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(scopes.clone()).or_default())
    }

    async fn basic(&self, transport: &Transport, request: &Request<'_>) -> Result<HeaderValue> {
        let origin = transport.origin()?;
        if !origin.is_https() && !origin.is_local() && !transport.options.plain_http {
            return Err(denied(request, &self.registry, "asks for a password over plain http")
                .with_detail(ErrorDetail::SecretOverHttp));
        }
        match self.credential(transport, request).await? {
            Some(
                Credential::Basic { user, password }
                | Credential::IdentityToken { basic: Some((user, password)), .. },
            ) => basic_header(&user, &password, request),
            Some(Credential::RegistryToken(token)) => bearer_header(&token, request),
            Some(Credential::IdentityToken { .. }) => Err(denied(
                request,
                &self.registry,
                "asks for a password, but only an identity token is stored",
            )
            .with_detail(ErrorDetail::CredentialRequired)),
            None => Err(denied(
                request,
                &self.registry,
                "asks for a user name and password, and none is stored for it",
            )
            .with_detail(ErrorDetail::CredentialRequired)),
        }
    }

    async fn bearer(
        &self,
        transport: &Transport,
        request: &Request<'_>,
        service: &TokenService,
        refused: Option<&HeaderValue>,
        challenged: Option<&str>,
    ) -> Result<HeaderValue> {
        let mut scopes = self.scopes_of(request);
        let slot = self.slot(&scopes);
        let mut held = slot.lock().await;
        if let Some(scope) = challenged {
            held.challenged = Some(scope.to_owned());
        }
        if let Some(token) = &held.token
            && Some(&token.header) != refused
            && Instant::now() < token.renew_at
        {
            return Ok(token.header.clone());
        }
        let credential = self.credential(transport, request).await?;
        if let Some(Credential::RegistryToken(token)) = credential {
            return bearer_header(&token, request);
        }
        scopes.merge_challenge(held.challenged.as_deref().unwrap_or_default());
        let granted =
            token::fetch(transport, request, service, credential.as_ref(), &scopes).await?;
        transport.options.redactor.note_passing(granted.token.expose());
        granted.identity.iter().for_each(|token| transport.options.redactor.add(token.expose()));
        let header = bearer_header(&granted.token, request)?;
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = granted.identity;
        // Measured from arrival on our own clock: `issued_at` is some other machine's.
        let lifetime = Duration::from_secs(granted.lifetime_seconds);
        held.asked = scopes;
        held.token = Some(BearerToken {
            header: header.clone(),
            renew_at: Instant::now() + lifetime.mul_f32(0.8),
        });
        Ok(header)
    }

    /// The credential for the repository, looked up once: helpers are programs and may ask the user.
    async fn credential(
        &self,
        transport: &Transport,
        request: &Request<'_>,
    ) -> Result<Option<Credential>> {
        let repository = request.scopes.repository().unwrap_or_default().to_owned();
        let mut known = self.credentials.lock().await;
        if let Some(credential) = known.get(&repository) {
            return Ok(credential.clone());
        }
        let found = transport.options.credentials.find(&self.registry, &repository).await?;
        found
            .iter()
            .flat_map(Credential::secrets)
            .for_each(|secret| transport.options.redactor.add(secret.expose()));
        known.insert(repository, found.clone());
        Ok(found)
    }
}

fn bearer_of(challenges: &[Challenge]) -> Option<&Challenge> {
    let has_realm = |one: &&Challenge| one.param("realm").is_some_and(|realm| !realm.is_empty());
    challenges.iter().find(|challenge| challenge.scheme == "bearer").filter(has_realm)
}

fn unsupported_schemes(challenges: &[Challenge]) -> String {
    let offered: Vec<&str> = challenges.iter().map(|challenge| challenge.scheme.as_str()).collect();
    if offered.contains(&"bearer") {
        return "wants a token but does not say from where".to_owned();
    }
    format!("wants {}, which rpull does not speak", offered.join(" or "))
}

fn denied(request: &Request<'_>, registry: &str, why: &str) -> Error {
    Error::new(ErrorKind::Denied, request.what).at(registry).with_reason(why)
}
