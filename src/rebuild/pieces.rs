//! Predicts the matches of independent pieces on several threads.

use std::io::{Read, Write};

use flate2::Crc;

use super::blocks::BlockWriter;
use super::fault::invalid_record;
use super::input::Input;
use super::model::{CHUNK, Model, Span};
use super::parse::Mark;
use super::plain::{HISTORY, Plain};
use super::predictor::trailer;
use super::record::Record;
use super::tokens::Tokens;
use super::workers::Workers;
use crate::error::Result;

/// Larger pieces would take too much memory.
const MAX_PIECE: u64 = 1 << 20;

/// A piece whose matches are to be predicted.
struct Job {
    plain: Plain,
    /// For each chunk, whether the encoder wrote no match in it.
    is_bare: Vec<bool>,
}

/// A piece and its matches.
struct Predicted {
    plain: Plain,
    /// By the index of their first byte.
    matches: Vec<Mark>,
}

/// Worker threads, and the size of the pieces.
pub(super) struct Pieces {
    workers: Workers<Job, Predicted>,
    size: usize,
}

impl Pieces {
    /// Starts workers; `None` if the pieces of the record depend on each other, or on corrections.
    pub(super) fn start(record: &Record, threads: usize) -> Option<Self> {
        let encoder = record.encoder();
        let size = encoder.piece.filter(|size| *size <= MAX_PIECE)?;
        if threads < 2 || !record.streams().gaps.is_at_end() || record.tar_size() <= size {
            return None;
        }
        let worker = || {
            let mut model = Model::new(encoder).filter(Model::has_independent_pieces)?;
            Some(move |Job { plain, is_bare }| {
                let matches = predict(&mut model, &plain, &is_bare);
                Predicted { plain, matches }
            })
        };
        let workers = (0..threads).map(|_| worker()).collect::<Option<_>>()?;
        Some(Self { workers: Workers::start(workers), size: usize::try_from(size).ok()? })
    }

    /// Writes the blocks of a member; returns its trailer.
    pub(super) fn tokens<R: Read, W: Write>(
        &mut self,
        input: &mut Input<R>,
        writer: &mut BlockWriter<'_, W>,
        mut is_next_bare: impl FnMut() -> Result<bool>,
    ) -> Result<[u8; 8]> {
        let (mut crc, mut position, mut before) = (Crc::new(), 0, Vec::new());
        loop {
            while !self.workers.is_full() && input.unread > 0 {
                let mut plain = Plain::at(position, &before, self.size);
                input.add(&mut plain, HISTORY + self.size)?;
                let bytes = plain.bytes().get(HISTORY..).unwrap_or_default();
                crc.update(bytes);
                position += bytes.len() as u64;
                before.clear();
                before.extend_from_slice(
                    plain.bytes().last_chunk::<HISTORY>().map_or(&[], |last| last),
                );
                let chunks = bytes.len().div_ceil(CHUNK);
                let is_bare = (0..chunks).map(|_| is_next_bare()).collect::<Result<_>>()?;
                self.workers.push(Job { plain, is_bare })?;
            }
            let Some(predicted) = self.workers.pop()? else { break };
            write(&predicted, writer)?;
        }
        if writer.begin_block()? {
            return Err(invalid_record("blocks continue after the end"));
        }
        Ok(trailer(&crc))
    }
}

fn write<W: Write>(piece: &Predicted, writer: &mut BlockWriter<'_, W>) -> Result<()> {
    let bytes = piece.plain.bytes().get(HISTORY..).unwrap_or_default();
    for (literals, found) in (Tokens { bytes, matches: &piece.matches, start: HISTORY }).parts() {
        writer.literals(literals)?;
        if let Some(found) = found {
            writer.put_match(found.length.into(), found.distance.into())?;
        }
    }
    Ok(())
}

/// Predicts the matches of a piece that begins at [`HISTORY`]. `is_bare` tells for each chunk whether it has none, as far as known.
pub(super) fn predict(model: &mut Model, plain: &Plain, is_bare: &[bool]) -> Vec<Mark> {
    model.restart();
    let (mut matches, mut from) = (Vec::new(), HISTORY);
    let mut is_bare = is_bare.iter();
    while from < plain.len() {
        let Span { limit, is_new_chunk } = model.span(plain, from);
        if is_new_chunk && is_bare.next() == Some(&true) {
            model.run_freely(plain);
            from = limit;
            continue;
        }
        let found = model.find(plain, limit);
        from = found.map_or(limit, |found| found.end());
        if let Some(found) = found {
            model.accept(plain, found);
            matches.push(Mark::new(found.start as u64, found.length, found.distance));
        }
    }
    matches
}

#[cfg(test)]
mod tests {
    use super::super::encoder::{Encoder, Family};
    use super::super::plain::READ_AHEAD;
    use super::super::predictor::Predictor;
    use super::*;

    const SIZE: usize = 100_000;

    /// Every match of a member, by its position, as one model predicts them one after the other.
    fn in_one_go(encoder: Encoder, bytes: &[u8]) -> Vec<(u64, u32, u32)> {
        let mut predictor = Predictor::new(encoder).unwrap();
        let (mut rest, mut found, mut from) = (bytes, Vec::new(), predictor.begin_member());
        loop {
            let add = |plain: &mut Plain, until: usize| {
                let count = rest.len().min(until.saturating_sub(plain.len()));
                plain.grow(count).copy_from_slice(&rest[..count]);
                rest = &rest[count..];
                plain.is_complete = rest.is_empty();
                Ok(())
            };
            from = predictor.advance(from, add).unwrap();
            if from == predictor.plain.len() {
                return found;
            }
            let Span { limit, .. } = predictor.span(from);
            let next = predictor.find(limit);
            from = next.map_or(limit, |next| next.end());
            if let Some(next) = next {
                found.push((predictor.plain.position(next.start), next.length, next.distance));
                predictor.accept(next);
            }
        }
    }

    #[test]
    fn pieces_predicted_alone_equal_those_in_one_go() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut bytes: Vec<u8> = (0..SIZE / 2).map(|_| random.u8(..4)).collect();
        while bytes.len() < 3 * SIZE + READ_AHEAD {
            let start = random.usize(..bytes.len() - 300);
            let length = random.usize(3..300);
            bytes.extend_from_within(start..start + length);
            bytes.push(random.u8(..));
        }
        for encoder in [(Family::A, 1), (Family::B, 1), (Family::B, 5), (Family::B, 6)] {
            let encoder = Encoder::new(encoder.0, encoder.1).in_pieces(SIZE as u64);
            let mut model = Model::new(encoder).unwrap();
            assert!(model.has_independent_pieces());
            let (mut found, mut position) = (Vec::new(), 0_usize);
            for piece in bytes.chunks(SIZE) {
                let before = &bytes[position.saturating_sub(HISTORY)..position];
                let mut plain = Plain::at(position as u64, before, SIZE);
                plain.grow(piece.len()).copy_from_slice(piece);
                for mark in predict(&mut model, &plain, &[]) {
                    let start = plain.position(mark.position as usize);
                    found.push((start, mark.length.into(), mark.distance.into()));
                }
                position += piece.len();
            }
            assert!(found.len() > 1000, "{encoder}: {}", found.len());
            assert!(found == in_one_go(encoder, &bytes), "{encoder}");
        }
    }
}
