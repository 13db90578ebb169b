//! Parses gzip into members, blocks and tokens. Unlike an inflater it keeps where blocks end and of which type they are, the bits
//! of their headers, and which bytes came from which match.

use std::collections::VecDeque;
use std::io::Read;

use super::bits::{BitBuffer, BitInput as _, BitReader};
use super::codes::{
    CodeLengths, Decoder, END_OF_BLOCK, HeaderBits, KeptBits, MAX_LENGTH, distance_of, length_of,
};
use super::fault::not_rebuildable;
use super::headers::{Counts, Header};
use super::plain::Plain;
use crate::error::Result;

/// Longest header of a member, names and comments included.
pub(super) const MAX_HEADER_BYTES: usize = 64 << 10;

/// Maximum tokens that a computed header follows from: as many as a chunk of a table family can have.
pub(super) const MAX_COUNTED_TOKENS: usize = 65_535;

/// How a block is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockKind {
    Stored,
    Fixed,
    Dynamic,
}

impl BlockKind {
    /// The two bits that announce it. RFC 1951, 3.2.3.
    pub(super) fn bits(self) -> u32 {
        match self {
            Self::Stored => 0,
            Self::Fixed => 1,
            Self::Dynamic => 2,
        }
    }
}

/// A block, complete once it has ended.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) kind: BlockKind,
    pub(super) is_last: bool,
    /// Tokens, or bytes of a stored block.
    pub(super) count: u64,
    /// Of a dynamic block.
    pub(super) header: HeaderBits,
    /// Of its first tokens, as far as its header follows from them.
    counts: Box<Counts>,
    /// Bytes of the tokens.
    bytes: u64,
}

impl Block {
    fn new() -> Self {
        let (kind, header) = (BlockKind::Fixed, HeaderBits::default());
        Self { kind, is_last: false, count: 0, header, counts: Box::new(Counts::new()), bytes: 0 }
    }

    /// Whether the header of a dynamic block follows from its tokens.
    pub(super) fn has_computed_header(&self) -> Result<bool> {
        if self.kind != BlockKind::Dynamic || self.counts.tokens() > MAX_COUNTED_TOKENS {
            return Ok(false);
        }
        let mut bits = BitBuffer::default();
        let header = Header::new(&self.counts.lengths())?;
        header.put(&mut bits);
        Ok(header.bits() == u64::from(self.header.count) && bits.into_bytes() == self.header.bytes)
    }
}

/// A match or a stored block, in the order of their positions. All other bytes are literals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Position in the member, its lower 32 bits: tens of thousands of marks are kept at a time, all of them near.
    pub(super) position: u32,
    pub(super) length: u16,
    /// 0 for a stored block.
    pub(super) distance: u16,
}

impl Mark {
    #[expect(clippy::cast_possible_truncation, reason = "the lower bits, and numbers of 16 bits")]
    pub(super) fn new(position: u64, length: u32, distance: u32) -> Self {
        Self { position: position as u32, length: length as u16, distance: distance as u16 }
    }
}

/// An event at which parsing stops.
#[derive(Debug)]
pub(super) enum Event {
    /// Begins with this header.
    Member(Vec<u8>),
    Block(Block),
    /// The requested number of plain bytes is available.
    Filled,
    /// Ends with this CRC and length.
    MemberEnd([u8; 8]),
    /// Ends with so many bytes that are zero.
    End(u64),
}

enum State {
    Header,
    BlockHeader,
    Tokens,
    Stored(u64),
    Trailer,
    BetweenMembers,
}

/// Parses gzip step by step.
pub(super) struct Parser<R> {
    bits: BitReader<R>,
    state: State,
    block: Block,
    /// The header of a block follows from the tokens that begin in so many bytes, if from any.
    header_reach: u64,
    literals: Decoder,
    distances: Decoder,
}

impl<R: Read> Parser<R> {
    pub(super) fn new(blob: R, header_reach: u64) -> Result<Self> {
        Ok(Self {
            bits: BitReader::new(blob),
            state: State::Header,
            block: Block::new(),
            header_reach,
            literals: Decoder::new(&[])?,
            distances: Decoder::new(&[])?,
        })
    }

    /// Goes on to the next event, or until `plain` has `until` bytes (and at most 258 more).
    pub(super) fn step(
        &mut self,
        plain: &mut Plain,
        until: usize,
        marks: &mut VecDeque<Mark>,
    ) -> Result<Event> {
        loop {
            match self.state {
                State::Header => {
                    self.state = State::BlockHeader;
                    return self.member_header().map(Event::Member);
                }
                State::BlockHeader => self.block_header(plain, marks)?,
                State::Tokens => {
                    if !self.tokens(plain, until, marks)? {
                        return Ok(Event::Filled);
                    }
                    return Ok(self.end_block());
                }
                State::Stored(0) => return Ok(self.end_block()),
                State::Stored(left) => {
                    let room = until.saturating_sub(plain.len());
                    if room == 0 {
                        return Ok(Event::Filled);
                    }
                    let count = left.min(room as u64);
                    for _ in 0..count {
                        plain.push(self.bits.byte()?);
                    }
                    self.state = State::Stored(left - count);
                }
                State::Trailer => {
                    self.bits.align()?;
                    let mut trailer = [0; 8];
                    for byte in &mut trailer {
                        *byte = self.bits.byte()?;
                    }
                    self.state = State::BetweenMembers;
                    return Ok(Event::MemberEnd(trailer));
                }
                State::BetweenMembers => {
                    if let Some(zeros) = self.zeros()? {
                        return Ok(Event::End(zeros));
                    }
                    self.state = State::Header;
                }
            }
        }
    }

