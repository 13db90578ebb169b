//! Asks a token server for a token. Spec: distribution `spec/auth/token.md` and `oauth.md`.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;

use super::address::check_foreign_url;
use super::auth::basic_header;
use super::challenge::Challenge;
use super::counter::Endpoint;
use super::credentials::Credential;
use super::error_body::{self, ERROR_BODY_LIMIT};
use super::failure::unreachable;
use super::origin::{Origin, redact};
use super::scope::ScopeSet;
use super::transport::{Request, Transport, read_up_to};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// The most that is read of a token answer, in bytes.
const TOKEN_LIMIT: u64 = 1 << 20;

/// Tokens that say nothing about it, or less, live this long, in seconds (distribution's token spec).
const SHORTEST_LIFETIME: u64 = 60;

/// No token is trusted for longer than this, in seconds, whatever it says.
const LONGEST_LIFETIME: u64 = 24 * 3600;

/// Who gives tokens for a registry: the parameters of its Bearer challenge.
pub(super) struct Service {
    realm: Url,
    service: Option<String>,
    scope: Option<String>,
}

/// A token and how long it lives from now.
pub(super) struct Granted {
    pub(super) token: Secret,
    pub(super) lifetime_seconds: u64,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Value,
}

impl Service {
    /// Takes the challenge apart; its realm is a stranger's word and must pass the policy for such URLs.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] before anything is sent there.
    pub(super) fn from_challenge(challenge: &Challenge, request: &Request<'_>, transport: &Transport) -> Result<Self> {
        let realm = challenge.param("realm").unwrap_or_default();
        let refuse = |why: &str| Error::new(ErrorKind::Denied, request.what).at(&transport.name).because(why);
        let realm = request.url.join(realm).map_err(|_| refuse("names a token server that is no URL"))?;
        if realm.fragment().is_some() {
            return Err(refuse("names a token server with a fragment"));
        }
        check_foreign_url(&realm, &transport.origin()?, ErrorKind::Denied).map_err(|error| error.at(&transport.name))?;
        let owned = |name: &str| challenge.param(name).filter(|text| !text.is_empty()).map(str::to_owned);
        Ok(Self { realm, service: owned("service"), scope: owned("scope") })
    }

    fn scopes(&self, wanted: &ScopeSet) -> Vec<String> {
        let mut all = wanted.clone();
        if let Some(scope) = &self.scope {
            all.merge_challenge(scope);
        }
        all.to_params()
    }
}

/// Gets a token: by POST for an identity token, else by GET, with Basic where there is a user, anonymously where not.
///
/// # Errors
/// [`ErrorKind::Denied`] where the server refuses or answers nonsense; transient ones where it is busy.
pub(super) async fn fetch(
    transport: &Transport,
    request: &Request<'_>,
    service: &Service,
    credential: Option<&Credential>,
) -> Result<Granted> {
    tracing::debug!("asking {} for a token", redact(&service.realm));
    let origin = Origin::of(&service.realm)?;
    let own = origin == transport.origin()?;
    let client = transport.client_for(&origin)?;
    let scopes = service.scopes(request.scopes);
    let builder = match credential {
        Some(Credential::IdentityToken { token, .. }) => {
            client.post(service.realm.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(refresh_form(service, token, &scopes))
        }
        other => {
            let mut url = service.realm.clone();
            let user = match other {
                Some(Credential::Basic { user, password }) => Some((user, password)),
                _ => None,
            };
            add_query(&mut url, service, &scopes, user.map(|(user, _)| user.as_str()));
            let builder = client.get(url);
            match user {
                Some(_) if !origin.is_https() && !own && !origin.is_local() && !transport.options.plain_http => {
                    return Err(refused(request, service, "would get the password over plain http"));
                }
                Some((user, password)) => builder.header(AUTHORIZATION, basic_header(user, password, request)?),
                None => builder,
            }
        }
    };
    request.counter.add(Endpoint::Token);
    let timeouts = transport.options.timeouts;
    let sending = tokio::time::timeout(timeouts.headers, builder.send()).await;
    let response = match sending {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(unreachable("token", &service.realm, error)),
        Err(_) => return Err(Error::new(ErrorKind::Transport, "token").at(redact(&service.realm)).because("no answer in time").transient(None)),
    };
    read(response, request, service, timeouts.idle).await
}

async fn read(response: Response, request: &Request<'_>, service: &Service, idle: std::time::Duration) -> Result<Granted> {
    let (status, headers) = (response.status(), response.headers().clone());
    if status.is_redirection() {
        // Following it would carry the credential to a place that nobody vouched for.
        return Err(refused(request, service, "redirects instead of answering"));
    }
    if status != StatusCode::OK {
        let body = read_up_to(response, ERROR_BODY_LIMIT, request.what, idle).await.unwrap_or_default();
        let place = redact(&service.realm);
        let error = error_body::error(request.what, &place, status, &headers, &body);
        if error.is_transient() {
            return Err(error);
        }
        return Err(Error::new(ErrorKind::Denied, request.what).at(place).because(error.why()));
    }
    let body = read_up_to(response, TOKEN_LIMIT, request.what, idle).await?;
    let answer: Answer = serde_json::from_slice(&body).map_err(|_| refused(request, service, "answers something that is not a token"))?;
    let mut tokens = [answer.token, answer.access_token].into_iter().flatten();
    let token = tokens.find(|token| !token.is_empty()).ok_or_else(|| refused(request, service, "answers without a token"))?;
    let said = answer.expires_in.as_u64().or_else(|| answer.expires_in.as_str()?.parse().ok());
    let lifetime_seconds = said.unwrap_or(SHORTEST_LIFETIME).clamp(SHORTEST_LIFETIME, LONGEST_LIFETIME);
    Ok(Granted { token: Secret::new(token), lifetime_seconds })
}

/// The realm may carry a query of its own, which stays.
fn add_query(url: &mut Url, service: &Service, scopes: &[String], account: Option<&str>) {
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

fn refresh_form(service: &Service, token: &Secret, scopes: &[String]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "refresh_token").append_pair("refresh_token", token.reveal());
    if let Some(name) = &service.service {
        form.append_pair("service", name);
    }
    form.append_pair("client_id", "rpull").append_pair("scope", &scopes.join(" "));
    form.finish()
}

fn refused(request: &Request<'_>, service: &Service, why: &str) -> Error {
    Error::new(ErrorKind::Denied, request.what).at(format!("token server {}", redact(&service.realm))).because(why)
}
