//! Sends the requests of the registry API. Only here are credentials attached to them, challenges answered, redirects followed
//! and the scheme changed; [`super::http::exchange`] sends the single requests.
//!
//! Retries are up to the callers: documents use the crate's `retry`, bodies the transfer's reader.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};

use super::auth::Auth;
use super::auth::challenge::{challenges_of, is_challenge};
use super::http::announced_limit::AnnouncedLimit;
use super::http::connection::Connection;
use super::http::counter::RequestKind;
use super::http::exchange::redirect_target;
use super::http::origin::Origin;
use super::http::request::Request;
use super::mirrors::health::MirrorHealth;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::limits::{MAX_CHALLENGES, MAX_REDIRECTS};

/// One registry, shared by its repositories: the connection, the authentication, and observed quirks.
pub(super) struct Transport {
    pub(super) http: Connection,
    pub(super) auth: Auth,
    pub(super) ranges_refused: AtomicBool,
    /// Server errors in a row for requests of a range.
    pub(super) range_failures: AtomicU32,
    /// Bytes of a chunk for uploads; unset for uploads in one request.
    chunk_size: OnceLock<u64>,
    /// What the registry says of its own limits.
    pub(super) announced_limit: AnnouncedLimit,
    /// Held by the first of the pulls that ask for it.
    pub(super) floor_lock: tokio::sync::Mutex<()>,
    /// Whether the registry does not support the referrers API.
    pub(super) no_referrers_api: AtomicBool,
    /// Whether the registry does not support several tags in one request.
    pub(super) tags_refused: AtomicBool,
    /// Locked while a referrers list is read, edited and written.
    pub(super) referrers_lock: tokio::sync::Mutex<()>,
    /// Locked while the first tag is deleted.
    pub(super) tag_deletion: tokio::sync::Mutex<TagDeletion>,
    /// The health of this host, if it is a mirror.
    pub(super) mirror_health: MirrorHealth,
}

/// What a registry deletes with a tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TagDeletion {
    #[default]
    Unknown,
    /// A manifest went with a tag, but nothing needed it any more: such manifests may not be kept.
    Undecided,
    /// Nothing else.
    Alone,
    /// The manifest and its other tags.
    WithManifest,
}

impl Transport {
    pub(super) fn new(http: Connection) -> Self {
        let chunk_size = http.options.chunk_size.filter(|&bytes| bytes > 0);
        Self {
            auth: Auth::new(http.name.clone()),
            chunk_size: chunk_size.map_or_else(OnceLock::new, OnceLock::from),
            http,
            ranges_refused: AtomicBool::new(false),
            range_failures: AtomicU32::new(0),
            announced_limit: AnnouncedLimit::default(),
            floor_lock: tokio::sync::Mutex::default(),
            no_referrers_api: AtomicBool::new(false),
            tags_refused: AtomicBool::new(false),
            referrers_lock: tokio::sync::Mutex::default(),
            tag_deletion: tokio::sync::Mutex::default(),
            mirror_health: MirrorHealth::default(),
        }
    }

    /// Sends the request with authentication, follows redirects and returns the response, whatever its status.
    pub(super) async fn send(&self, request: &Request<'_>) -> Result<Response> {
        let _pull = self.respect_floor(request).await?;
        let response = self.follow(request).await;
        response.map_err(|error| error.in_registry(&self.http.name))
    }

    pub(super) async fn follow(&self, request: &Request<'_>) -> Result<Response> {
        let url = self.http.request_url(&request.url);
        let mut chain = RedirectChain { url, redirects: 0, challenges: 0, refreshed: false };
        loop {
            let is_registry = Origin::from_url(&chain.url)? == self.http.origin()?;
            let authorization = if is_registry {
                self.auth.authorization_for(&self.http, request).await?
            } else {
                None
            };
            let response = self.http.exchange(request, &chain.url, authorization.as_ref()).await;
            let response = match response {
                Err(failure) if is_registry && self.http.fall_back(&failure) => {
                    chain.url = self.http.with_current_scheme(&chain.url);
                    continue;
                }
                Err(failure) if !is_registry => {
                    return Err(failed_redirect(failure, &self.http.name));
                }
                other => other?,
            };
            let status = response.status();
            if is_registry {
                self.announced_limit.note(response.headers(), &self.http.options.redactor);
            }
            if is_registry && chain.challenges < MAX_CHALLENGES && is_challenge(&response) {
                let is_first = chain.challenges == 0 && status == StatusCode::UNAUTHORIZED;
                chain.challenges += 1;
                let refused = authorization.as_ref();
                let is_answered = if is_first {
                    self.authenticate(request, &response, refused).await?
                } else {
                    self.extend_scope(request, &response, refused).await?
                };
                if !is_answered {
                    return Ok(response);
                }
            } else if is_registry && self.http.requires_tls(&chain.url, &response) {
                self.http.upgrade();
                _ = chain.url.set_scheme("https");
            } else if let Some(target) = redirect_target(&response) {
                let following = target.and_then(|target| chain.follow(target, request, &self.http));
                following.map_err(|error| error.with_status(status.as_u16()))?;
            } else if !is_registry && !chain.refreshed && is_expired_redirect(status, request) {
                // A presigned URL: request a fresh one from the registry, once.
                chain = RedirectChain {
                    url: self.http.request_url(&request.url),
                    redirects: chain.redirects,
                    challenges: chain.challenges,
                    refreshed: true,
                };
            } else {
                self.http.warnings.note(
                    &self.http.name,
                    response.headers(),
                    &self.http.options.redactor,
                );
                return Ok(response);
            }
        }
    }

