//! The record in memory and as bytes.

use super::encoder::{Encoder, Family};
use super::fault::{invalid_record, not_rebuildable};
use super::streams::{StreamReader, StreamWriter, take_unsigned};
use crate::error::Result;
use crate::leb128;

/// Begins every record; the last byte is the version.
const MAGIC: &[u8; 8] = b"RPREBLD\x01";
/// The magic bytes and fifteen numbers of at most ten bytes each.
const MAX_HEAD_BYTES: usize = MAGIC.len() + 15 * 10;

/// Maximum bytes of a record, which is kept in memory.
pub const MAX_RECORD_BYTES: u64 = 48 << 20;

/// Everything about a gzip blob that does not follow from its uncompressed bytes: the headers, where blocks end, and where its
/// encoder chose other matches than a model predicts.
///
/// Its size is mostly below 1 % of the blob if its encoder has a model. It is kept in memory as it is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    bytes: Vec<u8>,
    pub(super) head: Head,
    /// Where the streams begin in the bytes.
    streams: usize,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("size", &self.bytes.len())
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

/// The first fields of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) encoder: Encoder,
    pub(super) tar_size: u64,
    pub(super) blob_size: u64,
    pub(super) corrections: u64,
    /// Bytes after the last member, all of them zero.
    pub(super) zeros: u64,
    sizes: [u64; 8],
}

/// The streams of a record. Integers are LEB128, those that can be negative as zigzag.
#[derive(Default)]
pub(super) struct Streams<T> {
    /// Per member: size of the gzip header, the header, count of plain bytes, and 0 if CRC and length are as computed, or 1
    /// and these eight bytes.
    pub(super) members: T,
    /// Per block: tokens or bytes * 8 + 4 if it is the last one + its type, 3 for dynamic blocks with the best code lengths.
    pub(super) blocks: T,
    /// The bits of the headers of other dynamic blocks, each filled up to whole bytes.
    pub(super) headers: T,
    /// Chunks in which the encoder searched but wrote no match, as the count of chunks between them.
    pub(super) bare: T,
    /// Per correction: right predictions before it.
    pub(super) gaps: T,
    /// Actual start minus predicted start.
    pub(super) literals: T,
    /// Actual length minus predicted length, 0 for no match.
    pub(super) lengths: T,
    /// Actual distance; 0 if it is the predicted one.
    pub(super) distances: T,
}

impl Streams<StreamWriter> {
    /// Checks that the record is not too large yet.
    pub(super) fn check_size(&self) -> Result<()> {
        let Self { members, blocks, headers, bare, gaps, literals, lengths, distances } = self;
        let all = [members, blocks, headers, bare, gaps, literals, lengths, distances];
        check_size(all.into_iter().map(StreamWriter::packed_bytes).sum())
    }
}

impl<T> Streams<T> {
    fn into_array(self) -> [T; 8] {
        let Self { members, blocks, headers, bare, gaps, literals, lengths, distances } = self;
        [members, blocks, headers, bare, gaps, literals, lengths, distances]
    }

    fn from_array(
        [members, blocks, headers, bare, gaps, literals, lengths, distances]: [T; 8],
    ) -> Self {
        Self { members, blocks, headers, bare, gaps, literals, lengths, distances }
    }
}

impl Record {
    pub(super) fn new(
        encoder: Encoder,
        [tar_size, blob_size, corrections, zeros]: [u64; 4],
        streams: Streams<StreamWriter>,
    ) -> Result<Self> {
        let (mut sizes, mut all) = ([0; 8], Vec::new());
        for (stream, size) in streams.into_array().into_iter().zip(&mut sizes) {
            let frames = stream.finish()?;
            *size = frames.len() as u64;
            all.push(frames);
        }
        let mut bytes =
            Vec::with_capacity(MAX_HEAD_BYTES + all.iter().map(Vec::len).sum::<usize>());
        bytes.extend_from_slice(MAGIC);
        let head = Head { encoder, tar_size, blob_size, corrections, zeros, sizes };
        let piece = encoder.piece.unwrap_or(0);
        let numbers = [encoder.family as u64, encoder.level.into(), piece];
        for number in
            numbers.into_iter().chain([tar_size, blob_size, corrections, zeros]).chain(sizes)
        {
            leb128::put(&mut bytes, number);
        }
        let streams = bytes.len();
        for frames in all {
            bytes.extend_from_slice(&frames);
        }
        check_size(bytes.len() as u64)?;
        Ok(Self { bytes, head, streams })
    }

    /// Parses a record, as far as its head and the sizes of its streams; [`replay`](super::replay()) checks the rest.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidDocument`](crate::ErrorKind::InvalidDocument) if it is not a record or of another version.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        let mut rest =
            bytes.strip_prefix(MAGIC).ok_or_else(|| invalid_record("not of version 1"))?;
        let mut number = || take_unsigned(&mut rest);
        let (family, level, piece) = (number()?, number()?, number()?);
        let [tar_size, blob_size, corrections, zeros] =
            [number()?, number()?, number()?, number()?];
        let mut sizes = [0; 8];
        for size in &mut sizes {
            *size = number()?;
        }
        let family = Family::ALL.into_iter().find(|known| *known as u64 == family);
        let (Some(family), Ok(level)) = (family, u8::try_from(level)) else {
            return Err(invalid_record("unknown encoder"));
        };
        let encoder = Encoder { family, level, piece: (piece > 0).then_some(piece) };
        let sum = sizes.iter().try_fold(0_u64, |sum, size| sum.checked_add(*size));
        if sum != Some(rest.len() as u64) {
            return Err(invalid_record("streams have other sizes than stated"));
        }
        let streams = bytes.len() - rest.len();
        let head = Head { encoder, tar_size, blob_size, corrections, zeros, sizes };
        Ok(Self { bytes, head, streams })
    }

    /// Returns the record in the form that [`from_bytes`](Self::from_bytes) reads.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the encoder whose model predicts the matches.
    pub fn encoder(&self) -> Encoder {
        self.head.encoder
    }

    /// Returns how many uncompressed bytes [`replay`](super::replay()) reads, as the record states it.
    pub fn tar_size(&self) -> u64 {
        self.head.tar_size
    }

    /// Returns the size of the blob, as the record states it. More is never written.
    pub fn blob_size(&self) -> u64 {
        self.head.blob_size
    }

    /// Returns how many predictions of the model were wrong.
    pub fn corrections(&self) -> u64 {
        self.head.corrections
    }

    /// Returns the compressed bytes of the corrections: how much smaller the record would be with a perfect model.
    pub fn correction_bytes(&self) -> u64 {
        let [_, _, _, bare, corrections @ ..] = self.head.sizes;
        bare + corrections.iter().sum::<u64>()
    }

    pub(super) fn streams(&self) -> Streams<StreamReader<'_>> {
        let mut rest = self.bytes.get(self.streams..).unwrap_or_default();
        Streams::from_array(self.head.sizes.map(|size| {
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            StreamReader::new(rest.split_off(..size).unwrap_or_default())
        }))
    }
}

fn check_size(bytes: u64) -> Result<()> {
    if bytes > MAX_RECORD_BYTES {
        return Err(not_rebuildable("its record would be too large"));
    }
    Ok(())
}
