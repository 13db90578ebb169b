//! Builds a table of contents from its JSON, one entry at a time, and validates it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::item::{TocEntry, TocError};
use super::table::{Chunk, Table};
use crate::control::Control;
use crate::digest::Digest;
use crate::layer::entries::EntryLimits;
use crate::layer::invalid::invalid;
use crate::layer::sparse::check_file_size;
use crate::layer::{Compression, EntryKind};

#[derive(serde::Deserialize)]
struct TocJson<'a> {
    version: Option<serde_json::Value>,
    /// Those of another version may be of another shape.
    #[serde(borrow)]
    entries: Option<&'a RawValue>,
}

/// Parses a table, `None` if it is of a kind that is not known here. `end` is its own position: the bytes of files are
/// before it.
///
/// # Errors
/// If it is malformed or contradicts itself; [`ErrorKind::Interrupted`](crate::error::ErrorKind::Interrupted) inside.
pub(super) fn table(
    json: &[u8],
    end: u64,
    compression: Compression,
    control: &Control,
) -> io::Result<Option<Table>> {
    let malformed = |error: serde_json::Error| {
        let reason = format!("has a malformed table of contents: {error}");
        io::Error::new(io::ErrorKind::InvalidData, reason)
    };
    let TocJson { version, entries } = serde_json::from_slice(json).map_err(malformed)?;
    if version != Some(1.into()) {
        return Ok(None);
    }
    let mut builder = Builder::default();
    if let Some(entries) = entries {
        let mut json = serde_json::Deserializer::from_str(entries.get());
        let parsed = TocEntries { builder: &mut builder, control }.deserialize(&mut json);
        control.check("read").map_err(io::Error::other)?;
        parsed.map_err(malformed)?;
    }
    match builder.finish(end, compression) {
        Ok(table) => Ok(Some(table)),
        Err(TocError::Unknown) => Ok(None),
        Err(TocError::Invalid(error)) => Err(error),
    }
}

/// A table while its entries are read.
#[derive(Default)]
struct Builder {
    table: Table,
    file: Option<OpenFile>,
    error: Option<TocError>,
}

/// A file whose chunks follow it in the table.
struct OpenFile {
    name: String,
    digest: String,
    size: u64,
    /// End of its compressed bytes; 0 if not said.
    end: u64,
    /// Bytes of the chunks so far.
    position: u64,
    chunks: Vec<Chunk>,
}

impl Builder {
    fn item(&mut self, item: &TocEntry) -> Result<(), TocError> {
        if item.kind == "chunk" {
            let open = self.file.as_mut().filter(|file| file.name == item.name);
            return open.ok_or_else(|| invalid("has a chunk without a file"))?.chunk(item);
        }
        self.close()?;
        let Some(entry) = item.entry()? else { return Ok(()) };
        if self.table.entries.len() as u64 >= EntryLimits::default().entries {
            return Err(invalid("has too many entries").into());
        }
        let is_file = entry.kind == EntryKind::File && entry.size > 0;
        self.table.entries.push(entry);
        if is_file {
            self.file.insert(OpenFile::new(item)).chunk(item)?;
        }
        Ok(())
    }

    /// Ends the file whose chunks were read.
    fn close(&mut self) -> Result<(), TocError> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let number = u32::try_from(self.table.entries.len() - 1).unwrap_or(u32::MAX);
        self.table.contents.files.insert(number, file.complete()?);
        Ok(())
    }

    fn finish(mut self, end: u64, compression: Compression) -> Result<Table, TocError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        self.close()?;
        let contents = &mut self.table.contents;
        contents.compression = compression;
        locate(&mut contents.files, end)?;
        Ok(self.table)
    }
}

impl OpenFile {
    fn new(item: &TocEntry) -> Self {
        Self {
            name: item.name.clone(),
            digest: item.digest.clone(),
            size: item.size,
            end: item.end_offset,
            position: 0,
            chunks: Vec::new(),
        }
    }

