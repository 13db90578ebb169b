//! Sends every HTTP request of a registry client: the only place that attaches credentials, follows redirects, answers
//! challenges, counts requests and turns statuses into errors.
//!
//! It does not try again; that is for the callers, each in one place (documents here in the crate's `retry`, bodies in
//! the transfer's reader).

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode, Url, Version};

use super::auth::Auth;
use super::body::read_error_body;
use super::challenge::{challenges_of, is_challenge};
use super::counter::RequestKind;
use super::error_body::{self, ERROR_BODY_LIMIT};
use super::health::Health;
use super::hosts::{HttpClients, on_the_way};
use super::options::RegistryOptions;
use super::origin::{Origin, redact};
use super::redactor::Text;
use super::request::Request;
use super::transport_error::{closed_before_answering, request_failed};
use super::{url_policy, warnings};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{MAX_CHALLENGES, MAX_HOPS};

/// The connection to one registry, shared by its repositories.
pub(super) struct Transport {
    pub(super) options: Arc<RegistryOptions>,
    pub(super) name: String,
    base: Mutex<Url>,
    clients: HttpClients,
    pub(super) auth: Auth,
    pub(super) health: Health,
    pub(super) ranges_refused: AtomicBool,
    /// Bytes of a chunk in which blobs are uploaded; 0 for no chunks.
    chunk_size: AtomicU64,
    /// Whether the registry was found to know no referrers API.
    pub(super) keeps_no_referrers: AtomicBool,
    /// Whether the registry was found not to give several tags in one request.
    pub(super) tags_refused: AtomicBool,
    /// Held while a list of referrers is read, changed and written.
    pub(super) lists: tokio::sync::Mutex<()>,
    warnings: warnings::SeenWarnings,
}

impl Transport {
    pub(super) fn new(
        name: String,
        base: Url,
        clients: HttpClients,
        options: Arc<RegistryOptions>,
    ) -> Self {
        Self {
            auth: Auth::new(name.clone()),
            health: Health::default(),
            chunk_size: AtomicU64::new(options.chunk_size.unwrap_or(0)),
            options,
            name,
            base: Mutex::new(base),
            clients,
            ranges_refused: AtomicBool::new(false),
            keeps_no_referrers: AtomicBool::new(false),
            tags_refused: AtomicBool::new(false),
            lists: tokio::sync::Mutex::default(),
            warnings: warnings::SeenWarnings::default(),
        }
    }

    /// A URL below `/v2/`.
    pub(super) fn url(&self, path: &str) -> Result<Url> {
        let base = self.base();
        base.join(path).map_err(|error| {
            Error::new(ErrorKind::InvalidInput, path).at(&self.name).with_source(error)
        })
    }

    fn base(&self) -> Url {
        self.base.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends the request and gives the answer, whatever its status, after redirects and authentication.
    pub(super) async fn send(&self, request: &Request<'_>) -> Result<Response> {
        let url = self.with_current_scheme(&request.url);
        let mut walk = RedirectChain { url, hops: 0, challenges: 0, refreshed: false };
        loop {
            let own = Origin::of(&walk.url)? == Origin::of(&self.base())?;
            let authorization =
                if own { self.auth.authorization_for(self, request).await? } else { None };
            let response = self.exchange(request, &walk.url, authorization.as_ref()).await?;
            let status = response.status();
            if own && walk.challenges < MAX_CHALLENGES && is_challenge(&response) {
                let is_first = walk.challenges == 0 && status == StatusCode::UNAUTHORIZED;
                walk.challenges += 1;
                let refused = authorization.as_ref();
                if !self.authenticate(request, &response, refused, is_first).await? {
                    return Ok(response);
                }
            } else if own && self.requires_tls(&walk.url, &response) {
                self.upgrade();
                _ = walk.url.set_scheme("https");
            } else if let Some(target) = redirect_target(&response) {
                let following = target.and_then(|target| walk.follow(target, request, self));
                following.map_err(|error| error.with_status(status.as_u16()))?;
            } else if !own && !walk.refreshed && is_expired_redirect(status, request) {
                // A presigned target: ask the registry for a fresh one, once.
                walk = RedirectChain {
                    url: self.with_current_scheme(&request.url),
                    hops: walk.hops,
                    challenges: walk.challenges,
                    refreshed: true,
                };
            } else {
                self.warnings.note(&self.name, response.headers(), &self.options.redactor);
                return Ok(response);
            }
        }
    }

    /// Sends the request and gives the answer where it is a success, else the error it stands for.
    pub(super) async fn expect_success(&self, request: &Request<'_>) -> Result<Response> {
        let response = self.send(request).await?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(self.failure(request, response).await)
        }
    }

