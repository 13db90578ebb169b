//! Where the table of a layer is, by its annotations and its last bytes.

use std::io::{self, BufReader, Cursor, Read as _};
use std::ops::Range;

use bytes::Bytes;

use super::build;
use super::table::{Chunk, Table, check};
use crate::control::Control;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::layer::entries::{Entries, EntryLimits};
use crate::layer::invalid::invalid;
use crate::layer::{Compression, decompress};
use crate::tar_block::BLOCK_BYTES;

/// Digest and position of a zstd:chunked table. The second pair is of buildah 1.28 and podman 4.3, and older.
const ZSTD_KEYS: [(&str, &str); 2] = [
    (
        "io.github.containers.zstd-chunked.manifest-checksum",
        "io.github.containers.zstd-chunked.manifest-position",
    ),
    (
        "io.containers.zstd-chunked.manifest-checksum",
        "io.containers.zstd-chunked.manifest-position",
    ),
];
const GZIP_KEY: &str = "containerd.io/snapshot/stargz/toc.digest";

/// Name of the table in the tar of an eStargz layer.
const GZIP_TABLE: &[u8] = b"stargz.index.json";

/// Bytes of the last gzip member of an eStargz layer, which has the position of the table.
const FOOTER_LEN: usize = 51;

/// Bytes at the end of an eStargz layer that are fetched first: most tables fit.
const TAIL_LEN: u64 = 512 << 10;

/// A layer up to this size is read as a whole: that is one request.
const MIN_LAYER_BYTES: u64 = 32 << 10;

/// Maximum bytes of a table, compressed and decompressed. A larger one is not used.
const MAX_TABLE_BYTES: u64 = 64 << 20;

/// Where a layer has its table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TableLocation {
    /// Bytes to fetch.
    pub(crate) range: Range<u64>,
    compression: Compression,
    /// Digest of the compressed table for zstd, of its JSON for gzip.
    digest: Digest,
    /// Decompressed bytes, if known.
    size: Option<u64>,
    /// Whether the range is that of a footer, so that another one cannot be right.
    is_final: bool,
    /// Whether the layer has the annotations of both formats, which may be those of other bytes.
    has_both: bool,
}

/// What the bytes of a [`TableLocation`] give.
#[derive(Debug)]
pub(crate) enum TableLookup {
    Table(Box<Table>),
    /// The table begins before the bytes that were fetched: this range has it. Returned at most once per layer.
    Further(TableLocation),
    /// There is no table, or not one that is understood.
    None,
}

impl TableLocation {
    /// Reads the annotations of a layer. `None` if it has no table, or not one of these two kinds.
    ///
    /// A layer may have the annotations of both: stargz-snapshotter writes them to zstd:chunked layers, and leaves them when
    /// it compresses a layer again. Then the table in the compression that the media type names is looked for, and if the
    /// annotated one is not there, the annotations are those of other bytes: there is no table. A media type that names no
    /// compression leaves the only annotation.
    ///
    /// # Errors
    /// If the table is not inside of the layer.
    pub(crate) fn from_annotations(layer: &Descriptor) -> io::Result<Option<Self>> {
        if layer.size <= MIN_LAYER_BYTES {
            return Ok(None);
        }
        let get = |key: &str| layer.annotations.get(key).map(String::as_str);
        let digest = |text: &str| {
            let digest = text.parse::<Digest>().ok();
            digest.filter(|digest| digest.algorithm().is_ok())
        };
        let zstd = ZSTD_KEYS.iter().find_map(|(digest, at)| Some((get(digest)?, get(at)?)));
        let has_both = zstd.is_some() && get(GZIP_KEY).is_some();
        let of_type =
            |ends: &[&str]| ends.iter().any(|end| layer.media_type.as_str().ends_with(end));
        let (is_zstd, is_gzip) = (of_type(&["+zstd", ".zstd"]), of_type(&["+gzip", ".gzip"]));
        match (zstd.filter(|_| !is_gzip), get(GZIP_KEY).filter(|_| !is_zstd)) {
            (Some((checksum, position)), None) => {
                let Some(digest) = digest(checksum) else { return Ok(None) };
                match Self::zstd(digest, position, layer.size) {
                    Err(_) if has_both => Ok(None),
                    found => Ok(found?.map(|found| Self { has_both, ..found })),
                }
            }
            (None, Some(checksum)) => {
                let Some(digest) = digest(checksum) else { return Ok(None) };
                let range = layer.size - TAIL_LEN.min(layer.size / 2)..layer.size;
                let compression = Compression::Gzip;
                let (size, is_final) = (None, false);
                Ok(Some(Self { range, compression, digest, size, is_final, has_both }))
            }
            _ => Ok(None),
        }
    }

