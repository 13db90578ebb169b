//! Reads blocks and bytes of a tar with as few copies from the reader's buffer as possible.

use std::io::{self, BufRead};

/// Maximum bytes that [`BlockReader::read_exact`] returns in one slice, even across the end of the reader's buffer.
pub(super) const MAX_EXACT: usize = 64 << 10;

/// Skips up to that many bytes of a reader. Returns how many were skipped, 0 only at the end.
pub(crate) type Pass<R> = fn(&mut R, u64) -> io::Result<u64>;

#[derive(Debug)]
pub(super) struct BlockReader<R> {
    reader: R,
    pass: Pass<R>,
    /// Bytes that were consumed.
    consumed: u64,
    /// Bytes returned from the reader's buffer. They are consumed before the next read.
    borrowed: usize,
    /// Bytes that span the end of a buffer.
    carry: Vec<u8>,
}

impl<R: BufRead> BlockReader<R> {
    pub(super) fn new(reader: R) -> Self {
        Self::passing(reader, read_over)
    }

    /// Like [`BlockReader::new`], for a reader with a cheaper way to skip bytes than reading them.
    pub(super) fn passing(reader: R, pass: Pass<R>) -> Self {
        Self { reader, pass, consumed: 0, borrowed: 0, carry: Vec::new() }
    }

    /// Position of the next byte.
    pub(super) fn position(&self) -> u64 {
        self.consumed + self.borrowed as u64
    }

    pub(super) fn into_reader(mut self) -> R {
        self.release();
        self.reader
    }

    fn release(&mut self) {
        let borrowed = std::mem::take(&mut self.borrowed);
        self.reader.consume(borrowed);
        self.consumed += borrowed as u64;
    }

    /// The reader's buffer; empty only at the end.
    fn buffer(&mut self) -> io::Result<&[u8]> {
        self.release();
        loop {
            match self.reader.fill_buf() {
                // Not returned from the loop: the borrow checker would extend the borrow to all branches.
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.reader.fill_buf()
    }

    pub(super) fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.buffer()?.is_empty())
    }

    /// Reads exactly `length` bytes, at most [`MAX_EXACT`].
    pub(super) fn read_exact(&mut self, length: usize) -> io::Result<&[u8]> {
        if self.buffer()?.len() >= length {
            self.borrowed = length;
            return Ok(self.reader.fill_buf()?.get(..length).unwrap_or_default());
        }
        let mut carry = std::mem::take(&mut self.carry);
        carry.clear();
        while carry.len() < length {
            let buffer = self.buffer()?;
            if buffer.is_empty() {
                self.carry = carry;
                return Err(unexpected_end());
            }
            let part = buffer.get(..length - carry.len()).unwrap_or(buffer);
            carry.extend_from_slice(part);
            self.borrowed = part.len();
        }
        self.release();
        self.carry = carry;
        Ok(&self.carry)
    }

    /// The bytes of a [`BlockReader::read_exact`] that came to the end of the tar.
    pub(super) fn incomplete(&self) -> &[u8] {
        &self.carry
    }

    /// Reads up to `length` bytes: all of them if they are at most [`MAX_EXACT`], else what the buffer has.
    pub(super) fn chunk(&mut self, length: u64) -> io::Result<&[u8]> {
        match usize::try_from(length) {
            Ok(length) if length <= MAX_EXACT => self.read_exact(length),
            length => {
                let length = length.unwrap_or(usize::MAX);
                let available = self.buffer()?.len().min(length);
                if available == 0 {
                    return Err(unexpected_end());
                }
                self.borrowed = available;
                Ok(self.reader.fill_buf()?.get(..available).unwrap_or_default())
            }
        }
    }

    pub(super) fn skip(&mut self, length: u64) -> io::Result<()> {
        if self.skip_up_to(length)? == length { Ok(()) } else { Err(unexpected_end()) }
    }

    /// Skips `length` bytes, or up to the end of the tar.
    pub(super) fn skip_available(&mut self, length: u64) -> io::Result<()> {
        self.skip_up_to(length).map(drop)
    }

    /// Skips `length` bytes, or all that are left. Returns how many were skipped.
    fn skip_up_to(&mut self, length: u64) -> io::Result<u64> {
        self.release();
        let mut left = length;
        while left > 0 {
            let passed = (self.pass)(&mut self.reader, left)?;
            if passed == 0 {
                break;
            }
            self.consumed += passed;
            left -= passed;
        }
        Ok(length - left)
    }

    /// Reads to the very end.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        loop {
            self.borrowed = self.buffer()?.len();
            if self.borrowed == 0 {
                return Ok(());
            }
        }
    }
}

fn read_over<R: BufRead>(reader: &mut R, length: u64) -> io::Result<u64> {
    loop {
        match reader.fill_buf() {
            Ok(buffer) => {
                let passed = usize::try_from(length).unwrap_or(usize::MAX).min(buffer.len());
                reader.consume(passed);
                return Ok(passed as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn unexpected_end() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "unexpected end of tar")
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;
    use crate::tar_block::BLOCK_BYTES;

    #[test]
    fn input_is_independent_of_buffer_size() {
        let bytes: Vec<u8> = (0..=255).cycle().take(3 * MAX_EXACT).collect();
        for capacity in [1, 7, 512, 1000, 4 * MAX_EXACT] {
            let mut input = BlockReader::new(BufReader::with_capacity(capacity, &bytes[..]));
            assert_eq!(input.read_exact(BLOCK_BYTES).unwrap(), &bytes[..BLOCK_BYTES]);
            input.skip(100).unwrap();
            assert_eq!(input.read_exact(1000).unwrap(), &bytes[612..1612]);
            assert_eq!(input.position(), 1612);
            let (mut at, end) = (1612, bytes.len() - 5);
            while at < end {
                let chunk = input.chunk((end - at) as u64).unwrap();
                assert_eq!(chunk, &bytes[at..at + chunk.len()]);
                at += chunk.len();
            }
            assert!(input.read_exact(6).is_err() && input.skip(1).is_err());
            assert!(input.is_at_end().unwrap());
        }
    }
}
