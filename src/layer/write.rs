//! Writes an entry's tar header, preceded by a PAX header if the fields are too small. Equal entries give equal bytes.
//! Spec: POSIX `pax`, "ustar Interchange Format" and "Extended Header".

use super::entry::{EntryKind, LayerEntry};
use crate::tar_block::{BLOCK_BYTES, Dialect, NAME_BYTES, PREFIX_BYTES, TarBlock, octal};

/// The header of an entry, whose bytes follow padded to whole blocks. Empty for whiteouts and opaque markers, which are
/// no files.
pub fn header(entry: &LayerEntry) -> Vec<u8> {
    let Some(kind) = type_flag(entry.kind) else { return Vec::new() };
    let name = name_in_tar(entry);
    let mut pax = PaxWriter::default();
    let (prefix, own) = split(&name).unwrap_or_else(|| {
        pax.record(b"path", &name);
        (b"", name.get(..NAME_BYTES).unwrap_or_default())
    });
    if entry.link.len() > NAME_BYTES {
        pax.record(b"linkpath", &entry.link);
    }
    let size = pax.number("size", entry.size, 12);
    let uid = pax.number("uid", entry.uid.into(), 8);
    let gid = pax.number("gid", entry.gid.into(), 8);
    let seconds = u64::try_from(entry.mtime.seconds).unwrap_or_default();
    let mtime = octal(seconds, 12).filter(|_| entry.mtime.nanoseconds == 0);
    if mtime.is_none() {
        let text = format!("{seconds}.{:09}", entry.mtime.nanoseconds);
        pax.record(b"mtime", text.trim_end_matches('0').trim_end_matches('.').as_bytes());
    }
    for (key, value) in &entry.xattrs {
        pax.record(&[b"SCHILY.xattr.", &key[..]].concat(), value);
    }
    let mut bytes = pax.into_entry();
    TarBlock {
        name: own,
        mode: entry.mode,
        uid,
        gid,
        size,
        mtime: mtime.unwrap_or_else(|| octal(seconds, 12).unwrap_or_default()),
        kind,
        link: entry.link.get(..NAME_BYTES).unwrap_or(&entry.link),
        device: [entry.device.major, entry.device.minor].map(device),
        prefix,
    }
    .write(Dialect::Pax, &mut bytes);
    bytes
}

fn type_flag(kind: EntryKind) -> Option<u8> {
    Some(match kind {
        EntryKind::File => b'0',
        EntryKind::Hardlink => b'1',
        EntryKind::Symlink => b'2',
        EntryKind::Character => b'3',
        EntryKind::Block => b'4',
        EntryKind::Directory => b'5',
        EntryKind::Fifo => b'6',
        EntryKind::Whiteout | EntryKind::Opaque => return None,
    })
}

/// The name of the entry in its header.
pub(crate) fn name_in_tar(entry: &LayerEntry) -> Vec<u8> {
    let mut name = entry.path.clone();
    if name.is_empty() {
        name.push(b'.');
    }
    if entry.kind == EntryKind::Directory {
        name.push(b'/');
    }
    name
}

/// Splits a name into the two fields of the header; `None` if it does not fit.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= NAME_BYTES {
        return Some((b"", name));
    }
    // The last byte of a directory's name is a slash too, and a name is not empty.
    let slashes = name.iter().take(PREFIX_BYTES + 1).enumerate().filter(|(_, byte)| **byte == b'/');
    let mut splits = slashes.map(|(at, _)| name.split_at(at));
    splits.find_map(|(prefix, rest)| {
        Some((prefix, rest.strip_prefix(b"/")?))
            .filter(|(_, rest)| (1..=NAME_BYTES).contains(&rest.len()))
    })
}

/// A device number field: all numbers of the kernel fit, and layers have no others.
fn device(number: u32) -> Vec<u8> {
    octal(number.into(), 8).unwrap_or_default()
}

/// PAX records for the entry that follows.
#[derive(Default)]
struct PaxWriter(Vec<u8>);

impl PaxWriter {
    fn record(&mut self, key: &[u8], value: &[u8]) {
        // Space, equals sign and newline; the length counts itself.
        let rest = key.len() + value.len() + 3;
        let mut length = rest;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        self.0.extend_from_slice(length.to_string().as_bytes());
        for part in [b" ", key, b"=", value, b"\n"] {
            self.0.extend_from_slice(part);
        }
    }

    /// A number field, with a PAX record if it does not fit.
    fn number(&mut self, key: &str, value: u64, width: usize) -> Vec<u8> {
        octal(value, width).unwrap_or_else(|| {
            self.record(key.as_bytes(), value.to_string().as_bytes());
            octal(0, width).unwrap_or_default()
        })
    }

