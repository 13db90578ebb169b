//! The `Location` of an open upload.

use reqwest::header::{HeaderMap, LOCATION, RANGE};
use reqwest::{Method, Response, Url};

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::Repository;
use crate::registry::http::counter::RequestKind;
use crate::registry::http::request::Request;
use crate::registry::send::Transport;

/// Where an upload continues.
pub(in crate::registry) struct UploadLocation {
    pub(super) url: Url,
    /// Bytes that the registry has received.
    pub(super) offset: u64,
    /// The registry's `OCI-Chunk-Min-Length`, or 0.
    pub(super) min_chunk: u64,
    /// Redirects of requests with blob bytes that led here. If not 0, the URL is complete.
    pub(super) redirects: usize,
}

impl UploadLocation {
    /// Reads location and progress of an upload from a response.
    ///
    /// The URL is opaque and may change with each response. It is checked like any server-supplied URL and gets no
    /// credential at another origin.
    pub(super) fn from_response(
        transport: &Transport,
        response: &Response,
        what: &str,
    ) -> Result<Self> {
        let invalid = |reason: &str| {
            Error::new(ErrorKind::Registry, what).at(&transport.http.name).with_reason(reason)
        };
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let location = location.filter(|text| !text.trim().is_empty());
        let location = location.ok_or_else(|| invalid("missing `Location` in the response"))?;
        let requested = response.url();
        let mut url = requested
            .join(location.trim())
            .map_err(|error| invalid("the upload location is not a URL").with_source(error))?;
        url.set_fragment(None);
        transport.http.options.redactor.note_session(&url);
        // Behind a proxy that terminates TLS, a registry believes that it speaks http (distribution#2225).
        if requested.scheme() == "https" && url.scheme() == "http" && url.host() == requested.host()
        {
            // No port means 80 here: the proxy's port was lost with the scheme.
            let lacks_port = url.port().is_none();
            _ = url.set_scheme("https");
            if lacks_port {
                _ = url.set_port(requested.port());
            }
        }
        transport.http.check_server_url(&url, what, ErrorKind::Transport)?;
        let header = |name: &str| response.headers().get(name)?.to_str().ok()?.trim().parse().ok();
        let min_chunk = header("oci-chunk-min-length").unwrap_or(0);
        Ok(Self {
            url,
            offset: received_bytes(response.headers()).unwrap_or(0),
            min_chunk,
            redirects: 0,
        })
    }
}

/// Opens a session without any bytes.
pub(super) async fn open(repository: &Repository, digest: &Digest) -> Result<UploadLocation> {
    let transport = &repository.transport;
    let what = format!("upload of blob {digest}");
    let url = transport.http.url(&format!("{}/blobs/uploads/", repository.name))?;
    let request =
        Request { method: Method::POST, ..repository.get(RequestKind::Upload, url, &what) };
    let response = transport.expect_success(&request).await?;
    UploadLocation::from_response(transport, &response, &what)
}

/// Bytes received according to `Range: 0-<last>`; `bytes=0-9` is an old form of `0-9`.
///
/// `0-0` means one byte or none: distribution sends it for an empty upload. It counts as none.
fn received_bytes(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(RANGE)?.to_str().ok()?.trim();
    let (first, last) = value.strip_prefix("bytes=").unwrap_or(value).split_once('-')?;
    let last: u64 = last.parse().ok().filter(|_| first == "0")?;
    Some(if last == 0 { 0 } else { last.checked_add(1)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upload_range_header_gives_offset() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, text.parse().unwrap());
            received_bytes(&headers)
        };
        assert_eq!(read("0-9"), Some(10));
        assert_eq!(read("bytes=0-9"), Some(10));
        assert_eq!(read("0-0"), Some(0));
        for odd in ["", "9", "5-9", "0-", "0--1", "0-18446744073709551615", "0-x", "bytes 0-9"] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }
}
