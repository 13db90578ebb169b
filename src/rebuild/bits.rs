//! Bits as deflate packs them: the first one is the lowest of its byte.

use std::io::{Read, Write};
use std::ops::{Deref, DerefMut};

use super::fault::{not_rebuildable, other_plain_bytes, read_error, write_error};
use crate::error::Result;

const BUFFER_SIZE: usize = 64 << 10;

/// Where bits come from.
pub(super) trait BitInput {
    /// Returns the next bits, at most 16, the first one lowest.
    fn take(&mut self, count: u32) -> Result<u32>;
}

/// Reads bits of a stream.
pub(super) struct BitReader<R> {
    reader: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    bits: u64,
    count: u32,
    /// Bytes before the buffer.
    earlier: u64,
}

impl<R: Read> BitReader<R> {
    pub(super) fn new(reader: R) -> Self {
        let buffer = vec![0; BUFFER_SIZE].into_boxed_slice();
        Self { reader, buffer, start: 0, end: 0, bits: 0, count: 0, earlier: 0 }
    }

    /// Makes at least 56 bits available, or all that remain.
    #[inline]
    pub(super) fn refill(&mut self) -> Result<()> {
        let word = self.buffer.get(self.start..self.end).and_then(<[u8]>::first_chunk::<8>);
        let Some(word) = word else { return self.refill_slowly() };
        self.bits |= u64::from_le_bytes(*word) << self.count;
        let bytes = (63 - self.count) / 8;
        self.start += bytes as usize;
        self.count += bytes * 8;
        Ok(())
    }

    fn refill_slowly(&mut self) -> Result<()> {
        while self.count < 56 {
            if self.start == self.end {
                self.earlier += self.end as u64;
                self.start = 0;
                self.end = read_some(&mut self.reader, &mut self.buffer)?;
            }
            let byte = self.buffer.get(self.start..self.end).and_then(<[u8]>::first);
            let Some(&byte) = byte else { break };
            self.bits |= u64::from(byte) << self.count;
            self.start += 1;
            self.count += 8;
        }
        Ok(())
    }

    /// The available bits. Bits above them are undefined.
    #[inline]
    pub(super) fn peek(&self) -> u64 {
        self.bits
    }

    /// Goes on by `count` bits.
    #[inline]
    pub(super) fn skip(&mut self, count: u32) -> Result<()> {
        if count > self.count {
            return Err(not_rebuildable("gzip data ends early"));
        }
        self.bits >>= count;
        self.count -= count;
        Ok(())
    }

    /// Skips to the next byte. The skipped bits must be zero.
    pub(super) fn align(&mut self) -> Result<()> {
        if self.take(self.count % 8)? == 0 {
            return Ok(());
        }
        Err(not_rebuildable("padding bits are not zero"))
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        self.take(8).map(|bits| bits.to_le_bytes()[0])
    }

    /// Whole bytes that were taken.
    pub(super) fn position(&self) -> u64 {
        self.earlier + self.start as u64 - u64::from(self.count / 8)
    }

    pub(super) fn is_at_end(&mut self) -> Result<bool> {
        self.refill()?;
        Ok(self.count == 0)
    }
}

impl<R: Read> BitInput for BitReader<R> {
    fn take(&mut self, count: u32) -> Result<u32> {
        if self.count < count {
            self.refill()?;
        }
        let bits = self.bits & !(u64::MAX << count);
        self.skip(count)?;
        Ok(u32::try_from(bits).unwrap_or(0))
    }
}

/// Reads at least one byte unless the input has ended; retries if interrupted.
pub(super) fn read_some(reader: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            read => return read.map_err(read_error),
        }
    }
}

/// Bits that become bytes in memory.
#[derive(Default)]
pub(super) struct BitBuffer {
    bytes: Vec<u8>,
    bits: u64,
    count: u32,
}

impl BitBuffer {
    /// Adds at most 32 bits. Those above `count` must be zero.
    #[inline]
    pub(super) fn put(&mut self, bits: u32, count: u32) {
        self.bits |= u64::from(bits) << self.count;
        self.count += count;
        if self.count >= 32 {
            let [a, b, c, d, ..] = self.bits.to_le_bytes();
            self.bytes.extend_from_slice(&[a, b, c, d]);
            self.bits >>= 32;
            self.count -= 32;
        }
    }

    /// Fills the byte with zeros.
    pub(super) fn align(&mut self) {
        self.put(0, (8 - self.count % 8) % 8);
        while self.count > 0 {
            self.bytes.push(self.bits.to_le_bytes()[0]);
            self.bits >>= 8;
            self.count -= 8;
        }
    }

    /// Adds bytes after [`align`](Self::align).
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Begins a stored block, after the bits that announce it.
    pub(super) fn stored(&mut self, length: u16) {
        self.align();
        self.bytes(&length.to_le_bytes());
        self.bytes(&(!length).to_le_bytes());
    }

    /// The bytes, the last one filled up.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.align();
        self.bytes
    }
}

/// Writes bits to a stream that must not exceed a size.
pub(super) struct BitWriter<W> {
    writer: W,
    buffer: BitBuffer,
    left: u64,
}

impl<W> Deref for BitWriter<W> {
    type Target = BitBuffer;

    fn deref(&self) -> &BitBuffer {
        &self.buffer
    }
}

impl<W> DerefMut for BitWriter<W> {
    fn deref_mut(&mut self) -> &mut BitBuffer {
        &mut self.buffer
    }
}

impl<W: Write> BitWriter<W> {
    pub(super) fn new(writer: W, size: u64) -> Self {
        let bytes = Vec::with_capacity(BUFFER_SIZE);
        Self { writer, buffer: BitBuffer { bytes, bits: 0, count: 0 }, left: size }
    }

    /// Writes the buffer if it is at least half full.
    #[inline]
    pub(super) fn drain(&mut self) -> Result<()> {
        if self.buffer.bytes.len() < BUFFER_SIZE / 2 { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<()> {
        let bytes = &mut self.buffer.bytes;
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            return Err(other_plain_bytes("more bytes than the blob has"));
        };
        self.left = left;
        self.writer.write_all(bytes).map_err(write_error)?;
        bytes.clear();
        Ok(())
    }

    /// Writes the rest. The size must be as announced.
    pub(super) fn finish(mut self) -> Result<W> {
        self.flush()?;
        if self.left > 0 {
            return Err(other_plain_bytes("fewer bytes than the blob has"));
        }
        Ok(self.writer)
    }
}
