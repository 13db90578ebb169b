//! What an error means to the caller.

/// What an [`Error`](super::Error) means to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An invalid reference, digest, platform or option; no request was sent.
    InvalidInput,
    /// Not in the registry or store, or not for the requested platform.
    NotFound,
    /// Authentication or permission.
    Denied,
    /// The registry responded with an error.
    Registry,
    /// The registry reports that blobs of a manifest are missing.
    MissingBlobs,
    /// The registry could not be reached, or the connection broke, after retries.
    Transport,
    /// The bytes do not have the expected digest or size.
    Mismatch,
    /// Valid, but not supported by rpull: schema1, an unknown digest algorithm.
    Unsupported,
    /// A manifest, index or config that is malformed, oversized, too deep or ambiguous.
    InvalidDocument,
    /// The local store or a layout could not be read or written.
    Store,
    /// A layer could not be unpacked: it is malformed or exceeds a limit, or writing failed.
    Unpack,
    /// Stopped by the caller.
    Interrupted,
    /// Stopped at a limit that the caller set; the next run continues.
    Stopped,
}

impl ErrorKind {
    /// Returns the name used in JSON output.
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
            Self::Stopped => "stopped",
        }
    }
}
