//! Turns a registry's error response into an [`Error`], whatever its format.
//!
//! The status decides what an error means; codes and bodies only contribute text (distribution-spec "Error Codes",
//! Docker Hub's legacy `details`, OAuth's `error`, XML of object storage, plain text, HTML, an empty body).

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::storage_error;
use crate::digest::Digest;
use crate::error::{Error, ErrorDetail, ErrorKind, RegistryCode};
use crate::escape::escape;
use crate::registry::redactor::{Redactor, TextKind};

/// Maximum bytes read of an error body.
pub(in crate::registry) const ERROR_BODY_LIMIT: usize = 64 << 10;

/// Maximum characters of a body that are repeated in a message.
const MAX_MESSAGE_CHARS: usize = 400;

/// The code of a manifest that references content missing in the registry.
const MISSING_BLOB_CODE: &str = "MANIFEST_BLOB_UNKNOWN";

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    errors: Option<Vec<ErrorItem>>,
    #[serde(default)]
    details: Value,
    #[serde(default)]
    error: Value,
    #[serde(default)]
    error_description: Value,
}

#[derive(Deserialize)]
struct ErrorItem {
    #[serde(default)]
    code: Value,
    #[serde(default)]
    message: Value,
    #[serde(default)]
    detail: Value,
}

/// Builds the error for this response.
pub(in crate::registry) fn error(
    what: &str,
    location: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    redactor: &Redactor,
) -> Error {
    let kind = match status {
        _ if reports_missing_blobs(body) => ErrorKind::MissingBlobs,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::Denied,
        // Some registries answer so for a quota, a policy or an immutable tag.
        _ if status.is_client_error() && !is_transient(status) && has_code(body, "DENIED") => {
            ErrorKind::Denied
        }
        StatusCode::NOT_FOUND => ErrorKind::NotFound,
        _ => ErrorKind::Registry,
    };
    let parsed = serde_json::from_slice::<ErrorBody>(body).ok();
    let codes = parsed.iter().flat_map(|body| body.codes(redactor)).collect();
    let error = Error::new(kind, what)
        .at(location)
        .with_reason(format!("{}{}", status_text(status), message(body, redactor)))
        .with_status(status.as_u16())
        .with_codes(codes)
        .with_missing(parsed.map(|body| body.missing()).unwrap_or_default());
    // docker-registry 2.8 answers 500 for layers with `urls` that it does not allow, now and later.
    if is_transient(status) && kind != ErrorKind::MissingBlobs {
        return error.transient(retry_after(headers));
    }
    error
}

/// What the user can do about this response of a registry or its token server, if known.
pub(in crate::registry) fn detail(status: StatusCode, body: &[u8]) -> Option<ErrorDetail> {
    match status {
        // ECR's passwords expire after 12 hours, and only the message says so.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
            if String::from_utf8_lossy(body).contains("authorization token has expired") =>
        {
            Some(ErrorDetail::ExpiredCredential)
        }
        StatusCode::UNAUTHORIZED => Some(ErrorDetail::CredentialRequired),
        StatusCode::FORBIDDEN => Some(ErrorDetail::Forbidden),
        StatusCode::NOT_FOUND if has_code(body, "NAME_UNKNOWN") => {
            Some(ErrorDetail::RepositoryNotFound)
        }
        StatusCode::TOO_MANY_REQUESTS => Some(ErrorDetail::RateLimited),
        _ => None,
    }
}

/// Whether the response says that a manifest references missing blobs; registries use various statuses for it.
fn reports_missing_blobs(body: &[u8]) -> bool {
    has_code(body, MISSING_BLOB_CODE)
}

fn has_code(body: &[u8], code: &str) -> bool {
    let parsed = serde_json::from_slice::<ErrorBody>(body).ok();
    let items = parsed.and_then(|body| body.errors).unwrap_or_default();
    items.iter().any(|item| item.code == code)
}

fn status_text(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {}", status.as_u16(), reason.to_ascii_lowercase()),
        None => status.as_u16().to_string(),
    }
}

/// Whether the same request may succeed later. 499 and 522 come from proxies whose backend disconnected.
fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 499 | 500 | 502 | 503 | 504 | 522)
}

/// Whether the registry asks for a pause. No other request may then replace this one.
pub(in crate::registry) fn requests_backoff(response: &Response) -> bool {
    let status = response.status();
    status == StatusCode::TOO_MANY_REQUESTS
        || (is_transient(status) && retry_after(response.headers()).is_some())
}

