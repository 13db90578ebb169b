//! Serves blobs, complete or in part.

use hyper::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
    IF_RANGE, RANGE,
};
use hyper::{Method, StatusCode};

use super::range::{ByteRange, wanted};
use super::response::{
    ApiError, ApiResponse, DIGEST, header_text, is_held, not_modified, set, with_bytes, with_stream,
};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::layout::Layout;

/// Answers `GET` and `HEAD`. The caller has checked that the repository has the blob.
pub(super) fn get(
    layout: &Layout,
    digest: &Digest,
    method: &Method,
    headers: &HeaderMap,
) -> Result<ApiResponse, ApiError> {
    let file = layout.own_blob_file(digest).map_err(|error| match error.kind() {
        ErrorKind::NotFound => unknown(digest),
        _ => error.into(),
    })?;
    let found = file.metadata().map_err(|error| {
        Error::new(ErrorKind::Store, format!("blob {digest}")).with_source(error)
    })?;
    if is_held(headers, digest) {
        return Ok(not_modified(digest));
    }
    let (size, tag) = (found.len(), format!("\"{digest}\""));
    let is_same = header_text(headers, IF_RANGE).is_none_or(|held| held == tag);
    // RFC 9110, 14.2: only GET supports ranges.
    let asked = header_text(headers, RANGE).filter(|_| is_same && method == Method::GET);
    let wanted = wanted(asked, size);
    let (status, range) = match wanted {
        ByteRange::Whole => (StatusCode::OK, 0..size),
        ByteRange::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        ByteRange::Unsatisfiable => {
            let why = format!("the blob has {size} bytes");
            let fault = ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "SIZE_INVALID", why);
            return Err(fault.with(CONTENT_RANGE, format!("bytes */{size}")));
        }
    };
    let length = range.end - range.start;
    let mut answer = if method == Method::HEAD || length == 0 {
        let mut answer = with_bytes(status, "");
        answer.headers_mut().insert(CONTENT_LENGTH, length.into());
        answer
    } else {
        with_stream(status, length, layout.bytes_of(file, digest, range.clone())?)
    };
    if status == StatusCode::PARTIAL_CONTENT {
        let last = range.end - 1;
        set(&mut answer, CONTENT_RANGE, format!("bytes {}-{last}/{size}", range.start));
    }
    set(&mut answer, DIGEST, digest.as_str());
    set(&mut answer, ETAG, tag);
    let headers = answer.headers_mut();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(answer)
}

pub(super) fn unknown(digest: &Digest) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "BLOB_UNKNOWN",
        format!("blob {digest} unknown to registry"),
    )
}