    /// Adds a chunk, whose end is not known yet.
    fn chunk(&mut self, item: &TocEntry) -> Result<(), TocError> {
        let left = self.size - self.position;
        let size = if item.chunk_size == 0 { left } else { item.chunk_size };
        if item.chunk_offset != self.position || size > left || left == 0 {
            return Err(invalid("has a file whose chunks overlap or have gaps").into());
        }
        self.position += size;
        let (range, skip) = match &*item.chunk_type {
            "" => (item.offset..u64::MAX, item.inner_offset),
            "zeros" => {
                check_file_size(self.size)?;
                (0..0, 0)
            }
            _ => return Err(TocError::Unknown),
        };
        if range.start == u64::MAX {
            return Err(outside().into());
        }
        let digest = if range.is_empty() { None } else { digest(&item.chunk_digest)? };
        self.chunks.push(Chunk { range, skip, size, digest });
        Ok(())
    }

    /// Checks that the chunks are the whole file.
    fn complete(mut self) -> Result<Vec<Chunk>, TocError> {
        if self.position != self.size {
            return Err(invalid("has a file whose chunks are not all of it").into());
        }
        if let [only] = &mut self.chunks[..]
            && only.digest.is_none()
            && !only.range.is_empty()
        {
            only.digest = digest(&self.digest)?;
        }
        let mut last = None;
        for chunk in self.chunks.iter_mut().filter(|chunk| !chunk.range.is_empty()) {
            if chunk.digest.is_none() {
                return Err(TocError::Unknown);
            }
            let at = (chunk.range.start, chunk.skip);
            if last.as_ref().is_some_and(|last: &&mut Chunk| (last.range.start, last.skip) >= at) {
                return Err(invalid("has a file whose chunks are out of order").into());
            }
            last = Some(chunk);
        }
        if let Some(last) = last
            && self.end != 0
        {
            if self.end <= last.range.start {
                return Err(outside().into());
            }
            last.range.end = self.end;
        }
        Ok(self.chunks)
    }
}

/// Sets and checks the ends of all chunks: each is at most the start of the next one.
fn locate(files: &mut BTreeMap<u32, Vec<Chunk>>, end: u64) -> io::Result<()> {
    let overlap = || invalid("has files that overlap in its table of contents");
    let stored = files.values_mut().flatten().filter(|chunk| !chunk.range.is_empty());
    let mut chunks: Vec<&mut Chunk> = stored.collect();
    chunks.sort_unstable_by_key(|chunk| (chunk.range.start, chunk.skip));
    // The next start, and of the chunks that begin there what they leave of its decompressed bytes.
    let (mut next, mut start, mut free) = (end, end, 0);
    for chunk in chunks.into_iter().rev() {
        if chunk.range.start < start {
            (next, start, free) = (start, chunk.range.start, u64::MAX);
        }
        if chunk.range.end == u64::MAX {
            chunk.range.end = next;
        }
        let range = &chunk.range;
        if range.start >= range.end || range.end > end {
            return Err(outside());
        }
        // Small files may share a gzip member or zstd frame.
        let fits = chunk.skip.checked_add(chunk.size).is_some_and(|inner| inner <= free);
        if range.end > next || !fits {
            return Err(overlap());
        }
        free = chunk.skip;
    }
    Ok(())
}

fn outside() -> io::Error {
    invalid("has a table of contents that points outside of its bytes")
}

fn digest(text: &str) -> Result<Option<Digest>, TocError> {
    if text.is_empty() {
        return Ok(None);
    }
    let digest: Digest = text.parse().map_err(|_| invalid("has a file with an invalid digest"))?;
    digest.algorithm().map_err(|_| TocError::Unknown)?;
    Ok(Some(digest))
}

/// Reads the entries one after the other.
struct TocEntries<'a> {
    builder: &'a mut Builder,
    control: &'a Control,
}

impl<'de> DeserializeSeed<'de> for TocEntries<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for TocEntries<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<TocEntry>()? {
            if self.control.cancel.is_cancelled() {
                return Err(A::Error::custom("interrupted"));
            }
            if let Err(error) = self.builder.item(&item) {
                self.builder.error = Some(error);
                while items.next_element::<IgnoredAny>()?.is_some() {}
                break;
            }
        }
        Ok(())
    }
}
