//! Reads the tar inside a layer, entry by entry, in one pass. Every entry is validated here before it is returned.

use std::io::{self, BufRead};

use super::entry::{
    Device, EntryKind, LayerEntry, MarkerName, Timestamp, clean, is_leftover, marker, split,
    whiteout_target,
};
use super::extensions::{Extensions, MAX_EXTENSION_BYTES, check_global};
use super::header::{Header, HeaderBlock, more_extents};
use super::input::{BLOCK, BlockReader, MAX_EXACT, Pass};
use super::invalid::invalid;
use super::pax_sparse::{PaxSparse, SparseMapParser};
use super::sparse::{Extent, SparseMap};

/// Longest path in bytes; the kernel accepts no more per call.
const MAX_PATH_BYTES: usize = 4095;

/// Most bytes of paths reserved by AUFS: they are kept in memory until the layer ends.
const MAX_AUFS_PATH_BYTES: usize = 64 << 20;

/// Device numbers of the kernel: 12 bits for the driver, 20 for its devices.
const MAJORS: u32 = 1 << 12;
const MINORS: u32 = 1 << 20;

/// Limits for one layer.
#[derive(Clone, Copy, Debug)]
pub struct EntryLimits {
    /// Entries.
    pub entries: u64,
}

impl Default for EntryLimits {
    fn default() -> Self {
        Self { entries: 5_000_000 }
    }
}

/// Reads the entries of one layer.
#[derive(Debug)]
pub struct Entries<R> {
    input: BlockReader<R>,
    limits: EntryLimits,
    count: u64,
    /// Bytes of the paths of leftovers so far.
    leftovers: usize,
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

/// A header with the extensions in front of it, before it is validated.
pub(super) struct RawEntry {
    pub(super) kind: u8,
    /// Owner and device are set by [`validate`].
    pub(super) entry: LayerEntry,
    owner: Option<i64>,
    group: Option<i64>,
    device: Option<(i64, i64)>,
    /// Stored bytes, and the extents they belong to.
    pub(super) stored: u64,
    map: Option<SparseMap>,
    pub(super) has_holes: bool,
    /// The rest of the map, between the header and the bytes.
    follows: SparseMapLocation,
}

pub(super) enum SparseMapLocation {
    Nothing,
    /// Extension blocks of the old GNU format.
    Blocks,
    /// Lines of text (PAX format 1.0), in blocks that count as stored bytes.
    Lines,
}

impl<R: BufRead> Entries<R> {
    /// Reads an uncompressed tar.
    pub fn new(tar: R, limits: EntryLimits) -> Self {
        Self {
            input: BlockReader::new(tar),
            limits,
            count: 0,
            leftovers: 0,
            body: EntryBody::default(),
        }
    }

    /// Like [`Entries::new`], for a reader with a cheaper way to skip bytes than reading them.
    pub(crate) fn passing(tar: R, pass: Pass<R>, limits: EntryLimits) -> Self {
        let input = BlockReader::passing(tar, pass);
        Self { input, limits, count: 0, leftovers: 0, body: EntryBody::default() }
    }

