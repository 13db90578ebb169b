//! The files of a layer by its table, and their chunks.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::ops::Range;

use bytes::Bytes;

use crate::digest::{Digest, Hasher};
use crate::layer::invalid::invalid;
use crate::layer::{Compression, LayerEntry, decompress};

/// Maximum bytes of a chunk, compressed and decompressed: it is in memory until it is verified.
const MAX_CHUNK_BYTES: u64 = 64 << 20;

/// Chunks are fetched together up to this many bytes.
const MAX_GROUP_BYTES: u64 = 8 << 20;

/// Zeros that are passed on at a time.
const ZEROS: &[u8] = &[0; 64 << 10];

/// The files of a layer.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) entries: Vec<LayerEntry>,
    pub(crate) contents: Contents,
}

/// Where the bytes of files are.
#[derive(Debug)]
pub(crate) struct Contents {
    /// The chunks in their order of each entry that is a file with bytes.
    pub(super) files: BTreeMap<u32, Vec<Chunk>>,
    pub(super) compression: Compression,
}

/// A part of a file that can be read alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Its compressed bytes in the layer, after those of the chunk before it; empty for zeros that are not stored.
    pub(super) range: Range<u64>,
    /// Decompressed bytes before it.
    pub(super) skip: u64,
    pub(super) size: u64,
    /// Not for zeros.
    pub(super) digest: Option<Digest>,
}

/// Chunks that are fetched with one request.
#[derive(Debug)]
pub(crate) struct Group {
    chunks: Vec<Chunk>,
    /// The bytes to fetch; empty if all are zeros.
    pub(crate) range: Range<u64>,
    compression: Compression,
}

impl Default for Contents {
    fn default() -> Self {
        Self { files: BTreeMap::new(), compression: Compression::Plain }
    }
}

impl Table {
    pub(super) fn push(&mut self, entry: LayerEntry, chunks: Vec<Chunk>) {
        let number = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.contents.files.insert(number, chunks);
        self.entries.push(entry);
    }

    /// Forgets where the bytes of the other files are.
    pub(crate) fn keep_contents(&mut self, is_needed: impl Fn(u32, &LayerEntry) -> bool) {
        let entry = |number: u32| self.entries.get(number as usize);
        let is_needed = |number: u32| entry(number).is_some_and(|entry| is_needed(number, entry));
        self.contents.files.retain(|number, _| is_needed(*number));
    }
}

impl Contents {
    /// Whether it is known where the bytes of this file are.
    pub(crate) fn has(&self, entry: u32) -> bool {
        self.files.contains_key(&entry)
    }

    /// The chunks of a file in their order, as they are fetched. `None` if only the whole layer gives them: one is too
    /// large.
    pub(crate) fn file(&self, entry: u32) -> Option<Vec<Group>> {
        let mut left = self.files.get(&entry).map_or(&[][..], |chunks| chunks);
        let fits = |chunk: &Chunk| {
            let Chunk { range, skip, size, .. } = chunk;
            let is_small = |bytes: u64| bytes <= MAX_CHUNK_BYTES;
            range.is_empty() || [range.end - range.start, *skip, *size].into_iter().all(is_small)
        };
        if !left.iter().all(fits) {
            return None;
        }
        let mut groups = Vec::new();
        while !left.is_empty() {
            let (count, range) = group(left);
            let (chunks, rest) = left.split_at(count);
            let (chunks, compression) = (chunks.to_vec(), self.compression);
            groups.push(Group { chunks, range, compression });
            left = rest;
        }
        Some(groups)
    }
}

/// Returns how many of the chunks are fetched with one request, at least one, and their bytes.
fn group(chunks: &[Chunk]) -> (usize, Range<u64>) {
    let mut all = 0..0;
    let fits = |chunk: &&Chunk| {
        if chunk.range.is_empty() {
            return true;
        }
        let start = if all.is_empty() { chunk.range.start } else { all.start };
        let grown = start..chunk.range.end;
        // A chunk that is too large, and those of the same member, are fetched all the same.
        let fits = all.is_empty() || grown == all || grown.end - start <= MAX_GROUP_BYTES;
        if fits {
            all = grown;
        }
        fits
    };
    (chunks.iter().take_while(fits).count(), all)
}

impl Group {
    /// Passes the decompressed bytes to `output`, each chunk after it was verified. `bytes` are those of the range, and
    /// `fail` makes the error for a chunk that does not have the size and digest of the table.
    ///
    /// # Errors
    /// Those of `output` and `fail`.
    pub(crate) fn read<E>(
        &self,
        bytes: &Bytes,
        fail: impl Fn(io::Error) -> E,
        mut output: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut open = None;
        for chunk in &self.chunks {
            let Some(digest) = &chunk.digest else {
                let mut left = chunk.size;
                while left > 0 {
                    let zeros = ZEROS.get(..usize::try_from(left).unwrap_or(usize::MAX));
                    let zeros = zeros.unwrap_or(ZEROS);
                    output(zeros)?;
                    left -= zeros.len() as u64;
                }
                continue;
            };
            let content = self.chunk(chunk, bytes, &mut open).map_err(&fail)?;
            check("a chunk", digest, &content).map_err(&fail)?;
            output(&content)?;
        }
        Ok(())
    }

    /// Decompresses a chunk, out of the same member as the one before it if that is `open`.
    fn chunk<'a>(
        &self,
        chunk: &Chunk,
        bytes: &'a Bytes,
        open: &mut Option<OpenMember<'a>>,
    ) -> io::Result<Vec<u8>> {
        let Range { start, end } = chunk.range;
        let new = || {
            let first = self.range.start;
            let at = |position: u64| usize::try_from(position - first).unwrap_or(usize::MAX);
            let own = bytes.get(at(start)..at(end)).unwrap_or_default();
            let inside = decompress(self.compression, Cursor::new(own))?;
            io::Result::Ok(OpenMember { start, position: 0, inside })
        };
        let member = open.take().filter(|open| open.start == start);
        let member = member.map_or_else(new, Ok)?;
        open.insert(member).part(chunk.skip, chunk.size)
    }
}

/// The decompressed bytes of a gzip member or zstd frame, and how far it is read.
struct OpenMember<'a> {
    start: u64,
    position: u64,
    inside: Box<dyn Read + Send + 'a>,
}

impl OpenMember<'_> {
    /// Reads bytes after those that were read.
    fn part(&mut self, skip: u64, size: u64) -> io::Result<Vec<u8>> {
        let before = skip.saturating_sub(self.position);
        io::copy(&mut self.inside.by_ref().take(before), &mut io::sink())?;
        let mut content = Vec::new();
        self.inside.by_ref().take(size).read_to_end(&mut content)?;
        if content.len() as u64 != size {
            return Err(invalid("has a chunk of another size than its table of contents says"));
        }
        self.position = skip + size;
        Ok(content)
    }
}

/// Checks the digest of a part of a layer.
///
/// # Errors
/// A mismatch, with the name of the part.
pub(super) fn check(part: &str, expected: &Digest, bytes: &[u8]) -> io::Result<()> {
    let mut hasher = Hasher::new(expected.algorithm().map_err(io::Error::other)?);
    hasher.update(bytes);
    let found = hasher.finish();
    if found == *expected {
        return Ok(());
    }
    let reason = format!("digest mismatch of {part}: expected {expected}, got {found}");
    Err(io::Error::new(io::ErrorKind::InvalidData, reason))
}
