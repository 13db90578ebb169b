//! Reads the tar inside a layer, entry by entry, in one pass. Every entry is validated before it is returned.

use std::io::{self, BufRead};

use super::decompress::CompressedTwice;
use super::entry::{EntryKind, LayerEntry};
use super::extensions::{Extensions, MAX_EXTENSION_BYTES, check_global};
use super::header::{ExtentBlock, Header, HeaderBlock};
use super::input::{BlockReader, MAX_EXACT, Pass};
use super::invalid::invalid;
use super::pax_sparse::SparseMapParser;
use super::raw_entry::{RawEntry, SparseMapLocation, combine, validate};
use super::sparse::Extent;
use crate::tar_block::BLOCK_BYTES;

use crate::setters::setters;

/// Maximum bytes of paths reserved by AUFS: they are kept in memory until the layer ends.
const MAX_AUFS_PATH_BYTES: usize = 64 << 20;

/// Limits for one layer.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EntryLimits {
    /// Entries.
    pub entries: u64,
    /// Refuses names and hard links with a `..`, which are otherwise resolved inside the root. For layers that are made for other
    /// programs to read.
    pub no_parent_names: bool,
}

impl Default for EntryLimits {
    fn default() -> Self {
        Self { entries: 5_000_000, no_parent_names: false }
    }
}

impl EntryLimits {
    setters! {
        value entries: u64;
        flag no_parent_names;
    }
}

/// Reads the entries of one layer.
#[derive(Debug)]
pub struct Entries<R> {
    input: BlockReader<R>,
    limits: EntryLimits,
    count: u64,
    /// Bytes of the paths reserved by AUFS so far.
    aufs_path_bytes: usize,
    body: EntryBody,
}

/// The bytes of the current entry that were not read yet.
#[derive(Debug, Default)]
struct EntryBody {
    /// Offset in the file of the next bytes.
    offset: u64,
    /// Stored bytes from there to the next hole.
    run: u64,
    /// The extents after that in reverse order.
    extents: Vec<Extent>,
    /// Bytes of padding after the last extent.
    padding: u64,
}

impl EntryBody {
    /// Bytes without holes and padding.
    fn stored(&self) -> u64 {
        self.run + self.extents.iter().map(|extent| extent.length).sum::<u64>()
    }
}

impl<R: BufRead> Entries<R> {
    /// Reads an uncompressed tar.
    pub fn new(tar: R, limits: EntryLimits) -> Self {
        Self {
            input: BlockReader::new(tar),
            limits,
            count: 0,
            aufs_path_bytes: 0,
            body: EntryBody::default(),
        }
    }

    /// Like [`Entries::new`], for a reader with a cheaper way to skip bytes than reading them.
    pub(crate) fn passing(tar: R, pass: Pass<R>, limits: EntryLimits) -> Self {
        let input = BlockReader::passing(tar, pass);
        Self { input, limits, count: 0, aufs_path_bytes: 0, body: EntryBody::default() }
    }

    /// Returns the next entry; `None` at the end. Skips what was not read of the entry before.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if it is not a tar, exceeds the limits, or could be read in two ways.
    pub fn next_entry(&mut self) -> io::Result<Option<LayerEntry>> {
        loop {
            let Some(raw) = self.next_raw()? else { return Ok(None) };
            if self.limits.no_parent_names && raw.has_parent_name() {
                return Err(invalid("has a name that leads out of its directory"));
            }
            if let Some(entry) = validate(raw)? {
                if entry.is_aufs_metadata() {
                    self.aufs_path_bytes += entry.path.len() + entry.link.len();
                    if self.aufs_path_bytes > MAX_AUFS_PATH_BYTES {
                        return Err(invalid("has too many AUFS entries"));
                    }
                }
                // Markers are stored as files. Their bytes have no meaning.
                if entry.kind != EntryKind::File {
                    self.skip_body()?;
                }
                return Ok(Some(entry));
            }
        }
    }

    /// Returns the next bytes of the current entry with their offset in the file; `None` at its end. Offsets skip
    /// holes.
    pub fn next_data(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        while self.body.run == 0 {
            let Some(next) = self.body.extents.pop() else { return Ok(None) };
            (self.body.offset, self.body.run) = (next.offset, next.length);
        }
        let chunk = self.input.chunk(self.body.run)?;
        let offset = self.body.offset;
        self.body.offset += chunk.len() as u64;
        self.body.run -= chunk.len() as u64;
        Ok(Some((offset, chunk)))
    }

    /// Reads to the end of the stream, beyond the end of the tar: the `diff_id` covers all of it.
    pub fn drain(mut self) -> io::Result<R> {
        self.input.drain()?;
        Ok(self.input.into_reader())
    }

    /// The reader, at a position after the end of the tar.
    pub(crate) fn into_reader(self) -> R {
        self.input.into_reader()
    }

    /// Position of the next byte of the tar: the first byte of the current entry, before its data is read.
    pub(super) fn position(&self) -> u64 {
        self.input.position()
    }

