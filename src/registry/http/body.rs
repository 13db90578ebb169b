//! Response bodies: small ones read into memory up to a limit, large ones streamed.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, Url};
use tokio::time::Instant;

use super::encoding::{Encoding, gunzip};
use super::gate::Pass;
use super::origin::redact;
use super::transport_error::request_failed;
use crate::content::ByteStream;
use crate::descriptor::Descriptor;
use crate::document::DOCUMENT_LIMIT;
use crate::error::{Error, ErrorKind, Result};
use crate::min_rate::{MinimumRate, TOO_SLOW};
use crate::size::size;
use crate::verifier::verify;

/// Reads a body of at most `limit` bytes and decodes it; the limit applies before and after decoding.
///
/// # Errors
/// [`ErrorKind::InvalidDocument`] if it is larger, after reading at most one buffer more; [`ErrorKind::Transport`] if
/// it stalls; [`ErrorKind::Mismatch`] if it cannot be decoded.
pub(in crate::registry) async fn read_up_to(
    response: Response,
    limit: u64,
    what: &str,
    idle: Duration,
) -> Result<Bytes> {
    let encoding = Encoding::from_headers(response.headers());
    let url = response.url().clone();
    if let Encoding::Other(name) = &encoding {
        return Err(unexpected_response(what, &url, &is_encoded(name)));
    }
    let body = read_encoded(response, limit, what, idle).await?;
    match encoding {
        Encoding::Gzip => gunzip(body, limit).map_err(|error| {
            unexpected_response(what, &url, &format!("{}: {error}", is_encoded("gzip")))
        }),
        _ => Ok(body),
    }
}

async fn read_encoded(response: Response, limit: u64, what: &str, idle: Duration) -> Result<Bytes> {
    let url = response.url().clone();
    let error_of = |kind, reason: &str| Error::new(kind, what).at(redact(&url)).with_reason(reason);
    let too_large = || {
        error_of(ErrorKind::InvalidDocument, &format!("larger than the limit of {}", size(limit)))
    };
    if response.content_length().is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    let mut pace = MinimumRate::default();
    let _pass = pass_of(&response);
    let mut stream = response.bytes_stream();
    loop {
        let started = Instant::now();
        let chunk = match tokio::time::timeout(idle, stream.next()).await {
            Err(_) => return Err(error_of(ErrorKind::Transport, "stalled").transient(None)),
            Ok(None) => return Ok(body.freeze()),
            Ok(Some(Err(error))) => return Err(request_failed(what, &url, error)),
            Ok(Some(Ok(chunk))) => chunk,
        };
        if (body.len() + chunk.len()) as u64 > limit {
            return Err(too_large());
        }
        if pace.record(chunk.len() as u64, started.elapsed()) == Some(false) {
            return Err(error_of(ErrorKind::Transport, TOO_SLOW).transient(None));
        }
        body.extend_from_slice(&chunk);
    }
}

/// Longest wait for the body of an error response.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns the first `limit` bytes of an error body, or what arrived before reading failed.
pub(in crate::registry) async fn read_error_body(response: Response, limit: usize) -> Bytes {
    let is_gzip = Encoding::from_headers(response.headers()) == Encoding::Gzip;
    let mut body = BytesMut::new();
    let mut stream = response.bytes_stream();
    let end = Instant::now() + ERROR_BODY_TIMEOUT;
    while body.len() < limit
        && let Ok(Some(Ok(chunk))) = tokio::time::timeout_at(end, stream.next()).await
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(limit);
    let body = body.freeze();
    if is_gzip { gunzip(body.clone(), limit as u64).unwrap_or(body) } else { body }
}

/// Streams the given bytes of a blob.
///
/// Object storage may mark a blob as gzip because the layer itself is gzip. A body whose length differs from the blob's
/// may have been encoded in transit; it is decoded only if the blob is as small as a config and the digest then
/// matches.
///
/// # Errors
/// [`ErrorKind::Mismatch`] if the body cannot be the blob, before a byte of it is read.
pub(in crate::registry) async fn blob(
    response: Response,
    descriptor: &Descriptor,
    served: Range<u64>,
    what: String,
    idle: Duration,
) -> Result<ByteStream<'static>> {
    let expected = served.end.saturating_sub(served.start);
    let is_part = expected < descriptor.size;
    match Encoding::from_headers(response.headers()) {
        Encoding::Other(name) => {
            return Err(unexpected_response(&what, response.url(), &is_encoded(&name)));
        }
        Encoding::Gzip if response.content_length() != Some(expected) => {
            if is_part || descriptor.size > DOCUMENT_LIMIT {
                return Err(unexpected_response(&what, response.url(), &is_encoded("gzip")));
            }
            let body = read_encoded(response, DOCUMENT_LIMIT, &what, idle).await?;
            let is_blob = verify(descriptor, &body).is_ok();
            let decoded = if is_blob { None } else { gunzip(body.clone(), descriptor.size).ok() };
            let blob = decoded.filter(|bytes| verify(descriptor, bytes).is_ok()).unwrap_or(body);
            return Ok(Box::pin(futures_util::stream::iter([Ok(blob)])));
        }
        _ => {}
    }
    check_length(&response, expected, is_part, &what)?;
    Ok(Box::pin(stream(response, what)))
}

fn is_encoded(name: &str) -> String {
    format!("unexpected `Content-Encoding: {name}`")
}

/// Streams the body. The reader checks its length.
fn stream(response: Response, what: String) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    let url = response.url().clone();
    let pass = pass_of(&response);
    response.bytes_stream().map_err(move |error| {
        // Held until the stream is dropped.
        let _ = &pass;
        request_failed(&what, &url, error)
    })
}

/// The place of the response among the requests of its host, if their number is limited.
fn pass_of(response: &Response) -> Option<Arc<Pass>> {
    response.extensions().get::<Arc<Pass>>().map(Arc::clone)
}

/// Rejects a body whose length cannot be right, before a byte of it is read.
fn check_length(response: &Response, expected: u64, is_part: bool, what: &str) -> Result<()> {
    match response.content_length() {
        // A partial response may be shorter than requested; the reader requests the rest.
        Some(length) if length > expected || (!is_part && length != expected) => {
            let kind = response.headers().get(CONTENT_TYPE);
            let kind = kind.and_then(|value| value.to_str().ok()).unwrap_or("no type");
            let reason = format!(
                "size mismatch: expected {expected} bytes, the registry announced {length} of {kind}"
            );
            Err(unexpected_response(what, response.url(), &reason))
        }
        _ => Ok(()),
    }
}

/// The error for a response that is not the requested content.
pub(in crate::registry) fn unexpected_response(what: &str, url: &Url, reason: &str) -> Error {
    Error::new(ErrorKind::Mismatch, what).at(redact(url)).with_reason(reason)
}
