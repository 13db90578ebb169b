//! The files of a docker archive that are layers. Each is looked into once, however many images list it.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::blob_span::{BlobSpan, SpanReader, count};
use super::small_file::{missing_file, unusable};
use super::tarball::TarIndex;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::layer::{BombGuard, Compression, decompress_with_guard, is_unsupported};

/// Bytes of one layer that are decompressed to learn how many there are.
const LIMIT: u64 = 1 << 40;

/// Files that are layers, by where they begin.
#[derive(Debug, Default)]
pub(super) struct LayerFiles {
    known: Mutex<HashMap<u64, ScannedLayer>>,
    /// Of all of them: what a hostile archive costs must not grow with the number of its layers.
    inflation: BombGuard,
}

#[derive(Debug)]
struct ScannedLayer {
    piece: BlobSpan,
    diff_id: Digest,
}

impl LayerFiles {
    /// The layer in the file of this name, which is decompressed to learn its size where it is compressed there.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] where the file was another layer before: it cannot have two digests.
    pub(super) fn piece(
        &self,
        tar: &Arc<TarIndex>,
        name: &str,
        diff_id: &Digest,
        stop: &CancellationToken,
    ) -> Result<BlobSpan> {
        diff_id.algorithm()?;
        let span = tar.find(name).map_err(|lack| missing_file(name, lack))?;
        // Locked while a layer is read: other requests for the same layer wait.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&span.start) {
            let other = &known.diff_id;
            if other != diff_id && other.algorithm_name() == diff_id.algorithm_name() {
                let why = format!("has conflicting diff_ids {other} and {diff_id}");
                let what = format!("`{name}` of the archive");
                return Err(Error::new(ErrorKind::Mismatch, what).with_reason(why));
            }
            return Ok(known.piece.clone());
        }
        let at = span.start;
        let piece = self.scan(tar, name, span, stop)?;
        known.insert(at, ScannedLayer { piece: piece.clone(), diff_id: diff_id.clone() });
        Ok(piece)
    }

    fn scan(
        &self,
        tar: &Arc<TarIndex>,
        name: &str,
        span: Range<u64>,
        stop: &CancellationToken,
    ) -> Result<BlobSpan> {
        let fail = |error: io::Error| {
            if is_unsupported(&error) {
                let why = format!("layer `{name}` {error}");
                return Error::new(ErrorKind::Unsupported, "archive").with_reason(why);
            }
            unusable(name, "unreadable").with_source(error)
        };
        let mut start = vec![0; Compression::DETECT_LEN];
        let length = span.end - span.start;
        let read = tar.read_at(&mut start, span.start).map_err(fail)?;
        start.truncate(read.min(usize::try_from(length).unwrap_or(usize::MAX)));
        let compression = Compression::detect(&start).map_err(|unread| {
            let why = format!("layer `{name}` {unread}");
            Error::new(ErrorKind::Unsupported, "archive").with_reason(why)
        })?;
        if compression == Compression::Plain {
            return Ok(BlobSpan::plain(span));
        }
        let reading = SpanReader::new(Arc::clone(tar), span.clone());
        let inside = decompress_with_guard(&self.inflation, compression, reading).map_err(fail)?;
        let size = count(inside.take(LIMIT + 1), stop).map_err(fail)?;
        if size > LIMIT {
            let why = format!("expands to more than {LIMIT} bytes");
            return Err(unusable(name, &why));
        }
        Ok(BlobSpan { span, compression, size })
    }
}
