//! What can go wrong, told by meaning.
//!
//! One error type for the whole library. Its text is `what: where: the other side's words`, one line, already safe to
//! print: foreign text is escaped and URLs are redacted when the error is built. Exit codes and hints belong to the CLI.

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

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A failure: what was wanted, where, and why it did not happen.
///
/// Its `Display` is one line without a full stop that does not repeat [`source`](std::error::Error::source).
pub struct Error(Box<ErrorInner>);

struct ErrorInner {
    kind: ErrorKind,
    matter: Option<ErrorDetail>,
    what: String,
    place: String,
    why: String,
    cause: Option<BoxError>,
    status: Option<u16>,
    transient: bool,
    retry_after: Option<Duration>,
    outage: Option<Outage>,
    data: ErrorData,
}

/// What goes with an error wherever it is told again.
#[derive(Clone, Default)]
struct ErrorData {
    side: Option<Side>,
    missing: Vec<Digest>,
    codes: Vec<RegistryCode>,
    layer: Option<usize>,
    hint: Option<String>,
}

impl Error {
    /// Starts an error of this kind about `what`; foreign text in it is escaped here.
    pub fn new(kind: ErrorKind, what: impl AsRef<str>) -> Self {
        Self(Box::new(ErrorInner {
            kind,
            matter: None,
            what: escape(what.as_ref()).into_owned(),
            place: String::new(),
            why: String::new(),
            cause: None,
            status: None,
            transient: false,
            retry_after: None,
            outage: None,
            data: ErrorData::default(),
        }))
    }

    /// Names the registry, path or file it happened at, unless a deeper layer already did.
    #[must_use]
    pub fn at(mut self, place: impl AsRef<str>) -> Self {
        if self.0.place.is_empty() {
            self.0.place = escape(place.as_ref()).into_owned();
        }
        self
    }

    /// Gives the reason, or the other side's own words.
    #[must_use]
    pub fn with_reason(mut self, why: impl AsRef<str>) -> Self {
        self.0.why = escape(why.as_ref()).into_owned();
        self
    }

    /// Says more exactly what is the matter, where that is known.
    #[must_use]
    pub fn with_detail(mut self, matter: impl Into<Option<ErrorDetail>>) -> Self {
        self.0.matter = matter.into();
        self
    }

    /// Sets what the user can do about it: a verb first, no full stop. The text of the error has no advice.
    ///
    /// For an error that is built in one place; conditions that several places report have a detail.
    #[must_use]
    pub fn with_hint(mut self, hint: impl AsRef<str>) -> Self {
        self.0.data.hint = Some(escape(hint.as_ref()).into_owned());
        self
    }

    /// Sets the end of the transfer that failed, unless it is known already.
    #[must_use]
    pub fn with_side(mut self, side: Side) -> Self {
        self.0.data.side.get_or_insert(side);
        self
    }

    /// Sets the content that a manifest names and the target lacks.
    #[must_use]
    pub fn with_missing(mut self, digests: Vec<Digest>) -> Self {
        self.0.data.missing = digests;
        self
    }

    /// Sets the entries of the registry's answer.
    #[must_use]
    pub(crate) fn with_codes(mut self, codes: Vec<RegistryCode>) -> Self {
        self.0.data.codes = codes;
        self
    }

    /// Sets the position of the layer that it is about, base first.
    #[must_use]
    pub fn with_layer(mut self, layer: usize) -> Self {
        self.0.data.layer = Some(layer);
        self
    }

    /// Takes over what another error carries beside its text: the detail, the hint, and what programs read.
    ///
    /// Status, outage and whether it is transient stay with the other: they belong to one request.
    #[must_use]
    pub fn with_data_of(mut self, other: &Self) -> Self {
        self.0.matter = other.0.matter;
        self.0.data = other.0.data.clone();
        self
    }

    /// The same as a refusal, whatever it looked like.
    #[must_use]
    pub(crate) fn denied(mut self) -> Self {
        self.0.kind = ErrorKind::Denied;
        self
    }

    /// Notes the HTTP status that the other side answered with.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// Keeps the error underneath.
    #[must_use]
    pub fn with_source(mut self, cause: impl Into<BoxError>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Marks it as worth another try, not before `retry_after` where the other side said so.
    #[must_use]
    pub fn transient(mut self, retry_after: Option<Duration>) -> Self {
        self.0.transient = true;
        self.0.retry_after = retry_after;
        self
    }

    /// Notes that the host has answered before.
    #[must_use]
    pub fn in_outage(mut self, outage: Outage) -> Self {
        self.0.outage = Some(outage);
        self
    }

    /// Gives up on it: the same error, no longer worth another try.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.0.transient = false;
        self
    }

    /// The same failure for another image: kind, text and data, without the source.
    #[must_use]
    pub fn clone_for(&self) -> Self {
        Self::new(self.kind(), self.chain()).with_data_of(self)
    }

    /// What it means.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What exactly is the matter, where that is known.
    pub fn detail(&self) -> Option<ErrorDetail> {
        self.0.matter
    }

    /// What the user can do about it, if there is a hint of its own beside [`detail`](Self::detail).
    pub fn hint(&self) -> Option<&str> {
        self.0.data.hint.as_deref()
    }

    /// The end of the transfer that failed; `None` outside transfers.
    pub fn side(&self) -> Option<Side> {
        self.0.data.side
    }

    /// The content that a manifest names and the target lacks, as far as the target says which.
    pub fn missing(&self) -> &[Digest] {
        &self.0.data.missing
    }

    /// The entries of the registry's answer, in its order.
    pub fn codes(&self) -> &[RegistryCode] {
        &self.0.data.codes
    }

    /// The position of the layer that it is about, base first.
    pub fn layer(&self) -> Option<usize> {
        self.0.data.layer
    }

    /// The reason alone, without what and where.
    pub fn reason(&self) -> &str {
        &self.0.why
    }

    /// The HTTP status that the registry answered with, where it answered.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// Whether the same request may succeed a little later.
    pub fn is_transient(&self) -> bool {
        self.0.transient
    }

    /// How long the registry asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Since when the host fails, where it has answered before.
    pub fn outage(&self) -> Option<Outage> {
        self.0.outage
    }

    /// The line with every cause behind it, joined by `: `.
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
        for part in [&self.0.place, &self.0.why] {
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
        self.0.cause.as_deref().map(|cause| cause as _)
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
