//! Writes a gzip blob from its plain bytes and a record.

use std::io::{Read, Write};

use super::bits::{BitInput, BitWriter, read_some};
use super::codes::{CodeLengths, END_OF_BLOCK, Encoding, HeaderBits, KeptBits};
use super::corrections::CorrectionReader;
use super::fault::{invalid_record, other_plain_bytes};
use super::model::{Match, Span};
use super::parse::{BlockKind, MAX_HEADER_BYTES};
use super::plain::Plain;
use super::predictor::Predictor;
use super::record::{Record, Streams};
use super::streams::StreamReader;
use crate::error::Result;

/// The block that is being written.
struct OpenBlock {
    kind: BlockKind,
    is_last: bool,
    /// Tokens or bytes that are still to come.
    left: u64,
}

/// The uncompressed bytes of a member.
struct Input<R> {
    tar: R,
    /// Bytes of the member that are not read.
    unread: u64,
}

impl<R: Read> Input<R> {
    /// Reads until the plain bytes of the member have this length, or are complete.
    fn add(&mut self, plain: &mut Plain, until: usize) -> Result<()> {
        while self.unread > 0 && plain.len() < until {
            let length = plain.len();
            let most = usize::try_from(self.unread).unwrap_or(usize::MAX).min(until - length);
            let count = read_some(&mut self.tar, plain.grow(most))?;
            plain.truncate(length + count);
            if count == 0 {
                return Err(other_plain_bytes("fewer uncompressed bytes than were compressed"));
            }
            self.unread -= count as u64;
        }
        plain.is_complete = self.unread == 0;
        Ok(())
    }
}

/// Writes the blob of a record.
pub(super) struct Player<'a, R, W> {
    record: &'a Record,
    input: Input<R>,
    /// Uncompressed bytes of the members that have not begun.
    tar_left: u64,
    out: BitWriter<W>,
    predictor: Predictor,
    streams: Streams<StreamReader<'a>>,
    corrections: CorrectionReader,
    /// Chunks before the next bare one, if that is read.
    chunks: Option<u64>,
    block: Option<OpenBlock>,
    encoding: Encoding,
}

impl<'a, R: Read, W: Write> Player<'a, R, W> {
    pub(super) fn new(tar: R, record: &'a Record, out: W) -> Result<Self> {
        let predictor = Predictor::new(record.encoder());
        Ok(Self {
            record,
            input: Input { tar, unread: 0 },
            tar_left: record.tar_size(),
            out: BitWriter::new(out, record.blob_size()),
            predictor: predictor.ok_or_else(|| invalid_record("unknown encoder"))?,
            streams: record.streams(),
            corrections: CorrectionReader::default(),
            chunks: None,
            block: None,
            encoding: Encoding::new(&CodeLengths::fixed())?,
        })
    }

    pub(super) fn run(mut self) -> Result<W> {
        while !self.streams.members.is_at_end() {
            self.member()?;
        }
        if self.tar_left > 0 || read_some(&mut self.input.tar, &mut [0])? > 0 {
            return Err(other_plain_bytes("more uncompressed bytes than were compressed"));
        }
        for _ in 0..self.record.head.zeros {
            self.out.bytes(&[0]);
            self.out.drain()?;
        }
        self.out.finish()
    }

    fn member(&mut self) -> Result<()> {
        let members = &mut self.streams.members;
        let size = usize::try_from(members.unsigned()?).unwrap_or(usize::MAX);
        if size > MAX_HEADER_BYTES {
            return Err(invalid_record("a gzip header is too long"));
        }
        self.out.bytes(members.bytes(size)?);
        self.input.unread = members.unsigned()?;
        let left = self.tar_left.checked_sub(self.input.unread);
        self.tar_left =
            left.ok_or_else(|| invalid_record("members are longer than the stated total"))?;
        let stated = match members.unsigned()? {
            0 => None,
            _ => members.bytes(8)?.first_chunk::<8>().copied(),
        };
        self.block = None;
        self.tokens()?;
        self.out.align();
        self.out.bytes(&stated.unwrap_or_else(|| self.predictor.trailer()));
        self.out.drain()
    }

    /// Writes the blocks of the member.
    fn tokens(&mut self) -> Result<()> {
        let mut from = self.predictor.begin_member();
        loop {
            let input = &mut self.input;
            from = self.predictor.advance(from, |plain, until| input.add(plain, until))?;
            while self.block.as_ref().is_none_or(|block| block.left == 0) {
                if !self.next_block()? {
                    if from == self.predictor.plain.len() {
                        return Ok(());
                    }
                    return Err(invalid_record("blocks end early"));
                }
            }
            if from == self.predictor.plain.len() {
                return Err(invalid_record("blocks continue after the end"));
            }
            from = if self.is_stopped() { self.copy_stored(from)? } else { self.span(from)? };
        }
    }

