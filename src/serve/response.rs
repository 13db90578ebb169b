//! Responses and errors. Spec: distribution-spec "Error Codes".

use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{
    CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH,
};
use hyper::{Response, StatusCode};
use serde_json::json;

use crate::content::ByteStream;
use crate::digest::Digest;
use crate::error::{Error, ErrorDetail, ErrorKind};

/// A response with a streaming body.
pub(super) type ApiResponse = Response<UnsyncBoxBody<Bytes, Error>>;

/// Digest of the requested manifest or blob.
pub(super) const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

pub(super) fn with_bytes(status: StatusCode, bytes: impl Into<Bytes>) -> ApiResponse {
    let mut response =
        Response::new(Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

/// Returns a response with a stream of `length` bytes.
pub(super) fn with_stream(
    status: StatusCode,
    length: u64,
    stream: ByteStream<'static>,
) -> ApiResponse {
    let frames = StreamBody::new(TryStreamExt::map_ok(stream, Frame::data));
    let mut response = Response::new(BodyExt::boxed_unsync(frames));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    response
}

pub(super) fn with_json(value: &serde_json::Value) -> ApiResponse {
    let mut response = with_bytes(StatusCode::OK, value.to_string());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Sets a header. An invalid value is omitted, because it contains a client's text.
pub(super) fn set(response: &mut ApiResponse, name: HeaderName, value: impl AsRef<str>) {
    if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
        response.headers_mut().insert(name, value);
    }
}

/// Whether `If-None-Match` has this digest (RFC 9110, 13.1.2). Old clients send it without quotes.
pub(super) fn client_has(headers: &HeaderMap, digest: &Digest) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|etag| {
        let etag = etag.trim();
        let etag = etag.strip_prefix("W/").unwrap_or(etag);
        etag == "*" || etag.trim_matches('"') == digest.as_str()
    })
}

/// Returns the response for content that the client already has.
pub(super) fn not_modified(digest: &Digest) -> ApiResponse {
    let mut response = with_bytes(StatusCode::NOT_MODIFIED, "");
    set(&mut response, DIGEST, digest.as_str());
    set(&mut response, ETAG, format!("\"{digest}\""));
    response
}

/// An error response: status, error code of the specification, and message.
#[derive(Clone, Debug)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    code: &'static str,
    message: String,
    headers: Vec<(HeaderName, String)>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new() }
    }

    /// The method or operation is not supported, for any user.
    pub(super) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message)
    }

    pub(super) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn into_response(self) -> ApiResponse {
        let error = json!({ "code": self.code, "message": self.message });
        let mut response = with_json(&json!({ "errors": [error] }));
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            set(&mut response, name, value);
        }
        response
    }
}

/// Converts an error of the layout. The response has only its kind, because the text may contain paths of the server.
impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        tracing::warn!("{}", error.chain());
        if error.detail() == Some(ErrorDetail::StoreDiskFull) {
            let reason = "the disk of the registry is full";
            return Self::new(StatusCode::INSUFFICIENT_STORAGE, "UNKNOWN", reason);
        }
        match error.kind() {
            ErrorKind::Mismatch => {
                Self::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", error.reason())
            }
            ErrorKind::InvalidDocument | ErrorKind::Unsupported => {
                Self::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", error.reason())
            }
            _ => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "UNKNOWN",
                "the store of the registry failed; its log has the details",
            ),
        }
    }
}

/// Returns the header's value if it is text.
pub(super) fn header_text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
