//! Compresses as pgzip does: in pieces that several threads share, with matches that a model predicts. A record of such a blob needs no
//! corrections.

use std::io::{self, Write};
use std::num::NonZero;
use std::ops::RangeInclusive;

use flate2::Crc;

use super::bits::BitBuffer;
use super::encoder::{Encoder, Family};
use super::model::{CHUNK, Model};
use super::pieces::predict;
use super::plain::{HISTORY, Plain};
use super::predictor::trailer;
use super::smallest_block::{put_block, put_flush};
use super::tokens::Tokens;
use super::workers::Workers;

/// Uncompressed bytes of a piece. skopeo's are as large.
const PIECE: usize = 1 << 20;

/// Each takes about 3 MiB.
const MAX_THREADS: usize = 8;

/// Method, flags, time, extra flags and system: deflate, unknown, none, none, unknown. RFC 1952, 2.3.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Compresses what is written to it; the same bytes give the same blob, however they arrive and whatever the machine.
pub(crate) struct GzipWriter<W> {
    output: W,
    compressor: PieceCompressor,
    /// The bytes of the current piece.
    plain: Plain,
    /// Uncompressed bytes before it.
    position: u64,
    crc: Crc,
    /// Started with the second piece.
    workers: Option<Workers<Plain, io::Result<Vec<u8>>>>,
}

impl<W: Write> GzipWriter<W> {
    /// Levels that have a model.
    pub(crate) const LEVELS: RangeInclusive<u32> = 1..=6;

    /// Creates a compressor with the model that is closest to a level. Nothing is written yet.
    ///
    /// # Errors
    /// None for one of the [`LEVELS`](Self::LEVELS).
    pub(crate) fn new(level: u32, output: W) -> io::Result<Self> {
        let level = match level {
            1 => 1,
            2..=5 => 5,
            _ => 6,
        };
        let encoder = Encoder::new(Family::B, level).in_pieces(PIECE as u64);
        let compressor = PieceCompressor::new(encoder);
        Ok(Self {
            output,
            compressor: compressor.ok_or(io::ErrorKind::InvalidInput)?,
            plain: Plain::at(0, &[], 0),
            position: 0,
            crc: Crc::new(),
            workers: None,
        })
    }

    /// Writes the header if no piece was begun after the first one.
    fn begin(&mut self) -> io::Result<()> {
        if self.position == 0 { self.output.write_all(&HEADER) } else { Ok(()) }
    }

    /// Begins the next piece, and compresses the current one: on another thread if the machine has several cores.
    fn next_piece(&mut self) -> io::Result<()> {
        self.begin()?;
        let before = self.plain.bytes();
        let before = before.get(before.len() - HISTORY..).unwrap_or_default();
        self.position += PIECE as u64;
        let next = Plain::at(self.position, before, PIECE);
        let full = std::mem::replace(&mut self.plain, next);
        if self.workers.is_none() {
            self.workers = PieceCompressor::threads(self.compressor.encoder);
        }
        let Some(workers) = &mut self.workers else {
            return self.output.write_all(&self.compressor.blocks(&full, false)?);
        };
        if workers.is_full()
            && let Some(blocks) = workers.pop().map_err(io::Error::other)?
        {
            self.output.write_all(&blocks?)?;
        }
        workers.push(full).map_err(io::Error::other)
    }

    /// Writes the last piece and the end, and returns what was written to.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.begin()?;
        let last = self.compressor.blocks(&self.plain, true)?;
        if let Some(mut workers) = self.workers.take() {
            while let Some(blocks) = workers.pop().map_err(io::Error::other)? {
                self.output.write_all(&blocks?)?;
            }
        }
        self.output.write_all(&last)?;
        self.output.write_all(&trailer(&self.crc))?;
        Ok(self.output)
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = HISTORY + PIECE - self.plain.len();
        // A full piece is kept until it is known whether it is the last one.
        let room = if room == 0 && !bytes.is_empty() {
            self.next_piece()?;
            PIECE
        } else {
            room
        };
        let (taken, _) = bytes.split_at(bytes.len().min(room));
        self.plain.extend(taken);
        self.crc.update(taken);
        Ok(taken.len())
    }

    /// Does nothing: what is compressed would depend on it.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compresses pieces, each on its own.
struct PieceCompressor {
    encoder: Encoder,
    model: Model,
}

