//! Makes a record of a gzip blob.

use std::collections::VecDeque;
use std::io::Read;

use flate2::Crc;

use super::corrections::CorrectionWriter;
use super::encoder::Encoder;
use super::fault::not_rebuildable;
use super::model::{Match, Model, Span};
use super::parse::{Block, Event, Mark, Parser};
use super::plain::{HISTORY, Plain, REACH, READ_AHEAD};
use super::record::{Record, Streams};
use super::streams::StreamWriter;
use crate::error::Result;

/// Parses a blob and lets a model predict its matches.
pub(super) struct Maker<R> {
    parser: Parser<R>,
    encoder: Encoder,
    model: Model,
    plain: Plain,
    marks: VecDeque<Mark>,
    streams: Streams<StreamWriter>,
    corrections: CorrectionWriter,
    /// Of the member.
    crc: Crc,
    trailer: [u8; 8],
    tar_size: u64,
    /// Chunks since the last bare one.
    chunks: u64,
}

impl<R: Read> Maker<R> {
    pub(super) fn new(gzip: R, encoder: Encoder) -> Result<Self> {
        let model =
            Model::new(encoder).ok_or_else(|| not_rebuildable("no model of this encoder"))?;
        Ok(Self {
            parser: Parser::new(gzip)?,
            encoder,
            model,
            plain: Plain::new(),
            marks: VecDeque::new(),
            streams: Streams::default(),
            corrections: CorrectionWriter::default(),
            crc: Crc::new(),
            trailer: [0; 8],
            tar_size: 0,
            chunks: 0,
        })
    }

    /// Reads the whole blob.
    pub(super) fn run(mut self) -> Result<Record> {
        let zeros = self.members(u64::MAX)?;
        let numbers = [self.tar_size, self.parser.position(), self.corrections.count, zeros];
        Record::new(self.encoder, numbers, self.streams)
    }

    /// Makes at most so many predictions, fewer if the blob ends early; returns how many there were and how many were
    /// wrong.
    pub(super) fn try_predictions(mut self, most: u64) -> (u64, u64) {
        // The end of what is there is no fault of the model.
        _ = self.members(most).is_ok();
        (self.corrections.predictions, self.corrections.count)
    }

    fn members(&mut self, most: u64) -> Result<u64> {
        loop {
            match self.parser.step(&mut self.plain, 0, &mut self.marks)? {
                Event::Member(header) => self.member(&header, most)?,
                Event::End(zeros) => return Ok(zeros),
                _ => return Err(not_rebuildable("blocks outside a member")),
            }
            if self.corrections.predictions >= most {
                return Ok(0);
            }
        }
    }

    fn member(&mut self, header: &[u8], most: u64) -> Result<()> {
        if self.plain.restart() {
            self.model.restart();
        }
        self.crc.reset();
        let mut from = HISTORY;
        loop {
            let dropped = self.plain.drop_before(from);
            if dropped > 0 {
                self.model.drop_before(dropped);
                from -= dropped;
            }
            self.fill(from)?;
            if from == self.plain.len() {
                break;
            }
            if self.corrections.predictions >= most {
                return Ok(());
            }
            from = self.span(from)?;
        }
        let size = self.plain.position(from);
        self.tar_size += size;
        let members = &mut self.streams.members;
        members.unsigned(header.len() as u64)?;
        members.bytes(header)?;
        members.unsigned(size)?;
        if self.trailer == trailer(&self.crc) {
            return members.unsigned(0);
        }
        members.unsigned(1)?;
        members.bytes(&self.trailer)
    }

    /// Parses until everything that models look at from this index on is there.
    fn fill(&mut self, from: usize) -> Result<()> {
        let until = from + REACH + READ_AHEAD;
        if self.plain.is_complete || self.plain.len() >= from + REACH {
            return Ok(());
        }
        let old = self.plain.len();
        while !self.plain.is_complete {
            match self.parser.step(&mut self.plain, until, &mut self.marks)? {
                Event::Block(block) => self.put_block(&block)?,
                Event::Filled => break,
                Event::MemberEnd(trailer) => {
                    self.trailer = trailer;
                    self.plain.is_complete = true;
                }
                Event::Member(_) | Event::End(_) => {
                    return Err(not_rebuildable("a member without an end"));
                }
            }
        }
        self.crc.update(self.plain.bytes().get(old..).unwrap_or_default());
        Ok(())
    }

    fn put_block(&mut self, block: &Block) -> Result<()> {
        let last = if block.is_last { 4 } else { 0 };
        self.streams.blocks.unsigned(block.count << 3 | last | block.kind as u64)?;
        self.streams.headers.bytes(&block.header.bytes)
    }

    /// Compares one prediction with what there is; returns where the next one begins.
    fn span(&mut self, from: usize) -> Result<usize> {
        while let Some(stored) = self.marks.front().copied().filter(|mark| mark.distance == 0) {
            if !self.model.stops_at_stored_blocks() {
                self.marks.pop_front();
            } else if self.plain.index(stored.position) == from {
                self.marks.pop_front();
                let end = from + stored.length as usize;
                self.model.skip(end);
                return Ok(end);
            } else {
                break;
            }
        }
        let Span { limit, is_new_chunk } = self.model.span(&self.plain, from);
        let next = self.marks.front().map(|mark| (*mark, self.plain.index(mark.position)));
        let next = next.filter(|(_, start)| *start < limit);
        if is_new_chunk {
            self.chunks += 1;
            if next.is_none() {
                if self.model.run_freely(&self.plain) {
                    self.streams.bare.unsigned(std::mem::take(&mut self.chunks) - 1)?;
                } else {
                    self.corrections.compare(None, None, limit, &mut self.streams)?;
                }
                return Ok(limit);
            }
        }
        let actual = next.filter(|(mark, _)| mark.distance > 0).map(|(mark, start)| Match {
            start,
            length: mark.length,
            distance: mark.distance,
        });
        let to = actual.map_or(next.map_or(limit, |(_, start)| start), |actual| actual.end());
        let predicted = self.model.find(&self.plain, limit);
        let predicted = predicted.filter(|found| actual.is_some() || found.start < to);
        self.corrections.compare(predicted, actual, limit, &mut self.streams)?;
        if let Some(actual) = actual {
            self.marks.pop_front();
            self.model.accept(&self.plain, actual);
        } else if predicted.is_some() || to < limit {
            self.model.skip(to);
        }
        Ok(to)
    }
}

/// CRC and length as a member ends with them.
pub(super) fn trailer(crc: &Crc) -> [u8; 8] {
    (u64::from(crc.amount()) << 32 | u64::from(crc.sum())).to_le_bytes()
}
