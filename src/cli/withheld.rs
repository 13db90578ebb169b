//! Output that cannot be taken back, written as late as possible.

use std::io::{self, Write};

use crate::error::Error;
use crate::transfer::can_read_elsewhere;

/// Bytes that are withheld at most.
const MAX_WITHHELD_BYTES: usize = 1 << 20;

/// A stream without its end, which [`Withheld::finish`] writes: the bytes are verified only after all of them were read.
pub(super) struct Withheld<W> {
    out: W,
    pending: Vec<u8>,
    is_written: bool,
    is_closed: bool,
}

impl<W: Write> Withheld<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, pending: Vec::new(), is_written: false, is_closed: false }
    }

    /// Writes what was withheld.
    ///
    /// # Errors
    /// Those of the stream, but not that its reader is gone.
    pub(super) fn finish(mut self) -> io::Result<()> {
        match self.write_pending() {
            Err(_) if self.is_closed => Ok(()),
            written => written,
        }
    }

    /// Whether a write failed because the reader of the stream is gone (`… | head`).
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whether wrong bytes were read, but not written, and another host may have the right ones.
    pub(super) fn can_start_again(&self, error: &Error) -> bool {
        !self.is_written && can_read_elsewhere(error)
    }

    fn write_pending(&mut self) -> io::Result<()> {
        self.is_written |= !self.pending.is_empty();
        let written = self.out.write_all(&self.pending).and_then(|()| self.out.flush());
        self.pending.clear();
        written.inspect_err(|error| self.is_closed = error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl<W: Write> Write for Withheld<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.pending.len() + bytes.len() > MAX_WITHHELD_BYTES {
            self.write_pending()?;
        }
        self.pending.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_of_stream_is_withheld_until_finish() {
        let mut out = Vec::new();
        let mut withheld = Withheld::new(&mut out);
        let chunk = vec![1; MAX_WITHHELD_BYTES / 2];
        for _ in 0..2 {
            withheld.write_all(&chunk).unwrap();
        }
        assert!(!withheld.is_written && withheld.out.is_empty());
        withheld.write_all(b"x").unwrap();
        assert_eq!((withheld.out.len(), withheld.pending.len()), (2 * chunk.len(), 1));
        withheld.finish().unwrap();
        assert_eq!(out.len(), 2 * chunk.len() + 1);
    }
}
