//! Writes the blocks of a blob, given the literals and matches in them.

use std::io::Write;

use super::bits::{BitInput, BitWriter};
use super::codes::{CodeLengths, END_OF_BLOCK, Encoding, HeaderBits, KeptBits};
use super::encoder::Encoder;
use super::fault::invalid_record;
use super::headers::{Counts, Header};
use super::parse::{BlockKind, MAX_COUNTED_TOKENS};
use super::streams::StreamReader;
use crate::error::{Error, Result};

/// The type of a dynamic block in a record whose header follows from its tokens.
pub(super) const COMPUTED_HEADER: u32 = 3;

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
    header_reach: u64,
    /// The first tokens of a block whose header follows from them.
    waiting: Option<Waiting>,
}

/// Tokens that cannot be written yet.
struct Waiting {
    /// A literal, or length * 65,536 + distance.
    tokens: Vec<u32>,
    counts: Counts,
    bytes: u64,
}

impl<'a, W: Write> BlockWriter<'a, W> {
    pub(super) fn new(
        out: BitWriter<W>,
        [blocks, headers]: [StreamReader<'a>; 2],
        encoder: Encoder,
        stops_at_stored_blocks: bool,
    ) -> Result<Self> {
        let encoding = Encoding::new(&CodeLengths::fixed())?;
        Ok(Self {
            out,
            blocks,
            headers,
            stops_at_stored_blocks,
            block: None,
            encoding,
            header_reach: encoder.header_reach(),
            waiting: None,
        })
    }

    pub(super) fn begin_member(&mut self) {
        (self.block, self.waiting) = (None, None);
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
            let room = self.waiting.as_ref().map(|waiting| self.header_reach - waiting.bytes);
            let most = room.map_or(block.left, |room| room.min(block.left));
            let count = usize::try_from(most).unwrap_or(usize::MAX).min(rest.len());
            block.left -= count as u64;
            let bytes = rest.split_off(..count).unwrap_or_default();
            if let Some(waiting) = &mut self.waiting {
                waiting.add_literals(bytes)?;
                self.put_waiting(false)?;
            } else if block.kind == BlockKind::Stored {
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
        if let Some(waiting) = &mut self.waiting {
            waiting.add_match(length, distance)?;
            self.put_waiting(false)?;
            return Ok(true);
        }
        self.put_match_codes(length, distance)?;
        self.out.drain()?;
        Ok(true)
    }

    fn put_match_codes(&mut self, length: u32, distance: u32) -> Result<()> {
        put_code(&mut self.out, self.encoding.length(length))?;
        put_code(&mut self.out, self.encoding.distance(distance))
    }

    /// Writes the tokens that wait, after their header, if that is known now: at the end of the block or of what it follows
    /// from.
    fn put_waiting(&mut self, is_end: bool) -> Result<()> {
        let is_complete = self.block.as_ref().is_some_and(|block| block.left == 0);
        let is_due =
            |waiting: &mut Waiting| is_end || is_complete || waiting.bytes >= self.header_reach;
        let Some(waiting) = self.waiting.take_if(is_due) else { return Ok(()) };
        let lengths = waiting.counts.lengths();
        Header::new(&lengths)?.put(&mut self.out);
        self.encoding = Encoding::new(&lengths)?;
        for token in waiting.tokens {
            match (token >> 16, token & 0xffff) {
                (0, literal) => put_code(&mut self.out, self.encoding.literal(literal as usize))?,
                (length, distance) => self.put_match_codes(length, distance)?,
            }
            self.out.drain()?;
        }
        Ok(())
    }

    /// Ends the block and begins the next one; `false` if it was the last one.
    fn next_block(&mut self) -> Result<bool> {
        self.put_waiting(true)?;
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
        let kind = (number & 3) as u32;
        let written = if kind == COMPUTED_HEADER { BlockKind::Dynamic.bits() } else { kind };
        self.out.put(written, 2);
        let kind = match kind {
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
            _ => {
                self.waiting = Some(Waiting::new());
                BlockKind::Dynamic
            }
        };
        self.out.drain()?;
        self.block = Some(OpenBlock { kind, is_last, left });
        Ok(true)
    }

    fn put_header(&mut self) -> Result<()> {
        let mut input = HeaderInput { bytes: self.headers.rest()?, bit: 0 };
        let mut kept = KeptBits::new(&mut input);
        // Of a blob that is parsed, they say that it cannot be rebuilt.
        let invalid = |error: Error| invalid_record(error.reason());
        let lengths = CodeLengths::read(&mut kept).map_err(invalid)?;
        let HeaderBits { bytes, count } = kept.kept;
        self.headers.bytes(bytes.len())?;
        self.encoding = Encoding::new(&lengths).map_err(invalid)?;
        let mut left = count;
        for byte in bytes {
            self.out.put(byte.into(), left.min(8));
            left = left.saturating_sub(8);
        }
        Ok(())
    }
}

impl Waiting {
    fn new() -> Self {
        Self { tokens: Vec::new(), counts: Counts::new(), bytes: 0 }
    }

    fn add_literals(&mut self, bytes: &[u8]) -> Result<()> {
        for byte in bytes {
            self.tokens.push(u32::from(*byte));
            self.counts.add_literal(*byte);
        }
        self.bytes += bytes.len() as u64;
        self.check()
    }

    fn add_match(&mut self, length: u32, distance: u32) -> Result<()> {
        self.tokens.push(length << 16 | distance);
        self.counts.add_match(length, distance);
        self.bytes += u64::from(length);
        self.check()
    }

    fn check(&self) -> Result<()> {
        if self.tokens.len() > MAX_COUNTED_TOKENS {
            return Err(invalid_record("a computed header of a block that is too long"));
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