    /// Writes up to the end of the next match, or of the span without one; returns where it goes on.
    fn span(&mut self, from: usize) -> Result<usize> {
        let Span { limit, is_new_chunk } = self.predictor.span(from);
        if is_new_chunk && self.is_bare()? {
            self.predictor.run_freely();
            return self.literals(from, limit);
        }
        let predicted = self.predictor.find(limit);
        let actual = self.corrections.correct(predicted, (from, limit), &mut self.streams)?;
        let to = actual.map_or(limit, |actual| actual.start);
        let reached = self.literals(from, to)?;
        if reached < to {
            self.predictor.skip(reached);
            return Ok(reached);
        }
        let Some(actual) = actual else {
            if predicted.is_some() {
                self.predictor.skip(limit);
            }
            return Ok(limit);
        };
        if actual.end() > self.predictor.plain.len() {
            return Err(invalid_record("a match ends beyond the uncompressed bytes"));
        }
        if !self.put_match(actual)? {
            self.predictor.skip(reached);
            return Ok(reached);
        }
        self.predictor.accept(actual);
        self.out.drain()?;
        Ok(actual.end())
    }

    /// Whether the encoder wrote no match in the chunk that begins.
    fn is_bare(&mut self) -> Result<bool> {
        let left = match self.chunks {
            Some(left) => left,
            None if self.streams.bare.is_at_end() => return Ok(false),
            None => self.streams.bare.unsigned()?,
        };
        self.chunks = left.checked_sub(1);
        Ok(left == 0)
    }

    /// Whether a stored block begins, which hides the matches that the encoder had found.
    fn is_stopped(&self) -> bool {
        let is_stored = |block: &OpenBlock| block.kind == BlockKind::Stored && block.left > 0;
        self.predictor.stops_at_stored_blocks() && self.block.as_ref().is_some_and(is_stored)
    }

    fn copy_stored(&mut self, from: usize) -> Result<usize> {
        let left = self.block.as_mut().map_or(0, |block| std::mem::take(&mut block.left));
        let end = usize::try_from(left).ok().and_then(|left| from.checked_add(left));
        let bytes = end.and_then(|end| self.predictor.plain.bytes().get(from..end));
        let bytes = bytes
            .ok_or_else(|| invalid_record("a stored block ends beyond the uncompressed bytes"))?;
        self.out.bytes(bytes);
        let end = from + bytes.len();
        self.out.drain()?;
        self.predictor.skip(end);
        Ok(end)
    }

    /// Writes bytes as literals; returns where a stored block stopped it, or `to`.
    fn literals(&mut self, mut from: usize, to: usize) -> Result<usize> {
        while from < to {
            let Some(block) = self.block.as_mut().filter(|block| block.left > 0) else {
                if !self.next_block()? {
                    return Err(invalid_record("blocks end early"));
                }
                if self.is_stopped() {
                    return Ok(from);
                }
                continue;
            };
            let count = usize::try_from(block.left).unwrap_or(usize::MAX).min(to - from);
            block.left -= count as u64;
            let bytes = self.predictor.plain.bytes().get(from..from + count).unwrap_or_default();
            if block.kind == BlockKind::Stored {
                self.out.bytes(bytes);
            } else {
                for &byte in bytes {
                    put_code(&mut self.out, self.encoding.literal(byte.into()))?;
                }
            }
            self.out.drain()?;
            from += count;
        }
        Ok(from)
    }

    /// Writes a match; `false` if a stored block begins there.
    fn put_match(&mut self, found: Match) -> Result<bool> {
        while self.block.as_ref().is_none_or(|block| block.left == 0) {
            if !self.next_block()? {
                return Err(invalid_record("blocks end early"));
            }
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
        put_code(&mut self.out, self.encoding.length(found.length))?;
        put_code(&mut self.out, self.encoding.distance(found.distance))?;
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
        let number = self.streams.blocks.unsigned()?;
        let (left, is_last) = (number >> 3, number >> 2 & 1 == 1);
        self.out.put(u32::from(is_last), 1);
        self.out.put((number & 3) as u32, 2);
        let kind = match number & 3 {
            0 => {
                let length = u16::try_from(left);
                let length = length.map_err(|_| invalid_record("a stored block is too long"))?;
                self.out.align();
                self.out.bytes(&length.to_le_bytes());
                self.out.bytes(&(!length).to_le_bytes());
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
        let mut input = HeaderInput { bytes: self.streams.headers.rest()?, bit: 0 };
        let mut kept = KeptBits::new(&mut input);
        let lengths = CodeLengths::read(&mut kept)?;
        let HeaderBits { bytes, count } = kept.kept;
        self.streams.headers.bytes(bytes.len())?;
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
