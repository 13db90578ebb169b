//! The response to a client when an upstream fails. The upstream's text stays in the server's log: it may name what
//! only the server may know.

use hyper::StatusCode;
use hyper::header::RETRY_AFTER;

use super::super::response::ApiError;
use crate::error::{Error, ErrorDetail, ErrorKind};

/// Whether the registry cannot be reached or cannot work at the moment, so that an older answer of it may still be right.
pub(super) fn is_away(error: &Error) -> bool {
    match error.status() {
        Some(status) => matches!(status, 408 | 429) || status >= 500,
        None => error.kind() == ErrorKind::Transport,
    }
}

/// Converts the error of an upstream. `unknown` is the answer for missing content.
pub(super) fn upstream_error(registry: &str, error: &Error, unknown: ApiError) -> ApiError {
    tracing::warn!("upstream {registry}: {}", error.chain());
    let with = |status, code, reason: &str| {
        ApiError::new(status, code, format!("upstream {registry} {reason}"))
    };
    if error.status() == Some(429) || error.detail() == Some(ErrorDetail::RateLimited) {
        let limited = with(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", "limits its requests");
        return match error.retry_after() {
            Some(wait) => limited.with_header(RETRY_AFTER, wait.as_secs().to_string()),
            None => limited,
        };
    }
    match error.kind() {
        ErrorKind::NotFound => unknown,
        // Not 401: the credential of the client is not the one that was refused.
        ErrorKind::Denied => with(StatusCode::FORBIDDEN, "DENIED", "denied access to this server"),
        ErrorKind::Mismatch => with(
            StatusCode::BAD_GATEWAY,
            "DIGEST_INVALID",
            "sent content with another digest or size",
        ),
        ErrorKind::InvalidDocument | ErrorKind::Unsupported => with(
            StatusCode::BAD_GATEWAY,
            "MANIFEST_INVALID",
            "sent an invalid or unsupported manifest",
        ),
        ErrorKind::Store | ErrorKind::InvalidInput => error.clone_for().into(),
        _ => match (error.status(), error.detail()) {
            (Some(status), _) => with(
                StatusCode::BAD_GATEWAY,
                "UNAVAILABLE",
                &format!("responded with status {status}"),
            ),
            (None, Some(_)) => with(StatusCode::BAD_GATEWAY, "UNAVAILABLE", "cannot be reached"),
            (None, None) => with(
                StatusCode::GATEWAY_TIMEOUT,
                "UNAVAILABLE",
                "did not respond in time or hung up",
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_error_hides_words_of_upstream() {
        let unknown = || ApiError::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "unknown");
        let error = |kind, status: u16| {
            let error = Error::new(kind, "x").with_reason("canary");
            if status == 0 { error } else { error.with_status(status) }
        };
        for (kind, status, expected, away) in [
            (ErrorKind::NotFound, 404, 404, false),
            (ErrorKind::Denied, 401, 403, false),
            (ErrorKind::Denied, 403, 403, false),
            (ErrorKind::Registry, 429, 429, true),
            (ErrorKind::Registry, 503, 502, true),
            (ErrorKind::Registry, 418, 502, false),
            (ErrorKind::Transport, 0, 504, true),
            (ErrorKind::Mismatch, 0, 502, false),
            (ErrorKind::InvalidDocument, 0, 502, false),
            (ErrorKind::Store, 0, 500, false),
        ] {
            let error = error(kind, status);
            let answer = upstream_error("r.example", &error, unknown());
            assert_eq!(answer.status.as_u16(), expected, "{error:?}");
            assert!(!format!("{answer:?}").contains("canary"), "{answer:?}");
            assert_eq!(is_away(&error), away, "{error:?}");
        }
        let refused = error(ErrorKind::Transport, 0).with_detail(ErrorDetail::ConnectionRefused);
        assert_eq!(upstream_error("r", &refused, unknown()).status, StatusCode::BAD_GATEWAY);
    }
}
