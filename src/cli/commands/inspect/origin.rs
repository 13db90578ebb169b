//! Recognizes what compressed a layer.

use crate::layer::{Compression, UnsupportedFormat};
use crate::rebuild::{Features, Fit, fit};

/// What the first bytes of a layer show.
#[derive(Clone)]
pub(super) enum Origin {
    Gzip(Fit, Features),
    Zstd,
    Plain,
    Unread(UnsupportedFormat),
}

impl Origin {
    pub(super) fn from_start(start: &[u8]) -> Self {
        match Compression::detect(start) {
            Ok(Compression::Gzip) => {
                Self::Gzip(fit(start), Features::from_start(start).unwrap_or_default())
            }
            Ok(Compression::Zstd) => Self::Zstd,
            Ok(Compression::Plain) => Self::Plain,
            Err(unread) => Self::Unread(unread),
        }
    }
}
