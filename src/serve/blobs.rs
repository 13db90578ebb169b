//! Serves blobs, complete or in part.

use std::fs::File;
use std::ops::Range;

use hyper::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
    IF_RANGE, RANGE,
};
use hyper::{Method, StatusCode};

use super::range::{ByteRange, parse_range};
use super::response::{
    ApiError, ApiResponse, DIGEST, client_has, header_text, not_modified, set, with_bytes,
    with_stream,
};
use crate::content::ByteStream;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Layout;

/// Answers `GET` and `HEAD`. The caller has checked that the repository has the blob.
pub(super) fn get(
    layout: &Layout,
    digest: &Digest,
    method: &Method,
    headers: &HeaderMap,
) -> Result<ApiResponse, ApiError> {
    let file = stored(layout, digest)?.ok_or_else(|| unknown_blob(digest))?;
    from_file(layout, file, digest, method, headers)
}

/// Opens the blob; `None` if it does not exist.
pub(super) fn stored(layout: &Layout, digest: &Digest) -> Result<Option<File>, ApiError> {
    match layout.own_blob_file(digest) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Answers `GET` and `HEAD` of an open blob.
pub(super) fn from_file(
    layout: &Layout,
    file: File,
    digest: &Digest,
    method: &Method,
    headers: &HeaderMap,
) -> Result<ApiResponse, ApiError> {
    let metadata = file.metadata().map_err(|error| {
        Error::new(ErrorKind::Store, format!("blob {digest}")).with_source(error)
    })?;
    let open = |range| layout.bytes_of(file, digest, range);
    respond(digest, metadata.len(), method, headers, open)
}

/// Answers `GET` and `HEAD` of a blob of this size; `open` streams a range of it.
pub(super) fn respond(
    digest: &Digest,
    size: u64,
    method: &Method,
    headers: &HeaderMap,
    open: impl FnOnce(Range<u64>) -> Result<ByteStream<'static>>,
) -> Result<ApiResponse, ApiError> {
    if client_has(headers, digest) {
        return Ok(not_modified(digest));
    }
    let etag = format!("\"{digest}\"");
    let if_range_matches = header_text(headers, IF_RANGE).is_none_or(|value| value == etag);
    // RFC 9110, 14.2: only GET supports ranges.
    let requested =
        header_text(headers, RANGE).filter(|_| if_range_matches && method == Method::GET);
    let range = parse_range(requested, size);
    let (status, range) = match range {
        ByteRange::Whole => (StatusCode::OK, 0..size),
        ByteRange::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        ByteRange::Unsatisfiable => {
            let reason = format!("the blob has {}", crate::size::size(size));
            let error = ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "SIZE_INVALID", reason);
            return Err(error.with_header(CONTENT_RANGE, format!("bytes */{size}")));
        }
    };
    let length = range.end - range.start;
    let mut response = if method == Method::HEAD || length == 0 {
        let mut response = with_bytes(status, "");
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
        response
    } else {
        with_stream(status, length, open(range.clone())?)
    };
    if status == StatusCode::PARTIAL_CONTENT {
        let last = range.end - 1;
        set(&mut response, CONTENT_RANGE, format!("bytes {}-{last}/{size}", range.start));
    }
    set(&mut response, DIGEST, digest.as_str());
    set(&mut response, ETAG, etag);
    let headers = response.headers_mut();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(response)
}

pub(super) fn unknown_blob(digest: &Digest) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "BLOB_UNKNOWN",
        format!("blob {digest} unknown to registry"),
    )
}
