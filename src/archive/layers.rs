//! The layer files of a docker archive. Each is scanned once, even if several images list it.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::blob_span::{BlobSpan, SpanReader, count};
use super::small_file::{missing_file, unusable};
use super::tarball::TarIndex;
use crate::control::{Control, CountedReader, PhaseCounter};
use crate::digest::Digest;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::layer::{
    BombGuard, Compression, decompress_with_guard, is_unsupported, needs_higher_window_limit,
};
use crate::progress::Phase;

/// Maximum bytes of one layer that are decompressed to count them.
const MAX_LAYER_BYTES: u64 = 1 << 40;

/// Layer files by offset.
#[derive(Debug, Default)]
pub(super) struct LayerFiles {
    scanned: Mutex<HashMap<u64, ScannedLayer>>,
    /// Shared by all: the cost of a hostile archive must not grow with the number of its layers.
    guard: BombGuard,
}

#[derive(Debug)]
struct ScannedLayer {
    blob: BlobSpan,
    diff_id: Digest,
}

impl LayerFiles {
    /// The layer in the file of this name. If compressed, it is decompressed to learn its size.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] if the file was requested with another digest before: it cannot have two.
    pub(super) fn layer(
        &self,
        tar: &Arc<TarIndex>,
        name: &str,
        diff_id: &Digest,
        control: &Control,
    ) -> Result<BlobSpan> {
        diff_id.algorithm()?;
        let span = tar.find(name).map_err(|error| missing_file(name, error))?;
        // Locked while a layer is read: other requests for the same layer wait.
        let mut scanned = self.scanned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scanned) = scanned.get(&span.start) {
            let other = &scanned.diff_id;
            if other != diff_id && other.algorithm_name() == diff_id.algorithm_name() {
                let reason = format!("has conflicting diff_ids {other} and {diff_id}");
                let what = format!("`{name}` of the archive");
                return Err(Error::new(ErrorKind::Mismatch, what).with_reason(reason));
            }
            return Ok(scanned.blob.clone());
        }
        let at = span.start;
        let blob = self.scan(tar, name, span, control)?;
        scanned.insert(at, ScannedLayer { blob: blob.clone(), diff_id: diff_id.clone() });
        Ok(blob)
    }

    fn scan(
        &self,
        tar: &Arc<TarIndex>,
        name: &str,
        span: Range<u64>,
        control: &Control,
    ) -> Result<BlobSpan> {
        let io_failure = |error: io::Error| {
            if is_unsupported(&error) {
                let reason = format!("layer `{name}` {error}");
                return Error::new(ErrorKind::Unsupported, "archive")
                    .with_detail(
                        needs_higher_window_limit(&error).then_some(ErrorDetail::ZstdWindow),
                    )
                    .with_reason(reason);
            }
            unusable(name, "unreadable").with_source(error)
        };
        let mut start = vec![0; Compression::DETECT_LEN];
        let length = span.end - span.start;
        let read = tar.read_at(&mut start, span.start).map_err(io_failure)?;
        start.truncate(read.min(usize::try_from(length).unwrap_or(usize::MAX)));
        let compression = Compression::detect(&start).map_err(|unsupported| {
            let reason = format!("layer `{name}` {unsupported}");
            Error::new(ErrorKind::Unsupported, "archive").with_reason(reason)
        })?;
        if compression == Compression::Plain {
            return Ok(BlobSpan::plain(span));
        }
        let counter = PhaseCounter::new(control, Phase::Scan, length);
        let reading = SpanReader::new(Arc::clone(tar), span.clone());
        let reading = CountedReader::new(reading, &counter);
        let decompressed =
            decompress_with_guard(&self.guard, compression, reading).map_err(io_failure)?;
        let size = count(decompressed.take(MAX_LAYER_BYTES + 1), control).map_err(io_failure)?;
        if size > MAX_LAYER_BYTES {
            let reason = format!("expands to more than {}", crate::size::size(MAX_LAYER_BYTES));
            return Err(unusable(name, &reason));
        }
        Ok(BlobSpan { span, compression, size })
    }
}