    /// Returns the next entry; `None` at the end. Skips what was not read of the entry before.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if it is not a tar, exceeds the limits, or could be read in two ways.
    pub fn next_entry(&mut self) -> io::Result<Option<LayerEntry>> {
        loop {
            let Some(raw) = self.next_raw()? else { return Ok(None) };
            if let Some(entry) = validate(raw)? {
                if entry.is_leftover() {
                    self.leftovers += entry.path.len() + entry.link.len();
                    if self.leftovers > MAX_AUFS_PATH_BYTES {
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

    fn skip_body(&mut self) -> io::Result<()> {
        let body = std::mem::take(&mut self.body);
        let extents = body.extents.iter().map(|extent| extent.length).sum::<u64>();
        self.input.skip(body.run + extents)?;
        // Some writers omit the padding of the last file (umoci). The digest shows whether more is missing.
        self.input.skip_available(body.padding)
    }

    /// Reads the next header of an entry, with the extension headers in front of it.
    pub(super) fn next_raw(&mut self) -> io::Result<Option<RawEntry>> {
        self.skip_body()?;
        let mut ahead = Extensions::default();
        loop {
            let first = self.count == 0 && ahead.is_empty();
            // The two empty blocks at the end are optional in practice (quay/claircore#683).
            if self.input.is_at_end()? {
                return end(&ahead);
            }
            let header = match Header::parse(self.input.read_exact(BLOCK)?) {
                HeaderBlock::Header(header) => header,
                HeaderBlock::EndOfArchive => {
                    // Some readers continue after one empty block.
                    let is_end = self.input.is_at_end()?
                        || matches!(
                            Header::parse(self.input.read_exact(BLOCK)?),
                            HeaderBlock::EndOfArchive
                        );
                    return if is_end {
                        end(&ahead)
                    } else {
                        Err(invalid("has data after the end-of-archive marker"))
                    };
                }
                HeaderBlock::Invalid if first => return Err(invalid("is not a tar")),
                HeaderBlock::Invalid => {
                    return Err(invalid("is corrupt: invalid tar header"));
                }
            };
            let own = header.size().ok_or_else(|| invalid("has an entry with an invalid size"))?;
            if let kind @ (b'L' | b'K' | b'x' | b'g') = header.kind() {
                let bytes = self.extension(own)?;
                match kind {
                    b'g' => check_global(&bytes)?,
                    b'x' => ahead.read_pax(&bytes)?,
                    kind => ahead.read_long(kind, &bytes)?,
                }
                continue;
            }
            let mut raw = read(header, own, &mut ahead)?;
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
        let mut lines = SparseMapParser::default();
        loop {
            match raw.follows {
                SparseMapLocation::Nothing => break,
                SparseMapLocation::Blocks => {
                    let next = more_extents(self.input.read_exact(BLOCK)?);
                    let (extents, again) = next.ok_or_else(invalid_map)?;
                    map.extend(extents)?;
                    if !again {
                        break;
                    }
                }
                SparseMapLocation::Lines => {
                    stored = stored.checked_sub(BLOCK as u64).ok_or_else(invalid_map)?;
                    if let Some(extents) = lines.read(self.input.read_exact(BLOCK)?)? {
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

/// Combines a header with the extensions in front of it.
fn read(header: Header<'_>, own: u64, ahead: &mut Extensions) -> io::Result<RawEntry> {
    let odd = |what: &'static str| move || invalid(what);
    let kind = header.kind();
    // These types have no bytes, whatever the header says. Go's `archive/tar`, which wrote most images, agrees.
    let stored = if matches!(kind, b'1'..=b'6') { 0 } else { ahead.size(own)? };
    if stored > i64::MAX.unsigned_abs() - BLOCK as u64 {
        return Err(invalid("has an entry with an invalid size"));
    }
    let (map, follows) = map(header, ahead)?;
    let mode = header.mode().ok_or_else(odd("has a malformed mode"))?;
    let time = header.mtime().ok_or_else(odd("has a malformed time"))?;
    let entry = LayerEntry {
        path: ahead.take_name(|| header.name())?,
        kind: EntryKind::File,
        mode: u32::try_from(mode & 0o7777).unwrap_or_default(),
        uid: 0,
        gid: 0,
        mtime: ahead.mtime.unwrap_or(Timestamp { seconds: time.max(0), nanoseconds: 0 }),
        size: map.as_ref().map_or(stored, |map| map.size),
        link: ahead.take_link(header.link())?,
        device: Device::default(),
        xattrs: std::mem::take(&mut ahead.xattrs),
    };
    let (owner, group) = (ahead.uid.or(header.uid()), ahead.gid.or(header.gid()));
    let has_holes = map.is_some();
    Ok(RawEntry {
        kind,
        entry,
        owner,
        group,
        device: header.device(),
        stored,
        map,
        has_holes,
        follows,
    })
}

/// Returns the sparse map of an entry, and where the rest of the map is.
fn map(
    header: Header<'_>,
    ahead: &mut Extensions,
) -> io::Result<(Option<SparseMap>, SparseMapLocation)> {
    let invalid_map = || invalid("has a sparse file with an invalid map");
    let (size, extents, follows) = match (header.kind(), ahead.take_sparse()?) {
        (b'S', None) => {
            let (extents, more, size) = header.sparse().ok_or_else(invalid_map)?;
            (
                size,
                extents,
                if more { SparseMapLocation::Blocks } else { SparseMapLocation::Nothing },
            )
        }
        (0 | b'0' | b'7', Some(PaxSparse { size, extents: Some(extents), .. })) => {
            (size, extents, SparseMapLocation::Nothing)
        }
        (0 | b'0' | b'7', Some(PaxSparse { size, extents: None, .. })) => {
            (size, Vec::new(), SparseMapLocation::Lines)
        }
        (_, None) => return Ok((None, SparseMapLocation::Nothing)),
        // A type without bytes, or two maps.
        (_, Some(_)) => return Err(invalid_map()),
    };
    let mut map = SparseMap::new(size);
    map.extend(extents)?;
    Ok((Some(map), follows))
}

/// The kind that a tar header's type flag stands for. `is_old_directory`: a name that ends in a slash, without content.
fn kind_of(type_flag: u8, is_old_directory: bool) -> io::Result<EntryKind> {
    Ok(match type_flag {
        // The oldest tars mark directories only by the slash.
        0 | b'0' if is_old_directory => EntryKind::Directory,
        0 | b'0' | b'7' | b'S' => EntryKind::File,
        b'1' => EntryKind::Hardlink,
        b'2' => EntryKind::Symlink,
        b'3' => EntryKind::Character,
        b'4' => EntryKind::Block,
        b'5' => EntryKind::Directory,
        b'6' => EntryKind::Fifo,
        other => {
            let reason = format!("has an entry of the unknown type '{}'", other.escape_ascii());
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
    })
}

/// Checks an entry and sets its type, owner and normalized names; `None` for AUFS metadata that no hard link can name.
fn validate(raw: RawEntry) -> io::Result<Option<LayerEntry>> {
    let (uid, gid) = (owner(raw.owner)?, owner(raw.group)?);
    let device = device(&raw)?;
    let RawEntry { kind, entry, .. } = raw;
    let mut entry = LayerEntry { uid, gid, device, ..entry };
    let slash = entry.path.ends_with(b"/");
    if entry.path.len() > MAX_PATH_BYTES || entry.link.len() > MAX_PATH_BYTES {
        return Err(invalid("has a name that is too long"));
    }
    entry.path = clean(&entry.path);
    entry.kind = kind_of(kind, slash && entry.size == 0)?;
    match marker(split(&entry.path).1) {
        MarkerName::None | MarkerName::AufsMetadata => {}
        MarkerName::Invalid => return Err(invalid("has a whiteout without a name")),
        MarkerName::Whiteout => {
            entry.kind = EntryKind::Whiteout;
            entry.path = whiteout_target(&entry.path);
        }
        MarkerName::Opaque => {
            entry.kind = EntryKind::Opaque;
            entry.path = split(&entry.path).0.to_vec();
        }
    }
    if is_leftover(&entry.path)
        && !matches!(entry.kind, EntryKind::File | EntryKind::Hardlink | EntryKind::Symlink)
    {
        return Ok(None);
    }
    match entry.kind {
        EntryKind::Directory | EntryKind::Opaque => {}
        _ if entry.path.is_empty() => {
            return Err(invalid("has a root entry that is not a directory"));
        }
        EntryKind::Hardlink => {
            entry.link = clean(&entry.link);
            if entry.link.is_empty() {
                return Err(invalid("has a hard link to a directory"));
            }
        }
        EntryKind::Symlink if entry.link.is_empty() => {
            return Err(invalid("has a link with an empty target"));
        }
        _ => {}
    }
    if !matches!(entry.kind, EntryKind::Hardlink | EntryKind::Symlink) {
        entry.link.clear();
    }
    if entry.kind != EntryKind::File {
        entry.size = 0;
    }
    Ok(Some(entry))
}

fn owner(id: Option<i64>) -> io::Result<u32> {
    // The largest number means "do not change" to the kernel.
    let id = id.and_then(|id| u32::try_from(id).ok()).filter(|id| *id != u32::MAX);
    id.ok_or_else(|| invalid("has an entry with an invalid uid or gid"))
}

fn device(raw: &RawEntry) -> io::Result<Device> {
    if !matches!(raw.kind, b'3' | b'4') {
        return Ok(Device::default());
    }
    let (major, minor) = raw.device.ok_or_else(|| invalid("has a malformed device"))?;
    let number = |number: i64, end: u32| {
        let number = u32::try_from(number).map_err(|_| invalid("has a malformed device"))?;
        // The kernel would use other bits of them and create another device.
        if number < end { Ok(number) } else { Err(invalid("has a device number out of range")) }
    };
    Ok(Device { major: number(major, MAJORS)?, minor: number(minor, MINORS)? })
}

fn end(ahead: &Extensions) -> io::Result<Option<RawEntry>> {
    if ahead.is_empty() {
        Ok(None)
    } else {
        Err(invalid("ends with an extension header that has no entry"))
    }
}

/// Bytes from the end of an entry of this size to the next one.
fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}