    /// The error that this answer stands for, with the registry's words.
    pub(super) async fn failure(&self, request: &Request<'_>, response: Response) -> Error {
        let (status, headers) = (response.status(), response.headers().clone());
        let elsewhere = match (Origin::of(response.url()), self.origin()) {
            (Ok(answered), Ok(registry)) if answered != registry => Some(redact(response.url())),
            _ => None,
        };
        let url = response.url().clone();
        let body = read_error_body(response, ERROR_BODY_LIMIT).await;
        let place = elsewhere.as_ref().unwrap_or(&self.name);
        let error =
            error_body::error(request.what, place, status, &headers, &body, &self.options.redactor);
        // It takes no blobs and manifests at all: a mirror, or read-only.
        let refuses_writes = status == StatusCode::METHOD_NOT_ALLOWED
            && [Method::POST, Method::PUT, Method::PATCH].contains(&request.method);
        let error = if refuses_writes { error.denied() } else { error };
        let error = match Origin::of(&url) {
            Ok(host) if status.is_server_error() => self.health.failed(&host, error),
            _ => error,
        };
        // Of names and credentials only the registry itself knows.
        if elsewhere.is_none() {
            error.with_detail(error_body::detail(status, &body))
        } else {
            error
        }
    }

    /// One request and its response headers, no more.
    pub(super) async fn exchange(
        &self,
        request: &Request<'_>,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response> {
        let origin = Origin::of(url)?;
        self.options.redactor.note_url(url);
        let client = self.client_for(&origin)?;
        let headers = request.headers(authorization)?;
        let mut repeated = request.method != Method::GET && request.method != Method::HEAD;
        let body = request.content.as_ref().map(|(_, bytes)| bytes.clone()).unwrap_or_default();
        loop {
            request.counter.add(request.endpoint);
            let started = Instant::now();
            let sending = client
                .request(request.method.clone(), url.clone())
                .headers(headers.clone())
                .body(body.clone())
                .send();
            let result = tokio::time::timeout(self.options.timeouts.headers, sending).await;
            let elapsed = started.elapsed();
            match result {
                Ok(Ok(response)) => {
                    if origin == self.origin()? {
                        self.clients.url_policy.record_peer(response.remote_addr());
                    }
                    self.health.heard(&origin, response.status());
                    request.log(url, &response, elapsed);
                    return Ok(response);
                }
                // The server closed a pooled connection just as it was reused; that says nothing about the request.
                Ok(Err(error)) if !repeated && closed_before_answering(&error) => repeated = true,
                Ok(Err(error)) => {
                    return Err(self.health.failed(
                        &origin,
                        on_the_way(&origin, request_failed(request.what, url, error)),
                    ));
                }
                Err(_) => {
                    let seconds = self.options.timeouts.headers.as_secs_f32();
                    let error = Error::new(ErrorKind::Transport, request.what)
                        .at(redact(url))
                        .with_reason(format!("no answer within {seconds} s"))
                        .transient(None);
                    return Err(self.health.failed(&origin, error));
                }
            }
        }
    }

    /// Sends a request with a long body, which can be sent only once, and gives the answer where it is a success, or the
    /// place where the body is wanted instead.
    ///
    /// # Errors
    /// A transient one where the credential was refused and there is another now: the body must be made anew.
    pub(super) async fn send_stream(
        &self,
        request: &Request<'_>,
        body: reqwest::Body,
        length: u64,
        range: Option<(HeaderName, HeaderValue)>,
    ) -> Result<UploadResponse> {
        let url = self.with_current_scheme(&request.url);
        let origin = Origin::of(&url)?;
        let own = origin == self.origin()?;
        let authorization =
            if own { self.auth.authorization_for(self, request).await? } else { None };
        let mut headers = request.headers(authorization.as_ref())?;
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.extend(range);
        request.counter.add(request.endpoint);
        let started = Instant::now();
        let sending = self.client_for(&origin)?.request(request.method.clone(), url.clone());
        let response = sending.headers(headers).body(body).send().await.map_err(|error| {
            self.health
                .failed(&origin, on_the_way(&origin, request_failed(request.what, &url, error)))
        })?;
        self.health.heard(&origin, response.status());
        request.log(&url, &response, started.elapsed());
        if response.status().is_success() {
            return Ok(UploadResponse::Done(response));
        }
        // The others do not promise that the method stays.
        if matches!(response.status().as_u16(), 307 | 308)
            && let Some(target) = redirect_target(&response)
        {
            return Ok(UploadResponse::Redirected(self.next_hop(&url, target?, request.what)?));
        }
        if own
            && response.status() == StatusCode::UNAUTHORIZED
            && self.authenticate(request, &response, authorization.as_ref(), true).await?
        {
            return Err(self.failure(request, response).await.transient(None));
        }
        Err(self.failure(request, response).await)
    }

    /// Gets what the challenge asks for, so that the next [`Auth::authorization_for`] has it; says whether there is anything new.
    async fn authenticate(
        &self,
        request: &Request<'_>,
        response: &Response,
        refused: Option<&HeaderValue>,
        is_first: bool,
    ) -> Result<bool> {
        let mut challenges = challenges_of(response);
        let mut base = response.url().clone();
        if !is_first {
            return Box::pin(self.auth.answer_again(self, request, &challenges, refused)).await;
        }
        if challenges.is_empty() {
            // Some registries challenge only here (gcr.io endpoints, goharbor/harbor#18305).
            let ping = Request {
                url: self.url("")?,
                method: Method::GET,
                endpoint: RequestKind::Other,
                accept: None,
                range: None,
                content: None,
                ..*request
            };
            challenges = challenges_of(&Box::pin(self.exchange(&ping, &ping.url, None)).await?);
            base = ping.url;
        }
        Box::pin(self.auth.handle_challenge(self, request, &challenges, &base, refused)).await
    }

