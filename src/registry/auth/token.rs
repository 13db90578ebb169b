//! Requests tokens from a token server. Spec: distribution `spec/auth/token.md` and `oauth.md`.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;

use super::authorization::basic_header;
use super::challenge::Challenge;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::registry::credentials::Credential;
use crate::registry::http::body::{read_error_body, read_up_to};
use crate::registry::http::connection::Connection;
use crate::registry::http::counter::RequestKind;
use crate::registry::http::error_body::{self, ERROR_BODY_LIMIT};
use crate::registry::http::gate::RequestClass;
use crate::registry::http::hosts::with_proxy;
use crate::registry::http::limiter::is_overloaded;
use crate::registry::http::origin::{Origin, redact};
use crate::registry::http::request::{ConnectionUse, Request};
use crate::registry::http::transport_error::{policy_refusal, request_failed};
use crate::registry::scope::ScopeSet;
use crate::secret::Secret;

/// Maximum bytes read of a token response.
const MAX_RESPONSE_BYTES: u64 = 1 << 20;

/// Minimum and default lifetime of a token, in seconds (distribution's token spec).
const MIN_LIFETIME_SECONDS: u64 = 60;

/// Maximum lifetime of a token, in seconds, whatever the server says.
const MAX_LIFETIME_SECONDS: u64 = 24 * 3600;

/// A token server: the parameters of a registry's Bearer challenge.
pub(super) struct TokenService {
    realm: Url,
    service: Option<String>,
}

/// A token and its remaining lifetime.
pub(super) struct IssuedToken {
    pub(super) token: Secret,
    pub(super) lifetime_seconds: u64,
    /// The identity token issued with it, for a login.
    pub(super) identity: Option<Secret>,
}

#[derive(Deserialize)]
struct TokenResponse {
    token: Option<String>,
    access_token: Option<String>,
    refresh_token: Option<String>,
    #[serde(default)]
    expires_in: Value,
}

impl TokenService {
    /// Reads the challenge. Its realm is a server-supplied URL and must pass the URL policy; `base`, the URL that sent
    /// the challenge, resolves a relative one.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`], before anything is sent to the realm.
    pub(super) fn from_challenge(
        challenge: &Challenge,
        request: &Request<'_>,
        http: &Connection,
        base: &Url,
    ) -> Result<Self> {
        let realm = challenge.param("realm").unwrap_or_default();
        let denied = |reason: &str| {
            Error::new(ErrorKind::Denied, request.what).at(&http.name).with_reason(reason)
        };
        let realm = base.join(realm.trim());
        let realm = realm.map_err(|_| denied("the token server is not a URL"))?;
        if realm.fragment().is_some() {
            return Err(denied("the token server URL has a fragment"));
        }
        http.options.redactor.note_url(&realm);
        http.check_server_url(&realm, request.what, ErrorKind::Denied)?;
        // Google's are empty or absent.
        let service = challenge.param("service").filter(|name| !name.is_empty());
        Ok(Self { realm, service: service.map(str::to_owned) })
    }
}

/// Requests a token: by POST with an identity token, else by GET, with Basic or anonymously.
///
/// # Errors
/// [`ErrorKind::Denied`] if the server refuses or the response is invalid; a transient error if the server is busy.
pub(super) async fn fetch(
    http: &Connection,
    request: &Request<'_>,
    service: &TokenService,
    credential: Option<&Credential>,
    scopes: &ScopeSet,
) -> Result<IssuedToken> {
    tracing::debug!("requesting a token from {}", redact(&service.realm));
    let token_request = TokenRequest { http, request, service, scopes: scopes.to_params() };
    let (response, method) = match credential {
        Some(Credential::IdentityToken { token, basic }) => {
            let response = token_request.post(token).await?;
            match basic {
                // GCR does not support POST, Artifactory and ACR refuse some of them.
                Some((user, password))
                    if matches!(response.status().as_u16(), 400 | 401 | 404 | 405) =>
                {
                    (token_request.get(Some((user, password))).await?, Method::GET)
                }
                _ => (response, Method::POST),
            }
        }
        Some(Credential::Basic { user, password }) => {
            (token_request.get(Some((user, password))).await?, Method::GET)
        }
        Some(Credential::RegistryToken(_)) | None => (token_request.get(None).await?, Method::GET),
    };
    token_request.read(response, &method).await
}

/// A request for one token on behalf of `request`.
struct TokenRequest<'a> {
    http: &'a Connection,
    request: &'a Request<'a>,
    service: &'a TokenService,
    scopes: Vec<String>,
}