/// `Retry-After` as a duration from now. `None` for a past date or an invalid value; the maximum for a value that no
/// number or date can represent.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    // Some servers send fractions.
    let seconds = text.split_once('.').map_or(text, |(seconds, _)| seconds);
    if !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(seconds.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    if text.ends_with(" GMT") && text.split([' ', '-']).any(is_year_beyond_dates) {
        return Some(Duration::MAX);
    }
    httpdate::parse_http_date(text).ok()?.duration_since(std::time::SystemTime::now()).ok()
}

/// HTTP dates have four-digit years.
fn is_year_beyond_dates(word: &str) -> bool {
    word.len() > 4 && word.bytes().all(|byte| byte.is_ascii_digit())
}

fn message(body: &[u8], redactor: &Redactor) -> String {
    let parsed = serde_json::from_slice::<ErrorBody>(body).map(|body| body.message(redactor));
    let parsed = parsed.unwrap_or_default();
    let message = if parsed.is_empty() { plain_text(body) } else { parsed };
    let message = redactor.redact(&message, TextKind::Foreign);
    if message.is_empty() {
        return String::new();
    }
    let mut short: String = message.chars().take(MAX_MESSAGE_CHARS).collect();
    if short.len() < message.len() {
        short.push('…');
    }
    format!(": {short}")
}

impl ErrorBody {
    fn message(&self, redactor: &Redactor) -> String {
        let items = self.errors.iter().flatten().map(|item| item.message(redactor));
        let items = items.filter(|message| !message.is_empty());
        let flat = [&self.details, &self.error, &self.error_description].map(text);
        items
            .chain(flat.into_iter().filter(|message| !message.is_empty()))
            .collect::<Vec<_>>()
            .join("; ")
    }

    fn codes(&self, redactor: &Redactor) -> Vec<RegistryCode> {
        let shown =
            |value: &Value| escape(&redactor.redact(&text(value), TextKind::Foreign)).into_owned();
        let code = |item: &ErrorItem| RegistryCode {
            code: shown(&item.code),
            message: shown(&item.message),
            detail: shown(&item.detail),
        };
        self.errors.iter().flatten().map(code).collect()
    }

    /// The digests that the registry misses. Some registries put them into `detail`, a string or an object, others into
    /// the message.
    fn missing(&self) -> Vec<Digest> {
        let mut missing = Vec::new();
        for item in self.errors.iter().flatten().filter(|item| item.code == MISSING_BLOB_CODE) {
            for message in [&item.message, &item.detail].map(text) {
                missing.extend(
                    digests_in(&message)
                        .filter(|digest| !missing.contains(digest))
                        .collect::<Vec<_>>(),
                );
            }
        }
        missing
    }
}

/// The digests in a text.
fn digests_in(message: &str) -> impl Iterator<Item = Digest> {
    ["sha256:", "sha512:"].into_iter().flat_map(move |algorithm| {
        message.match_indices(algorithm).filter_map(move |(start, _)| {
            let digest = message.get(start..)?;
            let hex = digest.get(algorithm.len()..)?;
            let end = hex.find(|next: char| !next.is_ascii_hexdigit()).unwrap_or(hex.len());
            digest.get(..algorithm.len() + end)?.parse().ok()
        })
    })
}