    /// Bytes of the blob that were read.
    pub(super) fn position(&self) -> u64 {
        self.bits.position()
    }

    fn end_block(&mut self) -> Event {
        self.state = if self.block.is_last { State::Trailer } else { State::BlockHeader };
        Event::Block(std::mem::replace(&mut self.block, Block::new()))
    }

    /// Counts the zeros up to the end; `None` if another member follows.
    fn zeros(&mut self) -> Result<Option<u64>> {
        let mut zeros = 0;
        while !self.bits.is_at_end()? {
            match self.bits.peek() & 0xff {
                0 => zeros += 1,
                0x1f if zeros == 0 => return Ok(None),
                _ => return Err(not_rebuildable("bytes after the last member")),
            }
            self.bits.skip(8)?;
        }
        Ok(Some(zeros))
    }

    /// Reads the header of a member. RFC 1952, 2.3.
    fn member_header(&mut self) -> Result<Vec<u8>> {
        let mut header = Vec::new();
        self.copy(&mut header, 10)?;
        let Some(([0x1f, 0x8b, 8, flags], _)) = header.split_first_chunk::<4>() else {
            return Err(not_rebuildable("not gzip"));
        };
        let flags = *flags;
        if flags & 0xe0 != 0 {
            return Err(not_rebuildable("unknown flags in a gzip header"));
        }
        if flags & 4 != 0 {
            self.copy(&mut header, 2)?;
            let length = header.last_chunk::<2>().map_or(0, |length| u16::from_le_bytes(*length));
            self.copy(&mut header, usize::from(length))?;
        }
        // A file name and a comment, each up to a zero.
        for _ in 0..(flags >> 3 & 1) + (flags >> 4 & 1) {
            loop {
                self.copy(&mut header, 1)?;
                if header.last() == Some(&0) {
                    break;
                }
            }
        }
        if flags & 2 != 0 {
            self.copy(&mut header, 2)?;
        }
        Ok(header)
    }

    fn copy(&mut self, into: &mut Vec<u8>, count: usize) -> Result<()> {
        if into.len() + count > MAX_HEADER_BYTES {
            return Err(not_rebuildable("a gzip header is too long"));
        }
        for _ in 0..count {
            into.push(self.bits.byte()?);
        }
        Ok(())
    }

    fn block_header(&mut self, plain: &Plain, marks: &mut VecDeque<Mark>) -> Result<()> {
        self.block.is_last = self.bits.take(1)? == 1;
        let lengths = match self.bits.take(2)? {
            0 => {
                self.bits.align()?;
                let (length, complement) = (self.bits.take(16)?, self.bits.take(16)?);
                if length ^ complement != 0xffff {
                    return Err(not_rebuildable("invalid length of a stored block"));
                }
                self.block.kind = BlockKind::Stored;
                self.block.count = length.into();
                if length > 0 {
                    let position = plain.position(plain.len());
                    marks.push_back(Mark::new(position, length, 0));
                }
                self.state = State::Stored(length.into());
                return Ok(());
            }
            1 => {
                self.block.kind = BlockKind::Fixed;
                CodeLengths::fixed()
            }
            2 => {
                self.block.kind = BlockKind::Dynamic;
                let mut input = KeptBits::new(&mut self.bits);
                let lengths = CodeLengths::read(&mut input)?;
                self.block.header = input.kept;
                lengths
            }
            _ => return Err(not_rebuildable("invalid type of block")),
        };
        self.literals = Decoder::new(&lengths.literals)?;
        self.distances = Decoder::new(&lengths.distances)?;
        self.state = State::Tokens;
        Ok(())
    }

    /// Reads tokens; `true` at the end of the block.
    fn tokens(
        &mut self,
        plain: &mut Plain,
        until: usize,
        marks: &mut VecDeque<Mark>,
    ) -> Result<bool> {
        let invalid = || not_rebuildable("undefined symbol");
        while plain.len() < until {
            // 48 bits are the longest token.
            self.bits.refill()?;
            let (symbol, count) = self.literals.decode(self.bits.peek())?;
            self.bits.skip(count)?;
            if symbol == END_OF_BLOCK {
                return Ok(true);
            }
            self.block.count += 1;
            let is_counted = self.block.bytes < self.header_reach;
            if let Ok(byte) = u8::try_from(symbol) {
                if is_counted {
                    self.block.counts.add_literal(byte);
                    self.block.bytes += 1;
                }
                plain.push(byte);
                continue;
            }
            let (shortest, extra) = length_of(symbol).ok_or_else(invalid)?;
            let length = shortest + self.extra(extra)?;
            if length == MAX_LENGTH && extra > 0 {
                return Err(not_rebuildable("length 258 as another symbol with extra bits"));
            }
            let (symbol, count) = self.distances.decode(self.bits.peek())?;
            self.bits.skip(count)?;
            let (nearest, extra) = distance_of(symbol).ok_or_else(invalid)?;
            let distance = nearest + self.extra(extra)?;
            if is_counted {
                self.block.counts.add_match(length, distance);
                self.block.bytes += u64::from(length);
            }
            let position = plain.position(plain.len());
            if !plain.repeat(length, distance) {
                return Err(not_rebuildable("match before the first byte"));
            }
            marks.push_back(Mark::new(position, length, distance));
        }
        Ok(false)
    }

    #[inline]
    fn extra(&mut self, count: u32) -> Result<u32> {
        let bits = (self.bits.peek() & 0xffff) as u32 & !(u32::MAX << count);
        self.bits.skip(count)?;
        Ok(bits)
    }
}
