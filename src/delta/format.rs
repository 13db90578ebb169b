//! A delta as a blob: its header, and where its sections are.
//!
//! ```text
//! 8 bytes   "RPDELTA" 0x01
//! u32       length of the JSON header, little-endian
//! JSON      target, diff_id and size of its tar, old layers, encoder, sections
//! ops       zstd: copies, zeros and literals, in the order of the new tar
//! frames    zstd: per frame of literals its sizes and its prefix
//! record    rebuilds the gzip blob from the tar
//! literals  the frames, one after the other
//! ```

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fault::{file_error, invalid_delta};
use super::frames::FrameReader;
use super::limits;
use super::ops::OpsReader;
use crate::blob_file::{BlobFile, FileRange};
use crate::digest::Digest;
use crate::error::Result;
use crate::rebuild::{Encoder, Family, MAX_RECORD_BYTES, Record};

/// Media type of a delta of one layer.
pub const LAYER_DELTA: &str = "application/vnd.rpull.delta.layer.v1";

const MAGIC: &[u8; 8] = b"RPDELTA\x01";

/// The sections in their order.
const SECTIONS: [&str; 4] = ["ops", "frames", "record", "literals"];

/// The header of a delta: the layer that it rebuilds, and the layers that it needs.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Header {
    /// The layer that it makes.
    pub target: TargetBlob,
    /// Digest of the uncompressed layer.
    pub diff_id: Digest,
    /// Bytes of the uncompressed layer.
    pub tar_size: u64,
    /// The old layers that are needed, uncompressed.
    #[serde(rename = "sources")]
    pub old_layers: Vec<OldLayer>,
    /// What compressed the layer. A hint: the record decides.
    pub encoder: EncoderHint,
    pub(super) sections: Vec<Section>,
}

/// What compressed a layer.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[non_exhaustive]
pub struct EncoderHint {
    /// Short name of the family.
    pub family: String,
    /// Its level.
    pub level: u8,
    /// Bytes of the pieces of a parallel encoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub piece: Option<u64>,
}

impl EncoderHint {
    pub(super) fn new(encoder: Encoder) -> Self {
        let Encoder { level, piece, .. } = encoder;
        Self { family: encoder.family.name().to_owned(), level, piece }
    }
}

impl fmt::Display for EncoderHint {
    /// As [`Encoder`]: `pgzip, level 5, pieces of 1 MiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (level, piece) = (self.level, self.piece);
        // An encoder of a later version has an unknown name.
        match Family::from_name(&self.family) {
            Some(family) => Encoder { family, level, piece }.fmt(f),
            None => write!(f, "{}, level {level}", self.family),
        }
    }
}

/// The blob that a delta makes.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TargetBlob {
    /// Its media type.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// An old layer that a delta needs.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OldLayer {
    /// Digest of the uncompressed layer.
    pub diff_id: Digest,
    /// Bytes of the uncompressed layer.
    pub size: u64,
}

impl OldLayer {
    pub(super) fn new(diff_id: Digest, size: u64) -> Self {
        Self { diff_id, size }
    }
}

impl TargetBlob {
    pub(super) fn new(media_type: String, digest: Digest, size: u64) -> Self {
        Self { media_type, digest, size }
    }
}

/// A part of the blob after its header.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Section {
    name: String,
    /// Stored bytes.
    size: u64,
    /// Bytes when decompressed.
    raw: u64,
}

/// The content of the sections.
pub(super) struct Sections<'a> {
    /// Compressed, and the size before.
    pub(super) ops: (Vec<u8>, usize),
    pub(super) frames: (Vec<u8>, usize),
    pub(super) record: &'a [u8],
    pub(super) literals: &'a Arc<File>,
    /// Bytes of literals: compressed, and before.
    pub(super) literal_bytes: (u64, u64),
}

/// A delta in a file, with its header read and its limits checked.
#[derive(Clone, Debug)]
pub struct Delta {
    blob: BlobFile,
    header: Header,
    /// Where each section is in the file, in the order of [`SECTIONS`].
    places: [Range<u64>; 4],
    /// Bytes of memory that its largest frame takes.
    frame_memory: u64,
}