impl ErrorItem {
    fn message(&self, redactor: &Redactor) -> String {
        let detail = match &self.detail {
            Value::String(text) => text.clone(),
            _ => String::new(),
        };
        // Redact before the spelling is changed.
        let code = text(&self.code);
        let code = redactor.redact(&code, TextKind::Foreign).to_ascii_lowercase().replace('_', " ");
        let message = text(&self.message);
        let code = if message.to_lowercase().contains(&code) { String::new() } else { code };
        [code, message, detail]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(": ")
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}

fn plain_text(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if let Some(message) = storage_error::code_and_message(text) {
        return message;
    }
    if text.starts_with('<') {
        return "a web page instead of a registry response".to_owned();
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reason(status: u16, body: &str) -> String {
        let status = StatusCode::from_u16(status).unwrap();
        error(
            "manifest a:1",
            "example.com",
            status,
            &HeaderMap::new(),
            body.as_bytes(),
            &Redactor::default(),
        )
        .reason()
        .to_owned()
    }

    #[test]
    fn error_body_formats_give_reason() {
        let spec = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"x"}}]}"#;
        assert_eq!(reason(404, spec), "404 not found: manifest unknown");
        assert_eq!(reason(403, r#"{"errors":[{"code":"DENIED"}]}"#), "403 forbidden: denied");
        assert_eq!(
            reason(403, r#"{"details":"more rights needed"}"#),
            "403 forbidden: more rights needed"
        );
        assert_eq!(reason(401, r#"{"error":"invalid_grant"}"#), "401 unauthorized: invalid_grant");
        assert_eq!(reason(429, "slow down"), "429 too many requests: slow down");
        assert_eq!(
            reason(502, "<html>"),
            "502 bad gateway: a web page instead of a registry response"
        );
        assert_eq!(reason(500, ""), "500 internal server error");
        for odd in [
            r#"{"errors":null}"#,
            r#"{"errors":[{"code":7,"message":null,"detail":[1]}]}"#,
            "[1,2",
            "{invalid json}",
        ] {
            assert!(reason(400, odd).starts_with("400 bad request"), "{odd}");
        }
        assert!(reason(500, &"x".repeat(1 << 20)).chars().count() < MAX_MESSAGE_CHARS + 40);
    }

    #[test]
    fn missing_blobs_are_read_from_detail_and_message() {
        let named = |body: Value| {
            let (status, headers) = (StatusCode::BAD_REQUEST, HeaderMap::new());
            let body = body.to_string();
            error("x", "y", status, &headers, body.as_bytes(), &Redactor::default())
        };
        let [one, two] = [b"1", b"2"].map(|bytes| Digest::sha256(bytes));
        let error = named(serde_json::json!({"errors": [
            {"code": MISSING_BLOB_CODE, "message": "blob unknown", "detail": one.as_str()},
            {"code": MISSING_BLOB_CODE, "detail": {"digest": two.as_str(), "again": one.as_str()}},
            {"code": "DENIED", "detail": Digest::sha256(b"3").as_str()},
        ]}));
        assert_eq!(
            (error.kind(), error.missing()),
            (ErrorKind::MissingBlobs, &[one.clone(), two][..])
        );
        assert_eq!(error.codes().len(), 3);
        assert_eq!(
            (error.codes()[0].message.as_str(), error.codes()[0].detail.as_str()),
            ("blob unknown", one.as_str())
        );
        let message = format!("blob {one} is not here, nor sha256:12");
        let error =
            named(serde_json::json!({"errors": [{"code": MISSING_BLOB_CODE, "message": message}]}));
        assert_eq!(error.missing(), [one]);
        assert!(named(serde_json::json!({"errors": "odd"})).codes().is_empty());
    }

    #[test]
    fn retry_after_parses_seconds_and_dates() {
        let parse = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(parse("0"), Some(Duration::ZERO));
        assert_eq!(parse("99999"), Some(Duration::from_secs(99_999)));
        assert_eq!(parse("1.5"), Some(Duration::from_secs(1)));
        for beyond in
            ["99999999999999999999", "18446744073709551616", "Fri, 31 Dec 12026 23:59:59 GMT"]
        {
            assert_eq!(parse(beyond), Some(Duration::MAX), "{beyond}");
        }
        let far = parse("Fri, 31 Dec 9999 23:59:59 GMT").unwrap();
        assert!(far > Duration::from_secs(1 << 32));
        let soon =
            httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(9000));
        assert!(parse(&soon).is_some_and(|wait| wait > Duration::from_secs(8000)));
        for nonsense in ["-1", "soon", "Thu, 01 Jan 1970 00:00:00 GMT", "", ".", "1e9"] {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn status_decides_kind_and_retry() {
        let of = |status: u16| {
            error(
                "x",
                "y",
                StatusCode::from_u16(status).unwrap(),
                &HeaderMap::new(),
                b"",
                &Redactor::default(),
            )
        };
        assert_eq!(of(404).kind(), ErrorKind::NotFound);
        assert_eq!(of(401).kind(), ErrorKind::Denied);
        assert!(of(429).is_transient() && of(503).is_transient() && of(522).is_transient());
        assert!(!of(501).is_transient() && !of(404).is_transient() && !of(400).is_transient());
    }

    proptest! {
        #[test]
        fn error_body_arbitrary_bytes_are_limited(body in proptest::collection::vec(any::<u8>(), 0..600), status in 100_u16..600) {
            let status = StatusCode::from_u16(status).unwrap();
            let error = error("x", "y", status, &HeaderMap::new(), &body, &Redactor::default());
            prop_assert!(error.reason().chars().count() < 8 * MAX_MESSAGE_CHARS);
        }
    }
}