    /// Whether this is how Go (nothing but a status line of HTTP/1.0) or nginx (a web page) answers http at a TLS port.
    ///
    /// Strict, because a 400 of a registry that does speak http must keep its own words.
    fn requires_tls(&self, asked: &Url, response: &Response) -> bool {
        let headers = response.headers();
        let is_gos = response.version() == Version::HTTP_10
            && !headers.contains_key(CONTENT_TYPE)
            && !headers.contains_key(CONTENT_LENGTH);
        let is_page = headers
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
        response.status() == StatusCode::BAD_REQUEST
            && asked.scheme() == "http"
            && !self.options.plain_http
            && Origin::of(asked).is_ok_and(|origin| origin.is_local())
            && (is_gos || is_page)
    }

    /// A URL of the registry that was made before it turned out to speak https.
    pub(super) fn with_current_scheme(&self, url: &Url) -> Url {
        let mut url = url.clone();
        if self.base().scheme() == "https" {
            _ = url.set_scheme("https");
        }
        url
    }

    fn upgrade(&self) {
        let mut base = self.base.lock().unwrap_or_else(PoisonError::into_inner);
        _ = base.set_scheme("https");
    }

    /// Whether Range was found not to work here.
    pub(super) fn are_ranges_disabled(&self) -> bool {
        self.ranges_refused.load(Ordering::Relaxed)
    }

    /// Bytes of a chunk in which blobs are uploaded, where they are.
    pub(super) fn chunk_size(&self) -> Option<u64> {
        Some(self.chunk_size.load(Ordering::Relaxed)).filter(|&bytes| bytes > 0)
    }

    /// Uploads in chunks from now on, of so many bytes where no other number was asked for.
    pub(super) fn enable_chunks(&self, bytes: u64) {
        _ = self.chunk_size.compare_exchange(0, bytes, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The HTTP client for a host: the registry's own, or one that it named.
    pub(super) fn client_for(&self, origin: &Origin) -> Result<reqwest::Client> {
        self.clients.get(origin, &self.origin()?)
    }

    /// Judges a URL that the registry named, before anything is sent there.
    pub(super) fn check_server_url(&self, url: &Url, what: &str, kind: ErrorKind) -> Result<()> {
        url_policy::check_server_url(url, &self.origin()?, &self.clients.url_policy).map_err(
            |refusal| {
                let why = self.options.redactor.redact(&refusal.why, Text::Foreign);
                Error::new(kind, what).at(&self.name).with_reason(why).with_detail(refusal.matter)
            },
        )
    }

    /// Where a redirect from `from` leads, if that may be followed.
    pub(super) fn next_hop(&self, from: &Url, target: &str, what: &str) -> Result<Url> {
        let refuse =
            |why: String| Error::new(ErrorKind::Transport, what).at(&self.name).with_reason(why);
        let next = from.join(target).map_err(|error| {
            refuse("redirected to something that is no URL".into()).with_source(error)
        })?;
        self.options.redactor.note_url(&next);
        if from.scheme() == "https" && next.scheme() != "https" {
            return Err(refuse(format!("redirected from https to {}", redact(&next))));
        }
        self.check_server_url(&next, what, ErrorKind::Transport)?;
        Ok(next)
    }

    /// The base URL's origin, which credentials are bound to.
    pub(super) fn origin(&self) -> Result<Origin> {
        Origin::of(&self.base())
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transport").field(&self.name).finish()
    }
}

/// How a request with a long body was answered.
pub(super) enum UploadResponse {
    Done(Response),
    /// The body belongs here, and must be made anew.
    Redirected(Url),
}

/// Where a request stands on its way through redirects.
struct RedirectChain {
    url: Url,
    hops: usize,
    challenges: usize,
    refreshed: bool,
}

impl RedirectChain {
    fn follow(&mut self, target: &str, request: &Request<'_>, transport: &Transport) -> Result<()> {
        self.hops += 1;
        if self.hops > MAX_HOPS {
            return Err(Error::new(ErrorKind::Transport, request.what)
                .at(&transport.name)
                .with_reason(format!("more than {MAX_HOPS} redirects")));
        }
        self.url = transport.next_hop(&self.url, target, request.what)?;
        Ok(())
    }
}

/// Whether a place that the registry redirected to may only have stopped honouring its signature: S3 says 403, others
/// 400, which to a Range means something else.
fn is_expired_redirect(status: StatusCode, request: &Request<'_>) -> bool {
    match status.as_u16() {
        401 | 403 => true,
        400 => request.range.is_none(),
        _ => false,
    }
}

pub(super) fn redirect_target(response: &Response) -> Option<Result<&str>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    Some(location.ok_or_else(|| {
        Error::new(ErrorKind::Transport, "redirect")
            .at(redact(response.url()))
            .with_reason("has no usable Location")
    }))
}
