//! The error type of the library.
//!
//! Its text is one line, `what: where: reason`, and safe to print: control characters are escaped and URLs redacted
//! when the error is built. Exit codes belong to the command line.
//!
//! ```
//! use rpull::{Error, ErrorKind};
//!
//! # fn example() -> Error {
//! // In a backend: what was attempted, where, and why it failed.
//! Error::new(ErrorKind::NotFound, "app:1").at("reg.example").with_reason("no such tag")
//! # }
//! # let error = example();
//! assert_eq!(error.to_string(), "app:1: reg.example: no such tag");
//! // In a caller: a kind to decide by. `chain` has the causes too.
//! match error.kind() {
//!     ErrorKind::NotFound => println!("nothing to do"),
//!     _ => eprintln!("{}", error.chain()),
//! }
//! ```

mod data;
mod detail;
mod kind;

use std::fmt;
use std::time::Duration;

pub use self::data::{Outage, RegistryCode, Side};
pub use self::detail::ErrorDetail;
pub use self::kind::ErrorKind;
use crate::digest::{Digest, DigestError};
use crate::escape::escape;

/// The result of fallible functions in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An error: what was attempted, where, and the reason.
///
/// `Display` writes one line without the [`source`](std::error::Error::source).
pub struct Error(Box<ErrorInner>);

struct ErrorInner {
    kind: ErrorKind,
    detail: Option<ErrorDetail>,
    what: String,
    location: String,
    reason: String,
    source: Option<BoxError>,
    status: Option<u16>,
    transient: bool,
    retry_after: Option<Duration>,
    outage: Option<Outage>,
    data: ErrorData,
}

/// Data that is kept when an error is converted to another one.
#[derive(Clone, Default)]
struct ErrorData {
    side: Option<Side>,
    missing: Vec<Digest>,
    codes: Vec<RegistryCode>,
    layer: Option<usize>,
    registry: Option<String>,
    hint: Option<String>,
}

impl Error {
    /// Creates an error about `what`. Control characters in it are escaped.
    pub fn new(kind: ErrorKind, what: impl AsRef<str>) -> Self {
        Self(Box::new(ErrorInner {
            kind,
            detail: None,
            what: escape(what.as_ref()).into_owned(),
            location: String::new(),
            reason: String::new(),
            source: None,
            status: None,
            transient: false,
            retry_after: None,
            outage: None,
            data: ErrorData::default(),
        }))
    }

    /// Sets the registry, path or file, unless it is already set.
    #[must_use]
    pub fn at(mut self, location: impl AsRef<str>) -> Self {
        if self.0.location.is_empty() {
            self.0.location = escape(location.as_ref()).into_owned();
        }
        self
    }

    /// Adds to the location that the registry of this name redirected there.
    #[must_use]
    pub(crate) fn redirected_by(mut self, registry: &str) -> Self {
        self.0.location = format!("{}, redirected by {}", self.0.location, escape(registry));
        self
    }

    /// Sets the reason, such as the server's message.
    #[must_use]
    pub fn with_reason(mut self, reason: impl AsRef<str>) -> Self {
        self.0.reason = escape(reason.as_ref()).into_owned();
        self
    }

