//! Writes a gzip blob from its plain bytes and a record.

use std::io::{Read, Write};

use super::bits::{BitWriter, read_some};
use super::blocks::BlockWriter;
use super::corrections::{BareReader, CorrectionReader};
use super::fault::{invalid_record, other_plain_bytes};
use super::input::Input;
use super::model::Span;
use super::parse::MAX_HEADER_BYTES;
use super::pieces::Pieces;
use super::predictor::Predictor;
use super::record::{Record, Streams};
use super::streams::StreamReader;
use crate::error::Result;

/// Writes the blob of a record.
pub(super) struct Player<'a, R, W> {
    record: &'a Record,
    input: Input<R>,
    /// Uncompressed bytes of the members that have not begun.
    tar_left: u64,
    writer: BlockWriter<'a, W>,
    predictor: Predictor,
    streams: Streams<StreamReader<'a>>,
    corrections: CorrectionReader,
    bare: BareReader,
}

impl<'a, R: Read, W: Write> Player<'a, R, W> {
    pub(super) fn new(tar: R, record: &'a Record, out: W) -> Result<Self> {
        let predictor = Predictor::new(record.encoder());
        let predictor = predictor.ok_or_else(|| invalid_record("unknown encoder"))?;
        let mut streams = record.streams();
        let of_blocks = [std::mem::take(&mut streams.blocks), std::mem::take(&mut streams.headers)];
        let out = BitWriter::new(out, record.blob_size());
        let writer =
            BlockWriter::new(out, of_blocks, record.encoder(), predictor.stops_at_stored_blocks())?;
        Ok(Self {
            record,
            input: Input { tar, unread: 0 },
            tar_left: record.tar_size(),
            writer,
            predictor,
            streams,
            corrections: CorrectionReader::default(),
            bare: BareReader::default(),
        })
    }

    /// Writes the blob, with the predictions of independent pieces by other threads if there are any.
    pub(super) fn run(mut self, mut pieces: Option<&mut Pieces>) -> Result<W> {
        while !self.streams.members.is_at_end() {
            let trailer = self.begin_member()?;
            let computed = match &mut pieces {
                Some(pieces) => {
                    let Self { input, writer, bare, streams, .. } = &mut self;
                    pieces.tokens(input, writer, || bare.is_next(&mut streams.bare))?
                }
                None => self.tokens()?,
            };
            let out = &mut self.writer.out;
            out.align();
            out.bytes(&trailer.unwrap_or(computed));
            out.drain()?;
        }
        if self.tar_left > 0 || read_some(&mut self.input.tar, &mut [0])? > 0 {
            return Err(other_plain_bytes("more uncompressed bytes than were compressed"));
        }
        let mut out = self.writer.out;
        for _ in 0..self.record.head.zeros {
            out.bytes(&[0]);
            out.drain()?;
        }
        out.finish()
    }

    /// Writes the header of a member; returns its trailer if that is not the computed one.
    fn begin_member(&mut self) -> Result<Option<[u8; 8]>> {
        let members = &mut self.streams.members;
        let size = usize::try_from(members.unsigned()?).unwrap_or(usize::MAX);
        if size > MAX_HEADER_BYTES {
            return Err(invalid_record("a gzip header is too long"));
        }
        self.writer.out.bytes(members.bytes(size)?);
        self.input.unread = members.unsigned()?;
        let left = self.tar_left.checked_sub(self.input.unread);
        self.tar_left =
            left.ok_or_else(|| invalid_record("members are longer than the stated total"))?;
        self.writer.begin_member();
        Ok(match members.unsigned()? {
            0 => None,
            _ => members.bytes(8)?.first_chunk::<8>().copied(),
        })
    }

    /// Writes the blocks of the member; returns its trailer.
    fn tokens(&mut self) -> Result<[u8; 8]> {
        let mut from = self.predictor.begin_member();
        loop {
            let input = &mut self.input;
            from = self.predictor.advance(from, |plain, until| input.add(plain, until))?;
            let is_at_end = from == self.predictor.plain.len();
            match (self.writer.begin_block()?, is_at_end) {
                (true, false) => from = self.next_tokens(from)?,
                (false, true) => return Ok(self.predictor.trailer()),
                (false, false) => return Err(invalid_record("blocks end early")),
                (true, true) => return Err(invalid_record("blocks continue after the end")),
            }
        }
    }

    /// Writes a stored block, or up to the end of the next match; returns where it goes on.
    fn next_tokens(&mut self, from: usize) -> Result<usize> {
        if !self.writer.is_stopped() {
            return self.span(from);
        }
        let bytes = self.predictor.plain.bytes().get(from..).unwrap_or_default();
        let end = from + self.writer.copy_stored(bytes)?;
        self.predictor.skip(end);
        Ok(end)
    }

    /// Writes up to the end of the next match, or of the span without one; returns where it goes on.
    fn span(&mut self, from: usize) -> Result<usize> {
        let Span { limit, is_new_chunk } = self.predictor.span(from);
        if is_new_chunk && self.bare.is_next(&mut self.streams.bare)? {
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
        if !self.writer.put_match(actual.length, actual.distance)? {
            self.predictor.skip(reached);
            return Ok(reached);
        }
        self.predictor.accept(actual);
        Ok(actual.end())
    }

    /// Writes bytes as literals; returns where a stored block stopped it, or `to`.
    fn literals(&mut self, from: usize, to: usize) -> Result<usize> {
        let bytes = self.predictor.plain.bytes().get(from..to).unwrap_or_default();
        Ok(from + self.writer.literals(bytes)?)
    }
}
