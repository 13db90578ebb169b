//! Writes the blocks of a blob, given the literals and matches in them.

use std::io::Write;

use super::bits::{BitInput, BitWriter};
use super::codes::{CodeLengths, END_OF_BLOCK, Encoding, HeaderBits, KeptBits};
use super::fault::invalid_record;
use super::parse::BlockKind;
use super::streams::StreamReader;
use crate::error::Result;

/// The block that is being written.
struct OpenBlock {
    kind: BlockKind,
    is_last: bool,
    /// Tokens or bytes that are still to come.
    left: u64,
}

/// Writes blocks as the streams of a record describe them.
pub(super) struct BlockWriter<'a, W> {
    pub(super) out: BitWriter<W>,
    blocks: StreamReader<'a>,
    headers: StreamReader<'a>,
    /// Whether literals and matches are only known up to a stored block.
    stops_at_stored_blocks: bool,
    block: Option<OpenBlock>,
    encoding: Encoding,
}

impl<'a, W: Write> BlockWriter<'a, W> {
    pub(super) fn new(
        out: BitWriter<W>,
        [blocks, headers]: [StreamReader<'a>; 2],
        stops_at_stored_blocks: bool,
    ) -> Result<Self> {
        let encoding = Encoding::new(&CodeLengths::fixed())?;
        Ok(Self { out, blocks, headers, stops_at_stored_blocks, block: None, encoding })
    }

    pub(super) fn begin_member(&mut self) {
        self.block = None;
    }

    /// Begins blocks until one has room; `false` after the last one.
    pub(super) fn begin_block(&mut self) -> Result<bool> {
        while self.block.as_ref().is_none_or(|block| block.left == 0) {
            if !self.next_block()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a stored block begins, which hides the matches that the encoder had found.
    pub(super) fn is_stopped(&self) -> bool {
        let is_stored = |block: &OpenBlock| block.kind == BlockKind::Stored && block.left > 0;
        self.stops_at_stored_blocks && self.block.as_ref().is_some_and(is_stored)
    }

    /// Copies a whole stored block from the start of the bytes; returns its size.
    pub(super) fn copy_stored(&mut self, bytes: &[u8]) -> Result<usize> {
        let left = self.block.as_mut().map_or(0, |block| std::mem::take(&mut block.left));
        let bytes = usize::try_from(left).ok().and_then(|left| bytes.get(..left));
        let bytes = bytes
            .ok_or_else(|| invalid_record("a stored block ends beyond the uncompressed bytes"))?;
        self.out.bytes(bytes);
        self.out.drain()?;
        Ok(bytes.len())
    }

    /// Writes bytes as literals; returns how many there were before a stored block that stops it.
    pub(super) fn literals(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(block) = self.block.as_mut().filter(|block| block.left > 0) else {
                if !self.next_block()? {
                    return Err(invalid_record("blocks end early"));
                }
                if self.is_stopped() {
                    break;
                }
                continue;
            };
            let count = usize::try_from(block.left).unwrap_or(usize::MAX).min(rest.len());
            block.left -= count as u64;
            let bytes = rest.split_off(..count).unwrap_or_default();
            if block.kind == BlockKind::Stored {
                self.out.bytes(bytes);
            } else {
                for &byte in bytes {
                    put_code(&mut self.out, self.encoding.literal(byte.into()))?;
                }
            }
            self.out.drain()?;
        }
        Ok(bytes.len() - rest.len())
    }

    /// Writes a match; `false` if a stored block begins there and stops it.
    pub(super) fn put_match(&mut self, length: u32, distance: u32) -> Result<bool> {
        if !self.begin_block()? {
            return Err(invalid_record("blocks end early"));
        }
        if self.is_stopped() {
            return Ok(false);
        }
        if let Some(block) = &mut self.block {
            if block.kind == BlockKind::Stored {
                return Err(invalid_record("a match in a stored block"));
            }
            block.left -= 1;
        }
        put_code(&mut self.out, self.encoding.length(length))?;
        put_code(&mut self.out, self.encoding.distance(distance))?;
        self.out.drain()?;
        Ok(true)
    }

    /// Ends the block and begins the next one; `false` if it was the last one.
    fn next_block(&mut self) -> Result<bool> {
        if let Some(block) = self.block.take() {
            if block.kind != BlockKind::Stored {
                put_code(&mut self.out, self.encoding.literal(END_OF_BLOCK))?;
            }
            if block.is_last {
                self.block = Some(OpenBlock { kind: BlockKind::Stored, ..block });
                return Ok(false);
            }
        }
        let number = self.blocks.unsigned()?;
        let (left, is_last) = (number >> 3, number >> 2 & 1 == 1);
        self.out.put(u32::from(is_last), 1);
        self.out.put((number & 3) as u32, 2);
        let kind = match number & 3 {
            0 => {
                let length = u16::try_from(left);
                let length = length.map_err(|_| invalid_record("a stored block is too long"))?;
                self.out.stored(length);
                BlockKind::Stored
            }
            1 => {
                self.encoding = Encoding::new(&CodeLengths::fixed())?;
                BlockKind::Fixed
            }
            2 => {
                self.put_header()?;
                BlockKind::Dynamic
            }
            _ => return Err(invalid_record("unknown type of block")),
        };
        self.out.drain()?;
        self.block = Some(OpenBlock { kind, is_last, left });
        Ok(true)
    }

    fn put_header(&mut self) -> Result<()> {
        let mut input = HeaderInput { bytes: self.headers.rest()?, bit: 0 };
        let mut kept = KeptBits::new(&mut input);
        let lengths = CodeLengths::read(&mut kept)?;
        let HeaderBits { bytes, count } = kept.kept;
        self.headers.bytes(bytes.len())?;
        self.encoding = Encoding::new(&lengths)?;
        let mut left = count;
        for byte in bytes {
            self.out.put(byte.into(), left.min(8));
            left = left.saturating_sub(8);
        }
        Ok(())
    }
}

#[inline]
fn put_code<W: Write>(out: &mut BitWriter<W>, (bits, count): (u32, u32)) -> Result<()> {
    if count == 0 {
        return Err(invalid_record("a symbol has no code"));
    }
    out.put(bits, count);
    Ok(())
}

/// The bits of a header in a record.
struct HeaderInput<'a> {
    bytes: &'a [u8],
    bit: usize,
}

impl BitInput for HeaderInput<'_> {
    fn take(&mut self, count: u32) -> Result<u32> {
        let mut bits = 0;
        for place in 0..count {
            let byte = self.bytes.get(self.bit / 8);
            let byte = byte.ok_or_else(|| invalid_record("a block header ends early"))?;
            bits |= u32::from(byte >> (self.bit % 8) & 1) << place;
            self.bit += 1;
        }
        Ok(bits)
    }
}