impl TokenRequest<'_> {
    async fn get(&self, user: Option<(&str, &Secret)>) -> Result<Response> {
        let mut url = self.service.realm.clone();
        add_query(&mut url, self.service, &self.scopes, user.map(|(name, _)| name));
        if user.is_some() && self.http.options.credentials.is_for_login() {
            url.query_pairs_mut().append_pair("offline_token", "true");
        }
        let mut builder = self.client()?.get(url);
        if let Some((name, password)) = user {
            self.check_https("password")?;
            builder = builder.header(AUTHORIZATION, basic_header(name, password, self.request)?);
        }
        self.send(builder).await
    }

    async fn post(&self, token: &Secret) -> Result<Response> {
        self.check_https("identity token")?;
        let form = refresh_form(self.service, token, &self.scopes);
        let builder = self.client()?.post(self.service.realm.clone());
        self.send(builder.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form))
            .await
    }

    fn client(&self) -> Result<reqwest::Client> {
        self.http.client_for(&Origin::from_url(&self.service.realm)?, ConnectionUse::Shared)
    }

    /// Refuses to send a secret over plain http, unless the user allowed it.
    fn check_https(&self, secret: &str) -> Result<()> {
        if self.http.may_send_secrets(&Origin::from_url(&self.service.realm)?) {
            return Ok(());
        }
        Err(self
            .denied(&format!("refusing to send the {secret} over plain HTTP"))
            .with_detail(ErrorDetail::SecretOverHttp))
    }

    async fn send(&self, builder: RequestBuilder) -> Result<Response> {
        let host = Origin::from_url(&self.service.realm)?;
        let limiter = self.http.limiters.host(&host);
        let _admission = limiter.admit(RequestClass::Request, "token").await?;
        self.request.counter.add(RequestKind::Token);
        let sending = tokio::time::timeout(self.http.options.timeouts.headers, builder.send());
        match sending.await {
            Ok(Ok(response)) => {
                limiter.record_response(response.status());
                Ok(response)
            }
            Ok(Err(error)) => {
                self.request.counter.remove_unsent(RequestKind::Token, &error);
                Err(if let Some(refusal) = policy_refusal(&error) {
                    self.denied(&refusal.to_string()).with_detail(refusal.detail())
                } else {
                    let error = request_failed("token", &self.service.realm, error);
                    limiter.record_failure(with_proxy(&host, error))
                })
            }
            Err(_) => {
                let error = Error::new(ErrorKind::Transport, "token")
                    .at(redact(&self.service.realm))
                    .with_reason("no response in time")
                    .transient(None);
                Err(limiter.record_failure(error))
            }
        }
    }

    async fn read(&self, response: Response, method: &Method) -> Result<IssuedToken> {
        let (what, idle) = (self.request.what, self.http.options.timeouts.idle);
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_redirection() {
            // Following it would carry the credential to an unchecked host.
            return Err(self.denied("unexpected redirect"));
        }
        if status != StatusCode::OK {
            let body = read_error_body(response, ERROR_BODY_LIMIT).await;
            let location = redact(&self.service.realm);
            let error = error_body::error(
                what,
                &location,
                status,
                &headers,
                &body,
                &self.http.options.redactor,
            );
            if error.is_transient() {
                let limiter = self.http.limiters.host(&Origin::from_url(&self.service.realm)?);
                let is_outage = is_overloaded(status);
                return Err(if is_outage { limiter.record_failure(error) } else { error });
            }
            let detail = self.http.detail(status, &body);
            return Err(Error::new(ErrorKind::Denied, what)
                .at(location)
                .with_reason(error.reason())
                .with_data_of(&error.with_detail(detail)));
        }
        let body = read_up_to(response, MAX_RESPONSE_BYTES, what, idle).await?;
        let answer: TokenResponse =
            serde_json::from_slice(&body).map_err(|_| self.denied("invalid token response"))?;
        answer.into_token(method).ok_or_else(|| self.denied("token response without a token"))
    }

    fn denied(&self, reason: &str) -> Error {
        Error::new(ErrorKind::Denied, self.request.what)
            .at(format!("token server {}", redact(&self.service.realm)))
            .with_reason(reason)
    }
}

impl TokenResponse {
    /// Both fields mean the same. OAuth2 has only `access_token`, so it comes first in the response to a POST.
    fn into_token(self, method: &Method) -> Option<IssuedToken> {
        let mut tokens = [self.token, self.access_token];
        if *method == Method::POST {
            tokens.reverse();
        }
        let token = tokens.into_iter().flatten().find(|token| !token.is_empty())?;
        let declared = self.expires_in.as_u64().or_else(|| self.expires_in.as_str()?.parse().ok());
        let lifetime_seconds = declared
            .unwrap_or(MIN_LIFETIME_SECONDS)
            .clamp(MIN_LIFETIME_SECONDS, MAX_LIFETIME_SECONDS);
        let identity = self.refresh_token.filter(|token| !token.is_empty()).map(Secret::new);
        Some(IssuedToken { token: Secret::new(token), lifetime_seconds, identity })
    }
}

/// Appends the parameters; a query in the realm stays.
fn add_query(url: &mut Url, service: &TokenService, scopes: &[String], account: Option<&str>) {
    let mut query = url.query_pairs_mut();
    if let Some(name) = &service.service {
        query.append_pair("service", name);
    }
    for scope in scopes {
        query.append_pair("scope", scope);
    }
    query.append_pair("client_id", "rpull");
    if let Some(account) = account {
        query.append_pair("account", account);
    }
}

fn refresh_form(service: &TokenService, token: &Secret, scopes: &[String]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "refresh_token").append_pair("refresh_token", token.expose());
    if let Some(name) = &service.service {
        form.append_pair("service", name);
    }
    form.append_pair("client_id", "rpull").append_pair("scope", &scopes.join(" "));
    form.finish()
}
