//! A blob inside an archive: the range of its bytes, and their compression there.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use super::tarball::TarIndex;
use crate::control::Control;
use crate::layer::{Compression, decompress};
use crate::progress::Phase;

/// Bytes decompressed at a time.
const BUFFER_SIZE: usize = 64 << 10;

/// A blob inside the archive.
#[derive(Clone, Debug)]
pub(super) struct BlobSpan {
    pub(super) span: Range<u64>,
    pub(super) compression: Compression,
    /// Bytes of the blob, after decompression.
    pub(super) size: u64,
}

impl BlobSpan {
    pub(super) fn plain(span: Range<u64>) -> Self {
        Self { size: span.end - span.start, compression: Compression::Plain, span }
    }

    /// Reads at most `length` bytes from `start` on.
    pub(super) fn read(
        &self,
        tar: &Arc<TarIndex>,
        from: u64,
        most: u64,
        control: &Control,
    ) -> io::Result<Box<dyn Read + Send>> {
        if self.compression == Compression::Plain {
            let start = self.span.start.saturating_add(from).min(self.span.end);
            return Ok(Box::new(SpanReader::new(Arc::clone(tar), start..self.span.end).take(most)));
        }
        let mut inside =
            decompress(self.compression, SpanReader::new(Arc::clone(tar), self.span.clone()))?;
        count(inside.by_ref().take(from), control)?;
        Ok(Box::new(inside.take(most)))
    }
}

/// Reads to the end to count the bytes, unless cancelled.
pub(super) fn count(mut bytes: impl Read, control: &Control) -> io::Result<u64> {
    let mut buf = vec![0; BUFFER_SIZE];
    let mut count = 0;
    loop {
        control.check(Phase::Scan.what()).map_err(io::Error::other)?;
        match bytes.read(&mut buf)? {
            0 => return Ok(count),
            read => count += read as u64,
        }
    }
}

/// Reads consecutive bytes of an archive.
pub(super) struct SpanReader {
    tar: Arc<TarIndex>,
    left: Range<u64>,
}

impl SpanReader {
    pub(super) fn new(tar: Arc<TarIndex>, span: Range<u64>) -> Self {
        Self { tar, left: span }
    }
}

impl Read for SpanReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.left.end - self.left.start).unwrap_or(usize::MAX);
        let most = left.min(into.len());
        let read = self.tar.read_at(into.get_mut(..most).unwrap_or_default(), self.left.start)?;
        self.left.start += read as u64;
        Ok(read)
    }
}
