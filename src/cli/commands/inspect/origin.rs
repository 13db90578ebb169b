//! Recognizes what compressed a layer.

use std::io::Read as _;

use crate::layer::{Compression, UnsupportedFormat, decompress};
use crate::rebuild::{Features, Fit, fit};

/// What the first bytes of a layer show.
#[derive(Clone)]
pub(super) enum Origin {
    Gzip(Fit, Features),
    Zstd,
    Plain,
    Unsupported(UnsupportedFormat),
    /// Compressed data in a compression, where a layer should have a tar.
    Twice {
        outer: Compression,
        inner: Compression,
    },
}

impl Origin {
    pub(super) fn from_start(start: &[u8]) -> Self {
        let compression = Compression::detect(start);
        if let Ok(outer) = compression
            && let Some(inner) = inner(outer, start)
        {
            return Self::Twice { outer, inner };
        }
        match compression {
            Ok(Compression::Gzip) => {
                Self::Gzip(fit(start), Features::from_start(start).unwrap_or_default())
            }
            Ok(Compression::Zstd) => Self::Zstd,
            Ok(Compression::Plain) => Self::Plain,
            Err(unsupported) => Self::Unsupported(unsupported),
        }
    }
}

/// Returns the compression inside of another one.
fn inner(outer: Compression, start: &[u8]) -> Option<Compression> {
    if outer == Compression::Plain {
        return None;
    }
    let mut inside = vec![0; Compression::DETECT_LEN];
    let mut reader = decompress(outer, start).ok()?;
    let mut length = 0;
    // The start of a blob ends in the middle of its compression.
    while let Ok(count @ 1..) = reader.read(inside.get_mut(length..)?) {
        length += count;
    }
    Compression::detect_inner(inside.get(..length)?)
}
