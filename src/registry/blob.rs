//! Opens the bytes of a blob, from the start or at the offset where an earlier attempt stopped.
//!
//! One closed range per request (`bytes=a-b`): ggcr's registry rejects open ones (anchore/stereoscope#695), GCS and S3
//! reject or ignore several. A missing `Accept-Ranges` says nothing, because most registries that support Range do not send
//! it.

use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, Response, StatusCode};

use super::{Repository, foreign};
use crate::content::{BlobPresence, BlobRequest, BlobStream, check_limit};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::media::MediaType;
use crate::registry::http::body;
use crate::registry::http::counter::RequestKind;
use crate::registry::http::encoding::Encoding;
use crate::registry::http::error_body::requests_backoff;
use crate::registry::http::origin::Origin;
use crate::registry::http::request::ConnectionUse;
use crate::registry::send::Transport;
use crate::retry::retry;
use crate::verifier::verify;

/// After so many server errors in a row for ranges, the blob is requested without one.
const RANGE_FAILURES: u32 = 3;

/// Opens the blob at the registry. A foreign layer missing there is fetched from its `urls`.
pub(super) async fn open(repository: &Repository, blob: BlobRequest<'_>) -> Result<BlobStream> {
    let descriptor = blob.descriptor;
    descriptor.digest.algorithm()?;
    let at_registry = open_at_registry(repository, &blob).await;
    let http = &repository.transport.http;
    // Not for a mirror: the registry may have it.
    let use_urls =
        descriptor.is_foreign() && http.options.foreign_layers && !http.settings.has_next;
    let opened = match at_registry {
        Err(error) if use_urls && error.kind() == ErrorKind::NotFound => {
            foreign::open(repository, descriptor, error).await
        }
        other => other,
    };
    // After a range that was ignored, the reader goes on with what comes instead of requesting the rest once more.
    opened.map(
        |stream| if stream.start < blob.range.start { stream } else { stream.truncated_to(&blob) },
    )
}

async fn open_at_registry(repository: &Repository, blob: &BlobRequest<'_>) -> Result<BlobStream> {
    let (descriptor, range) = (blob.descriptor, &blob.range);
    let transport = &repository.transport;
    let what = format!("blob {}", descriptor.digest);
    let url = transport.http.url(&format!("{}/blobs/{}", repository.name, descriptor.digest))?;
    let mut request = repository.get(RequestKind::Blob, url, &what);
    let is_part = range.start > 0 || range.end < descriptor.size;
    request.connection =
        if is_part { ConnectionUse::Exclusive } else { ConnectionUse::for_body(descriptor.size) };
    if is_part && !transport.are_ranges_disabled() {
        request.range = Some((range.start, range.end.saturating_sub(1)));
    }
    let mut response = transport.send(&request).await?;
    if let Some((first, _)) = request.range
        && !transport.has_range(&response, first, descriptor.size)
    {
        drop(response);
        request.range = None;
        response = transport.send(&request).await?;
        if response.status().is_success() {
            tracing::info!(
                "{} does not support range requests; restarting blobs from the beginning",
                transport.http.name
            );
            transport.ranges_refused.store(true, Ordering::Relaxed);
        }
    }
    let served = match response.status() {
        StatusCode::OK => 0..descriptor.size,
        StatusCode::PARTIAL_CONTENT if request.range.is_some() => range.clone(),
        status if status.is_success() => {
            return Err(body::unexpected_response(
                &what,
                response.url(),
                &format!("responded {status}"),
            ));
        }
        _ => return Err(transport.http.failure(&request, response).await),
    };
    let idle = transport.http.options.timeouts.idle;
    let announces_ranges =
        response.headers().get(ACCEPT_RANGES).is_some_and(|unit| unit == "bytes");
    let (start, host) = (served.start, Origin::from_url(response.url())?);
    let stream = body::blob(response, descriptor, served, what, idle).await?;
    let limiter = transport.http.limiters.host(&host);
    let received = repository.received.of_host(&transport.http.name);
    let stream = stream.inspect_ok(move |chunk| {
        limiter.record_bytes(chunk.len() as u64);
        received.fetch_add(chunk.len() as u64, Ordering::Relaxed);
    });
    Ok(BlobStream { announces_ranges, ..BlobStream::new(start, Box::pin(stream)) })
}

/// Returns the bytes of a small blob, verified.
///
/// # Errors
/// [`ErrorKind::InvalidDocument`] if the descriptor's size exceeds `limit`.
pub(super) async fn read(
    repository: &Repository,
    descriptor: &Descriptor,
    limit: u64,
) -> Result<Bytes> {
    let error =
        |kind| Error::new(kind, format!("blob {}", descriptor.digest)).at(repository.full_name());
    check_limit(descriptor, limit).map_err(|error| error.at(repository.full_name()))?;
    let idle = repository.transport.http.options.timeouts.idle;
    retry(&repository.transport.http.retry, || async {
        let mut stream = open(repository, BlobRequest::starting_at(descriptor, 0)).await?.stream;
        let mut bytes = BytesMut::new();
        loop {
            match tokio::time::timeout(idle, stream.next()).await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk?),
                Ok(None) => break,
                Err(_) => {
                    return Err(error(ErrorKind::Transport).with_reason("stalled").transient(None));
                }
            }
            if bytes.len() as u64 > descriptor.size {
                break;
            }
        }
        verify(descriptor, &bytes).map_err(|error| error.at(repository.full_name()))?;
        Ok(bytes.freeze())
    })
    .await
}