impl PieceCompressor {
    fn new(encoder: Encoder) -> Option<Self> {
        Some(Self { encoder, model: Model::new(encoder)? })
    }

    /// Threads that compress all pieces but the last one; `None` if the machine has no cores for them.
    fn threads(encoder: Encoder) -> Option<Workers<Plain, io::Result<Vec<u8>>>> {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        if cores < 2 {
            return None;
        }
        let worker = |_| {
            let mut own = Self::new(encoder)?;
            Some(move |plain: Plain| own.blocks(&plain, false))
        };
        Some(Workers::start((0..cores.min(MAX_THREADS)).map(worker).collect::<Option<_>>()?))
    }

    fn blocks(&mut self, plain: &Plain, is_last: bool) -> io::Result<Vec<u8>> {
        let matches = predict(&mut self.model, plain, &[]);
        let (mut out, mut rest) = (BitBuffer::default(), &matches[..]);
        let bytes = plain.bytes().get(HISTORY..).unwrap_or_default();
        // An empty blob has a block too.
        for number in 0..bytes.len().div_ceil(CHUNK).max(1) {
            let (start, end) = (number * CHUNK, bytes.len().min((number + 1) * CHUNK));
            let own = rest.partition_point(|found| (found.position as usize) < HISTORY + end);
            let (matches, later) = rest.split_at(own);
            rest = later;
            let bytes = bytes.get(start..end).unwrap_or_default();
            let tokens = Tokens { bytes, matches, start: HISTORY + start };
            put_block(&mut out, tokens, is_last && end == plain.len() - HISTORY)
                .map_err(io::Error::other)?;
        }
        if !is_last {
            put_flush(&mut out);
        }
        Ok(out.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::super::{record, replay};
    use super::*;

    /// Words, zeros and noise.
    fn content(size: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(7);
        let words: Vec<Vec<u8>> = (0..3000)
            .map(|_| (0..random.usize(2..12)).map(|_| random.u8(b'a'..=b'z')).collect())
            .collect();
        let mut bytes = Vec::new();
        while bytes.len() < size {
            match random.u8(..50) {
                0 => bytes.resize(bytes.len() + random.usize(..9000), 0),
                1 => bytes.extend((0..random.usize(..200_000)).map(|_| random.u8(..))),
                _ => (0..500).for_each(|_| bytes.extend(&words[random.usize(..words.len())])),
            }
        }
        bytes.truncate(size);
        bytes
    }

    fn compress(level: u32, bytes: &[u8]) -> Vec<u8> {
        let mut writer = GzipWriter::new(level, Vec::new()).unwrap();
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn blob_of_any_size_is_read_back() {
        let content = content(3 * PIECE + 5);
        let sizes = [
            0,
            1,
            2,
            127,
            128,
            CHUNK - 1,
            CHUNK,
            CHUNK + 1,
            PIECE - 1,
            PIECE,
            PIECE + 1,
            2 * PIECE,
            3 * PIECE + 5,
        ];
        for level in [1, 5, 6] {
            for size in sizes {
                let blob = compress(level, &content[..size]);
                let mut read = Vec::new();
                flate2::read::GzDecoder::new(&blob[..]).read_to_end(&mut read).unwrap();
                assert!(read == content[..size], "{size} bytes with level {level}");
            }
        }
    }

    #[test]
    fn record_of_own_blob_has_no_corrections() {
        let content = content(3 * PIECE + 700_000);
        for level in [1, 5, 6] {
            let blob = compress(level, &content);
            let record = record(&blob[..]).unwrap();
            let encoder = Encoder::new(Family::B, u8::try_from(level).unwrap());
            assert_eq!(record.encoder(), encoder.in_pieces(PIECE as u64));
            assert!(record.streams().gaps.is_at_end(), "level {level}");
            assert!(replay(&content[..], &record, Vec::new()).unwrap() == blob, "level {level}");
        }
    }

    #[test]
    fn worse_level_is_no_smaller() {
        let content = content(PIECE);
        let [one, five, six] = [1, 5, 6].map(|level| compress(level, &content).len());
        assert!(one > five && five >= six, "{one}, {five}, {six}");
        let by_zlib = {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
            writer.write_all(&content).unwrap();
            writer.finish().unwrap().len()
        };
        assert!(six < by_zlib * 11 / 10, "{six} of {by_zlib}");
    }
}
