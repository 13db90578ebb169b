//! A request to a registry and its headers.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue,
    RANGE,
};
use reqwest::{Method, Response, Url};

use super::counter::{RequestCounter, RequestKind};
use super::origin::redact;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::scope::ScopeSet;

/// Largest body, in bytes, that shares a connection with others: about what the time of two handshakes is worth. A larger one has a
/// connection of its own, because registries limit the rate of each, and ranges of it are requested over several.
const MAX_SHARED_BODY: u64 = 128 << 10;

/// Which connection a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) enum ConnectionUse {
    /// One with other requests at the same time, over HTTP/2, or an idle one if the host does not speak it.
    Shared,
    /// One for itself, over HTTP/1.1.
    Exclusive,
}

impl ConnectionUse {
    /// For a body of this many bytes.
    pub(in crate::registry) fn for_body(bytes: u64) -> Self {
        if bytes <= MAX_SHARED_BODY { Self::Shared } else { Self::Exclusive }
    }
}

/// A request of one endpoint. Authorization is added per redirect.
pub(in crate::registry) struct Request<'a> {
    pub(in crate::registry) method: Method,
    pub(in crate::registry) url: Url,
    pub(in crate::registry) endpoint: RequestKind,
    pub(in crate::registry) scopes: &'a ScopeSet,
    pub(in crate::registry) accept: Option<HeaderValue>,
    pub(in crate::registry) range: Option<(u64, u64)>,
    pub(in crate::registry) connection: ConnectionUse,
    /// The body and its media type.
    pub(in crate::registry) content: Option<(HeaderValue, Bytes)>,
    /// For error texts: `manifest library/alpine:3.14`.
    pub(in crate::registry) what: &'a str,
    pub(in crate::registry) counter: &'a RequestCounter,
}

impl<'a> Request<'a> {
    /// A GET without a body.
    pub(in crate::registry) fn get(
        endpoint: RequestKind,
        url: Url,
        scopes: &'a ScopeSet,
        what: &'a str,
        counter: &'a RequestCounter,
    ) -> Self {
        Self {
            method: Method::GET,
            url,
            endpoint,
            scopes,
            accept: None,
            range: None,
            connection: ConnectionUse::Shared,
            content: None,
            what,
            counter,
        }
    }

    /// All headers of the request, from an allow-list: nothing carries over from one redirect to the next.
    pub(in crate::registry) fn headers(
        &self,
        authorization: Option<&HeaderValue>,
    ) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        // An encoding applied in transit would change the bytes that the digest covers.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(accept) = &self.accept {
            headers.insert(ACCEPT, accept.clone());
        }
        if let Some((first, last)) = self.range {
            let value = HeaderValue::from_str(&format!("bytes={first}-{last}"))
                .map_err(|error| Error::new(ErrorKind::Transport, self.what).with_source(error))?;
            headers.insert(RANGE, value);
        }
        if let Some((media_type, _)) = &self.content {
            headers.insert(CONTENT_TYPE, media_type.clone());
        }
        if self.content.is_none() && may_have_content(&self.method) {
            // RFC 9110, section 8.6; zuul-registry 1.3.0 responds 411 without it.
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        Ok(headers)
    }

    /// Logs one line for `-vv`.
    pub(in crate::registry) fn log(&self, url: &Url, response: &Response, elapsed: Duration) {
        let (method, status) = (&self.method, response.status().as_u16());
        let range = self.range.map(|(first, last)| format!(" bytes={first}-{last}"));
        tracing::debug!(
            "{method} {}{} {status} {} ms",
            redact(url),
            range.unwrap_or_default(),
            elapsed.as_millis()
        );
    }
}

fn may_have_content(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}
