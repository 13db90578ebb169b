//! Reads a file in order, and skips bytes without reading them: of a tar only the headers are needed.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};

use rustix::io::{pread, retry_on_intr};

use crate::control::Control;

/// Bytes read at a time: what is between two headers is skipped.
pub(crate) const WINDOW_BYTES: usize = 4 << 10;

/// A sequential reader with its own position in a shared file.
pub(crate) struct FileCursor<'a> {
    file: &'a File,
    next: u64,
    length: u64,
    control: &'a Control,
    what: &'static str,
}

impl<'a> FileCursor<'a> {
    /// Reads a file of `length` bytes from its first byte on. `what` names the work in the error of a cancellation.
    pub(crate) fn buffered(
        file: &'a File,
        length: u64,
        control: &'a Control,
        what: &'static str,
    ) -> BufReader<Self> {
        let cursor = Self { file, next: 0, length, control, what };
        BufReader::with_capacity(WINDOW_BYTES, cursor)
    }
}

impl Read for FileCursor<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.control.check(self.what).map_err(io::Error::other)?;
        let read = retry_on_intr(|| pread(self.file, &mut *into, self.next))?;
        self.next += read as u64;
        Ok(read)
    }
}

/// Seeks past bytes without reading them. Returns how many there were.
#[expect(clippy::unnecessary_wraps, reason = "only readers of bytes can be compared")]
pub(crate) fn skip_bytes(reader: &mut BufReader<FileCursor<'_>>, length: u64) -> io::Result<u64> {
    let buffered = reader.buffer().len();
    let left = reader.get_ref().length.saturating_sub(reader.get_ref().next);
    let skipped = length.min(buffered as u64 + left);
    match usize::try_from(skipped) {
        Ok(few) if few <= buffered => reader.consume(few),
        _ => {
            reader.consume(buffered);
            reader.get_mut().next += skipped - buffered as u64;
        }
    }
    Ok(skipped)
}