    /// Bytes of the current entry that were not read yet, with their padding.
    pub(super) fn body_length(&self) -> u64 {
        self.body.stored() + self.body.padding
    }

    pub(super) fn skip_body(&mut self) -> io::Result<()> {
        let body = std::mem::take(&mut self.body);
        self.input.skip(body.stored())?;
        // Some writers omit the padding of the last file (umoci). The digest shows whether more is missing.
        self.input.skip_available(body.padding)
    }

    /// Reads the next header of an entry, with the extension headers in front of it.
    pub(super) fn next_raw(&mut self) -> io::Result<Option<RawEntry>> {
        self.skip_body()?;
        let mut extensions = Extensions::default();
        loop {
            let first = self.count == 0 && extensions.is_empty();
            // The two empty blocks at the end are optional in practice (quay/claircore#683).
            if self.input.is_at_end()? {
                return end(&extensions);
            }
            let block = match self.input.read_exact(BLOCK_BYTES) {
                Ok(block) => block,
                Err(error) if first => {
                    return Err(CompressedTwice::error(self.input.incomplete()).unwrap_or(error));
                }
                Err(error) => return Err(error),
            };
            let header = match Header::parse(block) {
                HeaderBlock::Header(header) => header,
                HeaderBlock::EndOfArchive => {
                    // Some readers continue after one empty block.
                    let is_end = self.input.is_at_end()?
                        || matches!(
                            Header::parse(self.input.read_exact(BLOCK_BYTES)?),
                            HeaderBlock::EndOfArchive
                        );
                    return if is_end {
                        end(&extensions)
                    } else {
                        Err(invalid("has data after the end-of-archive marker"))
                    };
                }
                HeaderBlock::Invalid if first => {
                    return Err(
                        CompressedTwice::error(block).unwrap_or_else(|| invalid("is not a tar"))
                    );
                }
                HeaderBlock::Invalid => {
                    return Err(invalid("is corrupt: invalid tar header"));
                }
            };
            let size = header.size().ok_or_else(|| invalid("has an entry with an invalid size"))?;
            if let kind @ (b'L' | b'K' | b'x' | b'g') = header.kind() {
                let bytes = self.extension(size)?;
                match kind {
                    b'g' => check_global(&bytes)?,
                    b'x' => extensions.read_pax(&bytes)?,
                    kind => extensions.read_long(kind, &bytes)?,
                }
                continue;
            }
            let mut raw = combine(header, size, &mut extensions)?;
            self.body = self.body_of(&mut raw)?;
            self.count += 1;
            if self.count > self.limits.entries {
                return Err(invalid("has too many entries"));
            }
            return Ok(Some(raw));
        }
    }

    /// Reads the bytes of an extension header.
    fn extension(&mut self, size: u64) -> io::Result<Vec<u8>> {
        // Extension headers count as entries: each costs time, and there may be many in a row.
        self.count += 1;
        if size > MAX_EXTENSION_BYTES || self.count > self.limits.entries {
            return Err(invalid("has a header that is too large"));
        }
        let mut bytes = Vec::new();
        let mut left = size;
        while left > 0 {
            let chunk = self.input.chunk(left.min(MAX_EXACT as u64))?;
            bytes.extend_from_slice(chunk);
            left -= chunk.len() as u64;
        }
        self.input.skip(padding(size))?;
        Ok(bytes)
    }

    fn body_of(&mut self, raw: &mut RawEntry) -> io::Result<EntryBody> {
        let invalid_map = || invalid("has a sparse file with an invalid map");
        let mut stored = raw.stored;
        let padding = padding(stored);
        let Some(mut map) = raw.map.take() else {
            return Ok(EntryBody { run: stored, padding, ..EntryBody::default() });
        };
        let mut parser = SparseMapParser::default();
        loop {
            match raw.follows {
                SparseMapLocation::Nothing => break,
                SparseMapLocation::Blocks => {
                    let block = ExtentBlock::parse(self.input.read_exact(BLOCK_BYTES)?);
                    let block = block.ok_or_else(invalid_map)?;
                    map.extend(block.extents)?;
                    if !block.has_next {
                        break;
                    }
                }
                SparseMapLocation::Lines => {
                    stored = stored.checked_sub(BLOCK_BYTES as u64).ok_or_else(invalid_map)?;
                    if let Some(extents) = parser.read(self.input.read_exact(BLOCK_BYTES)?)? {
                        map.extend(extents)?;
                        break;
                    }
                }
            }
        }
        map.check(stored)?;
        map.extents.reverse();
        Ok(EntryBody { extents: map.extents, padding, ..EntryBody::default() })
    }
}

fn end(extensions: &Extensions) -> io::Result<Option<RawEntry>> {
    if extensions.is_empty() {
        Ok(None)
    } else {
        Err(invalid("ends with an extension header that has no entry"))
    }
}

/// Bytes from the end of an entry of this size to the next one.
fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK_BYTES as u64) - size
}