    /// Sends the request; any status but success is an error.
    pub(super) async fn expect_success(&self, request: &Request<'_>) -> Result<Response> {
        let response = self.send(request).await?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(self.http.failure(request, response).await)
        }
    }

    /// Sends a request with a streamed body, which cannot be repeated.
    ///
    /// # Errors
    /// Transient if the credential was rejected and a new one is available: the body must be created anew.
    pub(super) async fn send_stream(
        &self,
        request: &Request<'_>,
        body: reqwest::Body,
        length: u64,
        range: Option<(HeaderName, HeaderValue)>,
    ) -> Result<UploadResponse> {
        let url = self.http.with_current_scheme(&request.url);
        let origin = Origin::from_url(&url)?;
        let is_registry = origin == self.http.origin()?;
        let authorization = if is_registry {
            let authorization = self.auth.authorization_for(&self.http, request).await;
            authorization.map_err(|error| error.in_registry(&self.http.name))?
        } else {
            None
        };
        let mut headers = request.headers(authorization.as_ref())?;
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.extend(range);
        let response = self.http.exchange_stream(request, &url, headers, body).await?;
        if response.status().is_success() {
            self.http.limiters.host(&origin).record_bytes(length);
            return Ok(UploadResponse::Done(response));
        }
        // The other redirects do not preserve the method.
        if matches!(response.status().as_u16(), 307 | 308)
            && let Some(target) = redirect_target(&response)
        {
            return Ok(UploadResponse::Redirected(self.http.redirect_url(
                &url,
                target?,
                request.what,
            )?));
        }
        if is_registry
            && response.status() == StatusCode::UNAUTHORIZED
            && self.authenticate(request, &response, authorization.as_ref()).await?
        {
            return Err(self.http.failure(request, response).await.transient(None));
        }
        Err(self.http.failure(request, response).await)
    }

    /// Answers the first challenge, so that the next [`Auth::authorization_for`] has a new credential. Returns whether
    /// there is one.
    async fn authenticate(
        &self,
        request: &Request<'_>,
        response: &Response,
        refused: Option<&HeaderValue>,
    ) -> Result<bool> {
        let mut challenges = challenges_of(response);
        let mut base = response.url().clone();
        if challenges.is_empty() {
            // Some registries challenge only here (gcr.io endpoints, goharbor/harbor#18305).
            let ping = Request {
                url: self.http.url("")?,
                method: Method::GET,
                endpoint: RequestKind::Other,
                accept: None,
                range: None,
                content: None,
                ..*request
            };
            challenges =
                challenges_of(&Box::pin(self.http.exchange(&ping, &ping.url, None)).await?);
            base = ping.url;
        }
        Box::pin(self.auth.handle_challenge(&self.http, request, &challenges, &base, refused)).await
    }

    /// Answers a later challenge, which may require a token with more scopes. Returns whether there is a new credential.
    async fn extend_scope(
        &self,
        request: &Request<'_>,
        response: &Response,
        refused: Option<&HeaderValue>,
    ) -> Result<bool> {
        let challenges = challenges_of(response);
        Box::pin(self.auth.handle_insufficient_scope(&self.http, request, &challenges, refused))
            .await
    }

    /// Whether the registry was found not to support Range.
    pub(super) fn are_ranges_disabled(&self) -> bool {
        self.ranges_refused.load(Ordering::Relaxed)
    }

    /// Bytes of a chunk for uploads; `None` for uploads in one request.
    pub(super) fn chunk_size(&self) -> Option<u64> {
        self.chunk_size.get().copied()
    }

    /// Uploads in chunks of `bytes` from now on, unless another chunk size is set.
    pub(super) fn enable_chunks(&self, bytes: u64) {
        _ = self.chunk_size.set(bytes);
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transport").field(&self.http.name).finish()
    }
}

/// The response to a request with a streamed body.
pub(super) enum UploadResponse {
    Done(Response),
    /// The body must be created anew and sent to this URL.
    Redirected(Url),
}

/// The state of a request that follows redirects.
struct RedirectChain {
    url: Url,
    redirects: usize,
    challenges: usize,
    refreshed: bool,
}

impl RedirectChain {
    fn follow(&mut self, target: &str, request: &Request<'_>, http: &Connection) -> Result<()> {
        self.redirects += 1;
        if self.redirects > MAX_REDIRECTS {
            return Err(Error::new(ErrorKind::Transport, request.what)
                .at(&http.name)
                .with_reason(format!("more than {MAX_REDIRECTS} redirects")));
        }
        self.url = http.redirect_url(&self.url, target, request.what)?;
        Ok(())
    }
}

/// The error of a host that the registry redirected to. The user has not named this host.
fn failed_redirect(error: Error, registry: &str) -> Error {
    let error = error.redirected_by(registry);
    match error.detail() {
        Some(ErrorDetail::ConnectionRefused | ErrorDetail::HostNotFound) => error.with_hint(
            "check that this host is reachable from here; the registry redirects blobs to it",
        ),
        _ => error,
    }
}

/// Whether the signature of a redirect target may have expired: S3 responds with 403, others with 400, which for a
/// Range request means something else.
fn is_expired_redirect(status: StatusCode, request: &Request<'_>) -> bool {
    match status.as_u16() {
        401 | 403 => true,
        400 => request.range.is_none(),
        _ => false,
    }
}
