//! Sends one request and receives its response, with request counting, timeouts and errors.
//!
//! It does not authenticate, follow redirects or retry; [`crate::registry::send`] does.

use std::sync::atomic::Ordering;
use std::time::Instant;

use reqwest::header::{HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};

use super::announced_limit::is_used_up;
use super::body::read_error_body;
use super::connection::Connection;
use super::error_body::{self, ERROR_BODY_LIMIT};
use super::gate::RequestClass;
use super::hosts::with_proxy;
use super::limiter::is_overloaded;
use super::origin::{Origin, redact};
use super::request::{ConnectionUse, Request};
use super::transport_error::{
    closed_before_answering, is_http2_failure, is_unprocessed, request_failed,
};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};

impl Connection {
    /// Sends one request and returns when the response headers are there.
    pub(in crate::registry) async fn exchange(
        &self,
        request: &Request<'_>,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response> {
        let origin = Origin::from_url(url)?;
        self.options.redactor.note_url(url);
        let mut connection = request.connection;
        let headers = self.with_own_headers(request.headers(authorization)?, &origin)?;
        let limiter = self.limiters.host(&origin);
        let admission = limiter.admit(RequestClass::Request, request.what).await?;
        let mut is_last_attempt = false;
        let body = request.content.as_ref().map(|(_, bytes)| bytes.clone()).unwrap_or_default();
        loop {
            request.counter.add(request.endpoint);
            let started = Instant::now();
            let sending = self
                .client_for(&origin, connection)?
                .request(request.method.clone(), url.clone())
                .headers(headers.clone())
                .body(body.clone())
                .send();
            let result = tokio::time::timeout(self.options.timeouts.headers, sending).await;
            let elapsed = started.elapsed();
            match result {
                Ok(Ok(mut response)) => {
                    if origin == self.origin()? {
                        self.clients.url_policy.record_peer(response.remote_addr());
                        self.note_response();
                    }
                    self.clients.record_version(&origin, connection, response.version());
                    limiter.record_response(response.status());
                    request.log(url, &response, elapsed);
                    if request.method == Method::GET && response.status().is_success() {
                        admission.extend_to_body(&mut response);
                    }
                    return Ok(response);
                }
                Ok(Err(error)) => {
                    request.counter.remove_unsent(request.endpoint, &error);
                    let again = resend_on(&request.method, connection, &error);
                    if let Some(other) = again.filter(|_| !is_last_attempt) {
                        (connection, is_last_attempt) = (other, true);
                        continue;
                    }
                    if is_http2_failure(&error) {
                        self.clients.give_up_http2(&origin);
                    }
                    let error = with_proxy(&origin, request_failed(request.what, url, error));
                    return Err(limiter.record_failure(error));
                }
                Err(_) => {
                    let seconds = self.options.timeouts.headers.as_secs_f32();
                    let error = Error::new(ErrorKind::Transport, request.what)
                        .at(redact(url))
                        .with_reason(format!("no response within {seconds} s"))
                        .transient(None);
                    return Err(limiter.record_failure(error));
                }
            }
        }
    }

    /// Sends one request with a streamed body, which cannot be repeated, and returns the response headers.
    pub(in crate::registry) async fn exchange_stream(
        &self,
        request: &Request<'_>,
        url: &Url,
        headers: HeaderMap,
        body: reqwest::Body,
    ) -> Result<Response> {
        let origin = Origin::from_url(url)?;
        let limiter = self.limiters.host(&origin);
        let _admission = limiter.admit(RequestClass::Upload, request.what).await?;
        request.counter.add(request.endpoint);
        let started = Instant::now();
        let client = self.client_for(&origin, request.connection)?;
        let headers = self.with_own_headers(headers, &origin)?;
        let sending = client.request(request.method.clone(), url.clone());
        let response = sending.headers(headers).body(body).send().await.map_err(|error| {
            request.counter.remove_unsent(request.endpoint, &error);
            limiter.record_failure(with_proxy(&origin, request_failed(request.what, url, error)))
        })?;
        limiter.record_response(response.status());
        request.log(url, &response, started.elapsed());
        Ok(response)
    }

    /// Adds the headers that every request to the registry has. Those of the request itself stay as they are.
    fn with_own_headers(&self, mut headers: HeaderMap, origin: &Origin) -> Result<HeaderMap> {
        if *origin == self.origin()? {
            let own = self.settings.headers.iter();
            let missing = own.filter(|(name, _)| !headers.contains_key(*name));
            let missing: Vec<_> =
                missing.map(|(name, value)| (name.clone(), value.clone())).collect();
            for (name, value) in missing {
                headers.append(name, value);
            }
        }
        Ok(headers)
    }

    /// What the user can do about this response, if known. Who passed a credential needs another one.
    pub(in crate::registry) fn detail(
        &self,
        status: StatusCode,
        body: &[u8],
    ) -> Option<ErrorDetail> {
        match error_body::detail(status, body) {
            Some(ErrorDetail::CredentialRequired)
                if self.has_credential.load(Ordering::Relaxed) =>
            {
                Some(ErrorDetail::InvalidCredential)
            }
            detail => detail,
        }
    }

    /// The error for this response, with the registry's message.
    pub(in crate::registry) async fn failure(
        &self,
        request: &Request<'_>,
        response: Response,
    ) -> Error {
        let (status, headers) = (response.status(), response.headers().clone());
        let redirected_to = match (Origin::from_url(response.url()), self.origin()) {
            (Ok(answered), Ok(registry)) if answered != registry => Some(redact(response.url())),
            _ => None,
        };
        let url = response.url().clone();
        let body = read_error_body(response, ERROR_BODY_LIMIT).await;
        let location = redirected_to.as_ref().unwrap_or(&self.name);
        let error = error_body::error(
            request.what,
            location,
            status,
            &headers,
            &body,
            &self.options.redactor,
        )
        .in_registry(&self.name);
        // The registry accepts no blobs and manifests at all: a mirror, or read-only.
        let is_read_only = status == StatusCode::METHOD_NOT_ALLOWED
            && [Method::POST, Method::PUT, Method::PATCH].contains(&request.method);
        let error = if is_read_only { error.denied() } else { error };
        let error = match Origin::from_url(&url) {
            Ok(host) => {
                let limiter = self.limiters.host(&host);
                limiter.pause(&error);
                // An hourly quota that is used up is not worth the time of an outage.
                let is_outage =
                    is_overloaded(status) && !is_used_up(&headers, self.options.retry.retry_for);
                if is_outage { limiter.record_failure(error) } else { error }
            }
            Err(_) => error,
        };
        // Only the registry itself can tell that a name or credential is wrong.
        if redirected_to.is_none() {
            error.with_detail(self.detail(status, &body))
        } else {
            error.redirected_by(&self.name)
        }
    }
}

/// The connection to send a request on again at once, if its failure says nothing about it.
fn resend_on(
    method: &Method,
    connection: ConnectionUse,
    error: &reqwest::Error,
) -> Option<ConnectionUse> {
    let is_repeatable = *method == Method::GET || *method == Method::HEAD;
    if is_unprocessed(error) {
        Some(ConnectionUse::Exclusive)
    } else if is_repeatable && closed_before_answering(error) {
        // The server closed a pooled connection just as it was reused.
        Some(connection)
    } else {
        None
    }
}

/// The `Location` of a redirect; `None` for any other response.
pub(in crate::registry) fn redirect_target(response: &Response) -> Option<Result<&str>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    Some(location.ok_or_else(|| {
        Error::new(ErrorKind::Transport, "redirect")
            .at(redact(response.url()))
            .with_reason("missing or invalid `Location`")
    }))
}
