//! What an error means to the caller.

/// What an [`Error`](super::Error) means to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An invalid reference, digest, platform or option; no request was sent.
    InvalidInput,
    /// The registry or store does not have it, or not for the wanted platform.
    NotFound,
    /// Authentication or permission.
    Denied,
    /// The registry answered, but with an error.
    Registry,
    /// The registry says that it lacks blobs that a manifest names.
    MissingBlobs,
    /// The registry could not be reached, or went away, after retries.
    Transport,
    /// Bytes that do not have the digest or size they should have.
    Mismatch,
    /// Correct, but of a kind that rpull does not handle: schema1, an unknown digest algorithm.
    Unsupported,
    /// A manifest, index or config that is malformed, oversized, too deep or ambiguous.
    InvalidDocument,
    /// The local store or a layout could not be read or written.
    Store,
    /// A layer could not become files: it is malformed or beyond the limits, or the disk did not take it.
    Unpack,
    /// Stopped by the caller.
    Interrupted,
}

impl ErrorKind {
    /// The name that JSON output uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidInput => "reference",
            Self::NotFound => "not_found",
            Self::Denied => "denied",
            Self::Registry => "registry",
            Self::MissingBlobs => "incomplete",
            Self::Transport => "transport",
            Self::Mismatch => "mismatch",
            Self::Unsupported => "unsupported",
            Self::InvalidDocument => "document",
            Self::Store => "store",
            Self::Unpack => "unpack",
            Self::Interrupted => "interrupted",
        }
    }
}