    fn zstd(digest: Digest, position: &str, layer_size: u64) -> io::Result<Option<Self>> {
        let numbers: Result<Vec<u64>, _> = position.split(':').map(str::parse).collect();
        let Ok([offset, length, size, 1]) = numbers.as_deref() else { return Ok(None) };
        let end = offset.checked_add(*length).filter(|end| *length > 0 && *end <= layer_size);
        let range = *offset..end.ok_or_else(outside)?;
        if *length > MAX_TABLE_BYTES || *size > MAX_TABLE_BYTES {
            return Ok(None);
        }
        let (compression, size) = (Compression::Zstd, Some(*size));
        let (is_final, has_both) = (true, false);
        Ok(Some(Self { range, compression, digest, size, is_final, has_both }))
    }

    /// Reads the table from the bytes of the range.
    ///
    /// # Errors
    /// If the table does not have the annotated digest, is malformed, or names bytes outside of the layer.
    pub(crate) fn open(self, bytes: &Bytes, control: &Control) -> io::Result<TableLookup> {
        let may_be_absent = self.has_both;
        match self.open_annotated(bytes, control) {
            Err(_) if may_be_absent && !control.cancel.is_cancelled() => Ok(TableLookup::None),
            opened => opened,
        }
    }

    fn open_annotated(self, bytes: &Bytes, control: &Control) -> io::Result<TableLookup> {
        let table = match self.size {
            Some(size) => {
                check("its table of contents", &self.digest, bytes)?;
                let mut json = Vec::new();
                let inside = decompress(Compression::Zstd, Cursor::new(bytes))?;
                inside.take(size + 1).read_to_end(&mut json)?;
                if size != json.len() as u64 {
                    return Err(invalid("has a table of contents of another size"));
                }
                build::table(&json, self.range.start, Compression::Zstd, control)?
            }
            None => return self.open_gzip(bytes, control),
        };
        Ok(table.map_or(TableLookup::None, |table| TableLookup::Table(Box::new(table))))
    }

    fn open_gzip(self, bytes: &Bytes, control: &Control) -> io::Result<TableLookup> {
        let Some(offset) = footer(bytes) else { return Ok(TableLookup::None) };
        let Range { start, end } = self.range;
        if offset >= end - FOOTER_LEN as u64 {
            return Err(outside());
        }
        if end - offset > MAX_TABLE_BYTES {
            return Ok(TableLookup::None);
        }
        let Some(skip) = offset.checked_sub(start) else {
            if self.is_final {
                return Err(outside());
            }
            return Ok(TableLookup::Further(Self { range: offset..end, is_final: true, ..self }));
        };
        let member = bytes.get(usize::try_from(skip).unwrap_or(usize::MAX)..).unwrap_or_default();
        let tar = BufReader::new(decompress(Compression::Gzip, Cursor::new(member))?);
        let mut entries = Entries::new(tar, EntryLimits::default());
        let entry = entries.next_entry()?.filter(|entry| entry.path == GZIP_TABLE);
        let entry = entry.ok_or_else(|| invalid("has no table of contents where it says"))?;
        if entry.size > MAX_TABLE_BYTES {
            return Ok(TableLookup::None);
        }
        let mut json = Vec::new();
        while let Some((_, bytes)) = entries.next_data()? {
            json.extend_from_slice(bytes);
        }
        check("its table of contents", &self.digest, &json)?;
        let Some(mut table) = build::table(&json, offset, Compression::Gzip, control)? else {
            return Ok(TableLookup::None);
        };
        // The table is a file of the layer as well, and does not name itself.
        let (range, skip, digest) = (offset..end, BLOCK_BYTES as u64, Some(self.digest));
        let chunk = Chunk { range, skip, size: entry.size, digest };
        table.push(entry, vec![chunk]);
        Ok(TableLookup::Table(Box::new(table)))
    }
}

fn outside() -> io::Error {
    invalid("has a table of contents outside of its bytes")
}

/// Returns the position of the table from the end of an eStargz layer.
fn footer(bytes: &[u8]) -> Option<u64> {
    let footer = bytes.get(bytes.len().checked_sub(FOOTER_LEN)?..)?;
    let field = footer.strip_prefix(b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x1a\0SG\x16\0")?;
    let (digits, rest) = field.split_at_checked(16)?;
    rest.starts_with(b"STARGZ").then_some(())?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
