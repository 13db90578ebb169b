//! A blob whose first part was looked at.

use std::io::{self, Read};

/// The first part of a blob and then the rest. The memory of the first part is freed once it was read.
pub(super) struct Started<R> {
    start: Vec<u8>,
    position: usize,
    rest: R,
}

impl<R: Read> Started<R> {
    /// Reads the first part, at most this many bytes.
    pub(super) fn new(mut blob: R, size: usize) -> io::Result<Self> {
        let mut start = Vec::with_capacity(size);
        blob.by_ref().take(size as u64).read_to_end(&mut start)?;
        Ok(Self { start, position: 0, rest: blob })
    }

    pub(super) fn start(&self) -> &[u8] {
        &self.start
    }
}

impl<R: Read> Read for Started<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut left = self.start.get(self.position..).unwrap_or_default();
        if left.is_empty() {
            (self.start, self.position) = (Vec::new(), 0);
            return self.rest.read(into);
        }
        let read = left.read(into)?;
        self.position += read;
        Ok(read)
    }
}