impl Delta {
    /// Opens a delta in a file, which is hashed first. Blocks.
    ///
    /// # Errors
    /// Those of reading the file, and [`ErrorKind::InvalidDocument`](crate::ErrorKind::InvalidDocument) if it is not a delta
    /// or exceeds a limit.
    pub fn open(path: &Path) -> Result<Self> {
        Self::from_blob(BlobFile::hash(path)?)
    }

    /// Reads the header and the table of frames of a delta, whose bytes the caller has verified.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidDocument`](crate::ErrorKind::InvalidDocument) if it is not a delta or exceeds a limit,
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) if it cannot be read.
    pub(crate) fn from_blob(blob: BlobFile) -> Result<Self> {
        let BlobFile { file, size, .. } = &blob;
        let size = *size;
        let mut start = [0; 12];
        if size < start.len() as u64 {
            return Err(invalid_delta("is too short"));
        }
        file.read_exact_at(&mut start, 0).map_err(file_error)?;
        let (magic, length) = start.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(invalid_delta("is not a delta of version 1"));
        }
        let length = u32::from_le_bytes(length.try_into().unwrap_or_default());
        let end = start.len() as u64 + u64::from(length);
        if length > limits::MAX_HEADER_BYTES || end > size {
            return Err(invalid_delta("has a header that is too large or incomplete"));
        }
        let mut json = vec![0; length as usize];
        file.read_exact_at(&mut json, start.len() as u64).map_err(file_error)?;
        let header: Header = serde_json::from_slice(&json)
            .map_err(|error| invalid_delta("has an invalid header").with_source(error))?;
        let places = header.places(end, size)?;
        let mut delta = Self { blob, header, places, frame_memory: 0 };
        let old = delta.header.old_layers.iter().map(|layer| layer.size);
        let max_prefix_bytes = limits::max_prefix_bytes(delta.header.tar_size, old);
        delta.frame_memory = delta.frames()?.check(max_prefix_bytes)?;
        Ok(delta)
    }

    /// About how many bytes of memory [`apply()`](super::apply()) takes.
    pub(crate) fn memory(&self) -> u64 {
        let [_, _, record, _] = &self.places;
        self.frame_memory + (record.end - record.start) + limits::OTHER_MEMORY
    }

    /// The header: the layer that it rebuilds, and the layers that it needs.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Digest of the delta itself.
    pub fn digest(&self) -> &Digest {
        &self.blob.digest
    }

    /// Size of the delta itself in bytes.
    pub fn size(&self) -> u64 {
        self.blob.size
    }

    /// Reads the delta itself.
    pub fn reader(&self) -> impl Read + Send + use<> {
        self.blob.read(0..self.blob.size)
    }

    pub(crate) fn blob(&self) -> &BlobFile {
        &self.blob
    }

    pub(super) fn write(
        header: Header,
        sections: &Sections<'_>,
        into: &mut impl Write,
    ) -> Result<()> {
        let literals = sections.literal_bytes;
        let record = sections.record.len();
        let sizes = [
            (sections.ops.0.len() as u64, sections.ops.1 as u64),
            (sections.frames.0.len() as u64, sections.frames.1 as u64),
            (record as u64, record as u64),
            literals,
        ];
        let named = SECTIONS.iter().zip(sizes);
        let named =
            named.map(|(name, (size, raw))| Section { name: (*name).to_owned(), size, raw });
        let header = Header { sections: named.collect(), ..header };
        let json = serde_json::to_vec(&header).unwrap_or_default();
        let length = u32::try_from(json.len()).unwrap_or(u32::MAX);
        if length > limits::MAX_HEADER_BYTES {
            return Err(invalid_delta("needs too many old layers"));
        }
        let small = [
            &MAGIC[..],
            &length.to_le_bytes(),
            &json,
            &sections.ops.0,
            &sections.frames.0,
            sections.record,
        ];
        for bytes in small {
            into.write_all(bytes).map_err(file_error)?;
        }
        let mut literals = FileRange::new(Arc::clone(sections.literals), 0..literals.0);
        std::io::copy(&mut literals, into).map_err(file_error)?;
        Ok(())
    }

    pub(super) fn ops(&self) -> Result<OpsReader<impl Read + use<>>> {
        Ok(OpsReader::new(self.table(0)?, self.header.old_layer_sizes()))
    }

    pub(super) fn frames(&self) -> Result<FrameReader<impl Read + use<>>> {
        Ok(FrameReader::new(self.table(1)?, self.header.old_layer_sizes()))
    }

    pub(super) fn record(&self) -> Result<Record> {
        let [_, _, place, _] = &self.places;
        let mut bytes = vec![0; usize::try_from(place.end - place.start).unwrap_or_default()];
        self.blob.file.read_exact_at(&mut bytes, place.start).map_err(file_error)?;
        let record = Record::from_bytes(bytes)?;
        let fits = record.tar_size() == self.header.tar_size
            && record.blob_size() == self.header.target.size;
        if fits { Ok(record) } else { Err(invalid_delta("has the record of another layer")) }
    }

    /// Reads packed literals, which begin at this position of their section; returns the next position.
    pub(super) fn read_literals(&self, position: u64, into: &mut [u8]) -> Result<u64> {
        let [.., place] = &self.places;
        let end = position + into.len() as u64;
        if end > place.end - place.start {
            return Err(invalid_delta("has too few literals"));
        }
        self.blob.file.read_exact_at(into, place.start + position).map_err(file_error)?;
        Ok(end)
    }

    /// Decompresses a table, at most as many bytes as its section states.
    fn table(&self, number: usize) -> Result<impl Read + use<>> {
        let place = self.places.get(number).cloned().unwrap_or_default();
        let raw = self.header.sections.get(number).map_or(0, |section| section.raw);
        let mut table = zstd::Decoder::new(self.blob.read(place)).map_err(file_error)?;
        table.window_log_max(limits::TABLE_WINDOW_LOG).map_err(file_error)?;
        Ok(BufReader::new(table.take(raw)))
    }
}