    /// Sets the detail, if it is known.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Option<ErrorDetail>>) -> Self {
        self.0.detail = detail.into();
        self
    }

    /// Sets the hint: what the user can do, beginning with a verb, without a full stop. The other texts contain no
    /// advice.
    ///
    /// For errors that are created in one place. Conditions that several places report have a detail instead.
    #[must_use]
    pub fn with_hint(mut self, hint: impl AsRef<str>) -> Self {
        self.0.data.hint = Some(escape(hint.as_ref()).into_owned());
        self
    }

    /// Sets the side of the transfer that failed, unless it is already set.
    #[must_use]
    pub fn with_side(mut self, side: Side) -> Self {
        self.0.data.side.get_or_insert(side);
        self
    }

    /// Sets the content of a manifest that the target lacks.
    #[must_use]
    pub fn with_missing(mut self, digests: Vec<Digest>) -> Self {
        self.0.data.missing = digests;
        self
    }

    /// Sets the entries of the registry's error response.
    #[must_use]
    pub(crate) fn with_codes(mut self, codes: Vec<RegistryCode>) -> Self {
        self.0.data.codes = codes;
        self
    }

    /// Sets the position of the affected layer, base first.
    #[must_use]
    pub fn with_layer(mut self, layer: usize) -> Self {
        self.0.data.layer = Some(layer);
        self
    }

    /// Sets the registry that was asked, or the repository in it: `ghcr.io`, `ghcr.io/org/app`.
    #[must_use]
    pub(crate) fn in_registry(mut self, name: &str) -> Self {
        self.0.data.registry = Some(escape(name).into_owned());
        self
    }

    /// Copies the detail, hint and data of another error.
    ///
    /// Status, outage and transience are not copied: they belong to one request.
    #[must_use]
    pub fn with_data_of(mut self, other: &Self) -> Self {
        self.0.detail = other.0.detail;
        self.0.data = other.0.data.clone();
        self
    }

    /// Changes the kind to [`ErrorKind::Denied`].
    #[must_use]
    pub(crate) fn denied(mut self) -> Self {
        self.0.kind = ErrorKind::Denied;
        self
    }

    /// Sets the HTTP status of the response.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// Sets the underlying error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Marks the error as worth a retry, after `retry_after` if the server sent it.
    #[must_use]
    pub fn transient(mut self, retry_after: Option<Duration>) -> Self {
        self.0.transient = true;
        self.0.retry_after = retry_after;
        self
    }

    /// Marks the host as one that responded before.
    #[must_use]
    pub fn in_outage(mut self, outage: Outage) -> Self {
        self.0.outage = Some(outage);
        self
    }

    /// Marks the error as not worth another retry.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.0.transient = false;
        self
    }

    /// Returns the same error for another image: kind, text and data, without the source.
    #[must_use]
    pub fn clone_for(&self) -> Self {
        Self::new(self.kind(), self.chain()).with_data_of(self)
    }

    /// Returns the category.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the detail, if it is known.
    pub fn detail(&self) -> Option<ErrorDetail> {
        self.0.detail
    }

    /// Returns the error's own hint. A [`detail`](Self::detail) may imply another one.
    pub fn hint(&self) -> Option<&str> {
        self.0.data.hint.as_deref()
    }

    /// Returns what was attempted.
    pub(crate) fn what(&self) -> &str {
        &self.0.what
    }

    /// Returns the side of the transfer that failed; `None` outside transfers.
    pub fn side(&self) -> Option<Side> {
        self.0.data.side
    }

    /// Returns the content of a manifest that the target lacks, as far as the target names it.
    pub fn missing(&self) -> &[Digest] {
        &self.0.data.missing
    }

    /// Returns the entries of the registry's error response, in their order.
    pub fn codes(&self) -> &[RegistryCode] {
        &self.0.data.codes
    }

    /// Returns the position of the affected layer, base first.
    pub fn layer(&self) -> Option<usize> {
        self.0.data.layer
    }

    /// Returns the registry that was asked, or the repository in it, as a reference names them.
    pub fn registry(&self) -> Option<&str> {
        self.0.data.registry.as_deref()
    }

    /// Returns the reason alone.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// Returns the HTTP status, if there was a response.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// Whether a later attempt may succeed.
    pub fn is_transient(&self) -> bool {
        self.0.transient
    }

    /// Returns the delay that the registry asked for.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns the outage of a host that responded before.
    pub fn outage(&self) -> Option<Outage> {
        self.0.outage
    }

    /// Returns the text with those of all sources, joined by `: `.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let words = escape(&error.to_string()).into_owned();
            if !text.contains(&words) {
                text = format!("{text}: {words}");
            }
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)?;
        for part in [&self.0.location, &self.0.reason] {
            if !part.is_empty() {
                write!(f, ": {part}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({})", self.0.kind, self.chain())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<DigestError> for Error {
    fn from(error: DigestError) -> Self {
        let kind = match &error {
            DigestError::Malformed { .. } => ErrorKind::InvalidInput,
            DigestError::Unsupported(_) => ErrorKind::Unsupported,
        };
        Self::new(kind, error.subject()).with_reason(error.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_has_subject_location_and_server_reason() {
        let error = Error::new(ErrorKind::NotFound, "manifest library/nope:1")
            .at("docker.io")
            .with_reason("manifest unknown");
        assert_eq!(error.to_string(), "manifest library/nope:1: docker.io: manifest unknown");
    }

    #[test]
    fn control_characters_of_server_are_escaped() {
        let error = Error::new(ErrorKind::Registry, "pull").with_reason("\u{1b}]0;owned\u{7}\r\n");
        assert!(!error.to_string().contains(['\u{1b}', '\u{7}', '\r', '\n']));
    }

    #[test]
    fn digest_error_keeps_its_text_and_gets_its_kind() {
        let malformed = "sha256:\u{1b}".parse::<Digest>().unwrap_err();
        let unsupported = "blake3:ab".parse::<Digest>().unwrap().algorithm().unwrap_err();
        for (error, kind) in
            [(malformed, ErrorKind::InvalidInput), (unsupported, ErrorKind::Unsupported)]
        {
            let text = error.to_string();
            assert!(text.starts_with("digest ") && !text.contains('\u{1b}'), "{text}");
            let error = Error::from(error);
            assert_eq!((error.to_string(), error.kind()), (text, kind));
        }
    }

    #[test]
    fn error_data_survives_clone_for() {
        let digest = Digest::sha256(b"layer");
        let error = Error::new(ErrorKind::MissingBlobs, "manifest a:1")
            .with_side(Side::Target)
            .with_missing(vec![digest.clone()])
            .with_layer(3)
            .with_hint("push the base image first")
            .with_side(Side::Source);
        let again = error.clone_for();
        assert_eq!((again.side(), again.layer()), (Some(Side::Target), Some(3)));
        assert_eq!((again.missing(), again.hint()), (&[digest][..], error.hint()));
        assert!(Error::new(ErrorKind::Store, "write").side().is_none());
    }

    #[test]
    fn chain_lists_each_cause_once() {
        let error =
            Error::new(ErrorKind::Store, "write").with_source(std::io::Error::other("disk full"));
        assert_eq!(error.chain(), "write: disk full");
        assert!(!error.is_transient());
    }
}
