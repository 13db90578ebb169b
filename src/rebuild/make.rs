//! Makes a record of a gzip blob.

use std::collections::VecDeque;
use std::io::Read;

use super::blocks::COMPUTED_HEADER;
use super::corrections::CorrectionWriter;
use super::encoder::Encoder;
use super::fault::not_rebuildable;
use super::model::{Match, Span};
use super::parse::{Block, Event, Mark, Parser};
use super::plain::Plain;
use super::predictor::Predictor;
use super::record::{Record, Streams};
use super::streams::StreamWriter;
use crate::error::Result;

/// Parses a blob and compares its matches with the predictions of a model.
pub(super) struct Maker<R> {
    encoder: Encoder,
    predictor: Predictor,
    input: Input<R>,
    corrections: CorrectionWriter,
    tar_size: u64,
    /// Chunks since the last bare one.
    chunks: u64,
}

/// The blob, as far as it is parsed.
struct Input<R> {
    parser: Parser<R>,
    marks: VecDeque<Mark>,
    streams: Streams<StreamWriter>,
    /// Of the member.
    trailer: [u8; 8],
}

impl<R: Read> Input<R> {
    /// Parses until the plain bytes of the member have this length, or are complete.
    fn add(&mut self, plain: &mut Plain, until: usize) -> Result<()> {
        self.streams.check_size()?;
        while !plain.is_complete {
            match self.parser.step(plain, until, &mut self.marks)? {
                Event::Block(block) => self.put_block(&block)?,
                Event::Filled => break,
                Event::MemberEnd(trailer) => {
                    self.trailer = trailer;
                    plain.is_complete = true;
                }
                Event::Member(_) | Event::End(_) => {
                    return Err(not_rebuildable("a member without an end"));
                }
            }
        }
        Ok(())
    }

    fn put_block(&mut self, block: &Block) -> Result<()> {
        let last = if block.is_last { 4 } else { 0 };
        let kind = if block.has_computed_header()? { COMPUTED_HEADER } else { block.kind.bits() };
        self.streams.blocks.unsigned(block.count << 3 | last | u64::from(kind))?;
        if kind == COMPUTED_HEADER {
            return Ok(());
        }
        self.streams.headers.bytes(&block.header.bytes)
    }
}

impl<R: Read> Maker<R> {
    pub(super) fn new(gzip: R, encoder: Encoder) -> Result<Self> {
        let predictor = Predictor::new(encoder);
        let input = Input {
            parser: Parser::new(gzip, encoder.header_reach())?,
            marks: VecDeque::new(),
            streams: Streams::default(),
            trailer: [0; 8],
        };
        Ok(Self {
            encoder,
            predictor: predictor.ok_or_else(|| not_rebuildable("no model of this encoder"))?,
            input,
            corrections: CorrectionWriter::default(),
            tar_size: 0,
            chunks: 0,
        })
    }

    /// Reads the whole blob.
    pub(super) fn run(mut self) -> Result<Record> {
        let zeros = self.members(u64::MAX)?;
        let size = self.input.parser.position();
        let numbers = [self.tar_size, size, self.corrections.count, zeros];
        Record::new(self.encoder, numbers, self.input.streams)
    }

    /// Makes at most so many predictions, fewer if the blob ends early; returns their count and how many were wrong.
    pub(super) fn try_predictions(mut self, most: u64) -> (u64, u64) {
        // An early end of the blob does not count against the model.
        _ = self.members(most).is_ok();
        (self.corrections.predictions, self.corrections.count)
    }

    fn members(&mut self, most: u64) -> Result<u64> {
        loop {
            let input = &mut self.input;
            match input.parser.step(&mut self.predictor.plain, 0, &mut input.marks)? {
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
        let mut from = self.predictor.begin_member();
        loop {
            let input = &mut self.input;
            from = self.predictor.advance(from, |plain, until| input.add(plain, until))?;
            if from == self.predictor.plain.len() {
                break;
            }
            if self.corrections.predictions >= most {
                return Ok(());
            }
            from = self.span(from)?;
        }
        let size = self.predictor.plain.position(from);
        self.tar_size += size;
        let members = &mut self.input.streams.members;
        members.unsigned(header.len() as u64)?;
        members.bytes(header)?;
        members.unsigned(size)?;
        if self.input.trailer == self.predictor.trailer() {
            return members.unsigned(0);
        }
        members.unsigned(1)?;
        members.bytes(&self.input.trailer)
    }

    /// Compares one prediction with what the encoder wrote; returns where the next one begins.
    fn span(&mut self, from: usize) -> Result<usize> {
        let Self { predictor, input: Input { marks, streams, .. }, corrections, .. } = self;
        while let Some(stored) = marks.front().copied().filter(|mark| mark.distance == 0) {
            if !predictor.stops_at_stored_blocks() {
                marks.pop_front();
            } else if predictor.plain.index(stored.position) == from {
                marks.pop_front();
                let end = from + usize::from(stored.length);
                predictor.skip(end);
                return Ok(end);
            } else {
                break;
            }
        }
        let Span { limit, is_new_chunk } = predictor.span(from);
        let next = marks.front().map(|mark| (*mark, predictor.plain.index(mark.position)));
        let next = next.filter(|(_, start)| *start < limit);
        if is_new_chunk {
            self.chunks += 1;
            if next.is_none() {
                if predictor.run_freely() {
                    streams.bare.unsigned(std::mem::take(&mut self.chunks) - 1)?;
                } else {
                    corrections.compare(None, None, limit, streams)?;
                }
                return Ok(limit);
            }
        }
        let actual = next.filter(|(mark, _)| mark.distance > 0).map(|(mark, start)| Match {
            start,
            length: mark.length.into(),
            distance: mark.distance.into(),
        });
        let to = actual.map_or(next.map_or(limit, |(_, start)| start), |actual| actual.end());
        let predicted = predictor.find(limit);
        let predicted = predicted.filter(|found| actual.is_some() || found.start < to);
        corrections.compare(predicted, actual, limit, streams)?;
        if let Some(actual) = actual {
            marks.pop_front();
            predictor.accept(actual);
        } else if predicted.is_some() || to < limit {
            predictor.skip(to);
        }
        Ok(to)
    }
}