/// Whether the registry has the blob; `Unknown` if it refuses to say.
pub(super) async fn presence(
    repository: &Repository,
    descriptor: &Descriptor,
) -> Result<BlobPresence> {
    match repository.stat_blob(&descriptor.digest).await {
        Ok(found) if found.size == descriptor.size => Ok(BlobPresence::Complete),
        Ok(_) => Ok(BlobPresence::Absent),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(BlobPresence::Absent),
        // The registry asks for a pause, which applies to all requests.
        Err(error) if matches!(error.status(), None | Some(429)) => Err(error),
        Err(_) => Ok(BlobPresence::Unknown),
    }
}

impl Repository {
    /// Size of the blob with this digest. Costs a HEAD, and a GET if that does not contain it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the registry does not have it.
    pub async fn stat_blob(&self, digest: &Digest) -> Result<Descriptor> {
        digest.algorithm()?;
        let transport = &self.transport;
        let what = format!("blob {digest}");
        let url = transport.http.url(&format!("{}/blobs/{digest}", self.name))?;
        let mut request = self.get(RequestKind::Blob, url, &what);
        request.method = Method::HEAD;
        let policy = &transport.http.retry;
        let response = retry(policy, || async {
            let response = transport.send(&request).await?;
            if requests_backoff(&response) {
                return Err(Box::pin(transport.http.failure(&request, response)).await);
            }
            Ok(response)
        })
        .await?;
        let mut size = length(&response);
        if size.is_none() && response.status() != StatusCode::NOT_FOUND {
            // Sent and not read: presigned URLs are valid for one method only.
            request.method = Method::GET;
            let response = retry(policy, || transport.expect_success(&request)).await?;
            size = length(&response);
        } else if size.is_none() {
            return Err(transport.http.failure(&request, response).await);
        }
        let size = size.ok_or_else(|| {
            body::unexpected_response(&what, &request.url, "the registry does not report its size")
        })?;
        Ok(Descriptor::new(MediaType::from("application/octet-stream"), digest.clone(), size))
    }
}

/// The declared length of a successful response; the header itself, because HEAD has no body to measure.
fn length(response: &Response) -> Option<u64> {
    if Encoding::from_headers(response.headers()) != Encoding::Identity {
        return None;
    }
    let declared =
        response.headers().get(CONTENT_LENGTH).filter(|_| response.status().is_success());
    declared?.to_str().ok()?.parse().ok()
}

impl Transport {
    /// Whether this is the range, or an error that has nothing to do with ranges as far as can be known.
    fn has_range(&self, response: &Response, first: u64, size: u64) -> bool {
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                self.range_failures.store(0, Ordering::Relaxed);
                range_fits(response.headers(), first, size)
            }
            // Caches, firewalls and storage refuse ranges with any of these where they would send the whole.
            StatusCode::RANGE_NOT_SATISFIABLE
            | StatusCode::BAD_REQUEST
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_IMPLEMENTED => false,
            StatusCode::SERVICE_UNAVAILABLE => true,
            // More often the failure of any request. The whole blob costs more bytes than another attempt.
            status if status.is_server_error() => {
                let failures = self.range_failures.fetch_add(1, Ordering::Relaxed) + 1;
                !failures.is_multiple_of(RANGE_FAILURES)
            }
            // 200: Range was ignored (goharbor/harbor#23875); the reader skips the bytes it has.
            _ => true,
        }
    }
}

/// Whether a 206 continues at `first`. It may be shorter than requested.
fn range_fits(headers: &HeaderMap, first: u64, size: u64) -> bool {
    let multipart =
        headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"multipart/"));
    let mut values = headers.get_all(CONTENT_RANGE).iter();
    let (Some(value), None, false) = (values.next(), values.next(), multipart) else {
        return false;
    };
    value.to_str().ok().and_then(content_range).is_some_and(|(start, end, total)| {
        start == first && end >= start && end < size && total.is_none_or(|total| total == size)
    })
}

/// Parses `bytes first-last/total`, where the total may be `*`.
fn content_range(value: &str) -> Option<(u64, u64, Option<u64>)> {
    let digits =
        |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(digits(total)?) };
    Some((digits(first)?, digits(last)?, total))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn content_range_malformed_is_rejected() {
        assert_eq!(content_range("bytes 20-127/128"), Some((20, 127, Some(128))));
        assert_eq!(content_range("bytes 64-127/*"), Some((64, 127, None)));
        for bad in [
            "bytes ",
            "bytes x-2/3",
            "bytes 1*2/3",
            "bytes 1-",
            "bytes 1-x/3",
            "bytes 1-2/3a",
            "bytes +1-2/3",
            "1-2/3",
        ] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn resume_range_other_than_requested_is_rejected() {
        let fits = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_RANGE, value.parse().unwrap());
            }
            range_fits(&headers, 20, 128)
        };
        assert!(
            fits(&["bytes 20-127/128"]) && fits(&["bytes 20-99/128"]) && fits(&["bytes 20-127/*"])
        );
        for bad in [
            &["bytes 30-127/128"][..],
            &["bytes 20-127/129"],
            &["bytes 20-128/*"],
            &["bytes 20-19/128"],
            &[],
        ] {
            assert!(!fits(bad), "{bad:?}");
        }
        assert!(!fits(&["bytes 20-127/128", "bytes 20-127/128"]));
    }

    proptest! {
        #[test]
        fn content_range_arbitrary_text_does_not_panic(value in "(bytes )?[0-9+*/ -]{0,60}") {
            prop_assert!(content_range(&value).is_none() || !value.contains('+'));
        }
    }
}