    /// The records as an entry of their own; empty without records.
    fn into_entry(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.0.is_empty() {
            return bytes;
        }
        let zero = |width| octal(0, width).unwrap_or_default();
        TarBlock {
            name: b"././@PaxHeader",
            mode: 0o644,
            uid: zero(8),
            gid: zero(8),
            size: octal(self.0.len() as u64, 12).unwrap_or_default(),
            mtime: zero(12),
            kind: b'x',
            link: b"",
            device: [zero(8), zero(8)],
            prefix: b"",
        }
        .write(Dialect::Pax, &mut bytes);
        bytes.extend_from_slice(&self.0);
        bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::layer::{Device, Entries, EntryLimits, Timestamp};

    fn read_back(entry: &LayerEntry) -> LayerEntry {
        let mut tar = header(entry);
        assert_eq!(tar.len() % BLOCK_BYTES, 0);
        let size = usize::try_from(entry.size.min(1 << 20)).unwrap();
        tar.resize(tar.len() + size.next_multiple_of(BLOCK_BYTES), 0);
        let read = Entries::new(&tar[..], EntryLimits::default()).next_entry();
        read.unwrap_or_else(|error| panic!("{error}: {entry:?}")).unwrap()
    }

    fn plain(kind: EntryKind, path: &[u8]) -> LayerEntry {
        LayerEntry {
            path: path.to_vec(),
            kind,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
            size: 0,
            link: Vec::new(),
            device: Device::default(),
            xattrs: Vec::new(),
        }
    }

    #[test]
    fn header_uses_fewest_blocks_for_name() {
        let deep = |length: usize| [vec![b'd'; length], vec![b'/'], vec![b'n'; 100]].concat();
        for (path, blocks) in [
            (vec![b'n'; 100], 1),
            (vec![b'n'; 101], 3),
            (deep(155), 1),
            (deep(156), 3),
            (deep(1), 1),
            (b"\xff/\n".repeat(80), 1),
            (b"\xffabc".repeat(80), 3),
            (vec![b'n'; 1000], 4),
        ] {
            let path = path.strip_suffix(b"/").unwrap_or(&path).to_vec();
            let entry = plain(EntryKind::File, &path);
            assert_eq!(header(&entry).len(), blocks * BLOCK_BYTES, "{}", path.escape_ascii());
            assert_eq!(read_back(&entry), entry);
            let link = LayerEntry { link: path.clone(), ..plain(EntryKind::Symlink, &path) };
            assert_eq!(read_back(&link), link);
        }
        for (length, blocks) in [(0, 1), (99, 1), (100, 3)] {
            let entry = plain(EntryKind::Directory, &vec![b'n'; length]);
            assert_eq!(header(&entry).len(), blocks * BLOCK_BYTES, "{length}");
            assert_eq!(read_back(&entry), entry);
        }
    }

    #[test]
    fn header_large_numbers_use_pax_records() {
        let largest = LayerEntry {
            uid: u32::MAX - 1,
            gid: 0o7_777_777,
            size: 8 << 30,
            mtime: Timestamp { seconds: i64::MAX, nanoseconds: 100 },
            ..plain(EntryKind::File, b"a")
        };
        let found = header(&largest);
        let text = String::from_utf8_lossy(&found);
        for record in
            [" size=8589934592\n", " uid=4294967294\n", " mtime=9223372036854775807.0000001\n"]
        {
            assert!(text.contains(record), "{record}");
        }
        assert!(!text.contains(" gid="));
        assert_eq!(read_back(&largest), largest);
        let device = Device { major: (1 << 12) - 1, minor: (1 << 20) - 1 };
        let node = LayerEntry { device, ..plain(EntryKind::Block, b"a") };
        assert_eq!(read_back(&node), node);
    }

    #[test]
    fn header_of_whiteout_and_opaque_is_empty() {
        assert!(header(&plain(EntryKind::Whiteout, b"a")).is_empty());
        assert!(header(&plain(EntryKind::Opaque, b"")).is_empty());
    }

    fn kinds() -> impl Strategy<Value = EntryKind> {
        use EntryKind::{Block, Character, Directory, Fifo, File, Hardlink, Symlink};
        proptest::sample::select(vec![File, Directory, Symlink, Hardlink, Character, Block, Fifo])
    }

    proptest! {
        #[test]
        fn header_of_any_entry_round_trips(
            kind in kinds(),
            path in "[a-c]{1,90}(/[a-c]{1,90}){0,3}",
            link in "[a-c]{1,90}(/[a-c]{1,90}){0,3}",
            numbers in (0_u32..0o10000, any::<u32>(), any::<u32>(), 0_u32..1 << 12, 0_u32..1 << 20),
            time in (0..i64::MAX, 0_u32..1_000_000_000),
            size in 0_u64..3000,
            xattrs in proptest::collection::btree_map("user\\.[a-z]{1,9}", proptest::collection::vec(any::<u8>(), 0..600), 0..3),
        ) {
            let (mode, uid, gid, major, minor) = numbers;
            let is_node = matches!(kind, EntryKind::Character | EntryKind::Block);
            let entry = LayerEntry {
                mode,
                uid: uid.min(u32::MAX - 1),
                gid: gid.min(u32::MAX - 1),
                mtime: Timestamp { seconds: time.0, nanoseconds: time.1 },
                size: if kind == EntryKind::File { size } else { 0 },
                link: if matches!(kind, EntryKind::Symlink | EntryKind::Hardlink) { link.into_bytes() } else { Vec::new() },
                device: if is_node { Device { major, minor } } else { Device::default() },
                xattrs: xattrs.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect(),
                ..plain(kind, path.as_bytes())
            };
            prop_assert_eq!(read_back(&entry), entry);
        }
    }
}