impl Header {
    fn old_layer_sizes(&self) -> Vec<u64> {
        self.old_layers.iter().map(|layer| layer.size).collect()
    }

    /// Checks the limits. Returns where the sections are in a file of `size` bytes, the first of them at `start`.
    fn places(&self, start: u64, size: u64) -> Result<[Range<u64>; 4]> {
        if self.old_layers.len() > limits::MAX_OLD_LAYERS {
            return Err(invalid_delta("needs too many old layers"));
        }
        if self.tar_size > limits::max_tar_bytes(self.target.size) {
            return Err(invalid_delta("makes more bytes than its layer can have"));
        }
        let names = self.sections.iter().map(|section| section.name.as_str());
        if !names.eq(SECTIONS) {
            return Err(invalid_delta("has unknown sections"));
        }
        let mut places = [const { 0..0 }; 4];
        let (mut at, limits) =
            (start, [limits::MAX_TABLE_BYTES, limits::MAX_TABLE_BYTES, MAX_RECORD_BYTES, u64::MAX]);
        for ((section, limit), place) in self.sections.iter().zip(limits).zip(&mut places) {
            let end = at.checked_add(section.size).filter(|end| *end <= size);
            let Some(end) = end.filter(|_| section.raw.max(section.size) <= limit) else {
                return Err(invalid_delta("has a section that is too large"));
            };
            *place = at..end;
            at = end;
        }
        if at == size { Ok(places) } else { Err(invalid_delta("has bytes after its end")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoder_hint_names_tool_if_known() {
        let hint = |family: &str, piece| EncoderHint { family: family.to_owned(), level: 5, piece };
        for (hint, text) in [
            (hint("b", Some(1 << 20)), "pgzip, level 5, pieces of 1 MiB"),
            (hint("z", None), "zlib or gzip, level 5"),
            (hint("unknown", None), "unknown encoder"),
            (hint("later", None), "later, level 5"),
        ] {
            assert_eq!(hint.to_string(), text);
        }
    }
}
