//! One entry of a layer: its header combined with the extensions in front of it, and the validation of both.

use std::io;

use super::entry::{
    Device, EntryKind, LayerEntry, MarkerName, Timestamp, clean, is_aufs_metadata, marker, split,
    whiteout_target,
};
use super::extensions::Extensions;
use super::header::Header;
use super::invalid::invalid;
use super::pax_sparse::PaxSparse;
use super::sparse::SparseMap;
use crate::tar_block::BLOCK_BYTES;

/// Longest path in bytes; the kernel accepts no more per call.
const MAX_PATH_BYTES: usize = 4095;

/// Device numbers of the kernel: 12 bits for the driver, 20 for its devices.
const MAJORS: u32 = 1 << 12;
const MINORS: u32 = 1 << 20;

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
    pub(super) map: Option<SparseMap>,
    pub(super) has_holes: bool,
    /// The rest of the map, between the header and the bytes.
    pub(super) follows: SparseMapLocation,
}

impl RawEntry {
    /// Whether its name, or the file that it is another name of, has a `..`.
    pub(super) fn has_parent_name(&self) -> bool {
        let leads_up = |path: &[u8]| path.split(|&byte| byte == b'/').any(|part| part == b"..");
        leads_up(&self.entry.path) || (self.kind == b'1' && leads_up(&self.entry.link))
    }
}

pub(super) enum SparseMapLocation {
    Nothing,
    /// Extension blocks of the old GNU format.
    Blocks,
    /// Lines of text (PAX format 1.0), in blocks that count as stored bytes.
    Lines,
}

/// Combines a header with the extensions in front of it.
pub(super) fn combine(
    header: Header<'_>,
    size_in_header: u64,
    extensions: &mut Extensions,
) -> io::Result<RawEntry> {
    let kind = header.kind();
    // These types have no bytes, whatever the header says. Go's `archive/tar`, which wrote most images, agrees.
    let stored = if matches!(kind, b'1'..=b'6') { 0 } else { extensions.size(size_in_header)? };
    if stored > i64::MAX.unsigned_abs() - BLOCK_BYTES as u64 {
        return Err(invalid("has an entry with an invalid size"));
    }
    let (map, follows) = sparse_map(header, extensions)?;
    let mode = header.mode().ok_or_else(|| invalid("has a malformed mode"))?;
    let time = header.mtime().ok_or_else(|| invalid("has a malformed time"))?;
    let entry = LayerEntry {
        path: extensions.take_name(|| header.name())?,
        kind: EntryKind::File,
        mode: u32::try_from(mode & 0o7777).unwrap_or_default(),
        uid: 0,
        gid: 0,
        mtime: extensions.mtime.unwrap_or(Timestamp { seconds: time.max(0), nanoseconds: 0 }),
        size: map.as_ref().map_or(stored, |map| map.size),
        link: extensions.take_link(header.link())?,
        device: Device::default(),
        xattrs: std::mem::take(&mut extensions.xattrs),
    };
    // GNU tar and libarchive create a directory and drop the bytes, Go a file.
    if stored > 0 && matches!(kind, 0 | b'0' | b'7' | b'S') && entry.path.ends_with(b"/") {
        return Err(invalid("has a file whose name ends in a slash"));
    }
    let (owner, group) = (extensions.uid.or(header.uid()), extensions.gid.or(header.gid()));
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
fn sparse_map(
    header: Header<'_>,
    extensions: &mut Extensions,
) -> io::Result<(Option<SparseMap>, SparseMapLocation)> {
    let invalid_map = || invalid("has a sparse file with an invalid map");
    let (size, extents, follows) = match (header.kind(), extensions.take_sparse()?) {
        (b'S', None) => {
            let (block, size) = header.sparse().ok_or_else(invalid_map)?;
            let follows =
                if block.has_next { SparseMapLocation::Blocks } else { SparseMapLocation::Nothing };
            (size, block.extents, follows)
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
pub(super) fn validate(raw: RawEntry) -> io::Result<Option<LayerEntry>> {
    let (uid, gid) = (owner(raw.owner)?, owner(raw.group)?);
    let device = device(&raw)?;
    let RawEntry { kind, entry, .. } = raw;
    let mut entry = LayerEntry { uid, gid, device, ..entry };
    let is_old_directory = entry.path.ends_with(b"/") && entry.size == 0;
    entry.kind = kind_of(kind, is_old_directory)?;
    normalize(entry)
}

/// Normalizes names, recognizes markers, and checks what each type may have. Owner and device are checked already.
pub(super) fn normalize(mut entry: LayerEntry) -> io::Result<Option<LayerEntry>> {
    if entry.path.len() > MAX_PATH_BYTES || entry.link.len() > MAX_PATH_BYTES {
        return Err(invalid("has a name that is too long"));
    }
    entry.path = clean(&entry.path);
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
    if is_aufs_metadata(&entry.path)
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

pub(super) fn owner(id: Option<i64>) -> io::Result<u32> {
    // The largest number means "do not change" to the kernel.
    let id = id.and_then(|id| u32::try_from(id).ok()).filter(|id| *id != u32::MAX);
    id.ok_or_else(|| invalid("has an entry with an invalid uid or gid"))
}

fn device(raw: &RawEntry) -> io::Result<Device> {
    if !matches!(raw.kind, b'3' | b'4') {
        return Ok(Device::default());
    }
    let (major, minor) = raw.device.ok_or_else(|| invalid("has a malformed device"))?;
    device_number(major, minor)
}

pub(super) fn device_number(major: i64, minor: i64) -> io::Result<Device> {
    let number = |number: i64, end: u32| {
        let number = u32::try_from(number).map_err(|_| invalid("has a malformed device"))?;
        // The kernel would use other bits of them and create another device.
        if number < end { Ok(number) } else { Err(invalid("has a device number out of range")) }
    };
    Ok(Device { major: number(major, MAJORS)?, minor: number(minor, MINORS)? })
}
