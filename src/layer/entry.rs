//! One entry of a layer, and the names that mark whiteouts. Spec: image-spec `layer.md`.

/// The type of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// A regular file; its bytes follow.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Another name of a file of this layer or a lower one.
    Hardlink,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
    /// A whiteout: removes this path of lower layers.
    Whiteout,
    /// An opaque marker: removes everything that lower layers have in this directory.
    Opaque,
}

/// A point in time: seconds since 1970, never before, and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp {
    /// Whole seconds.
    pub seconds: i64,
    /// Nanoseconds of the next second.
    pub nanoseconds: u32,
}

/// The number of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Device {
    /// The driver; 12 bits as in the kernel.
    pub major: u32,
    /// The device of that driver; 20 bits.
    pub minor: u32,
}

/// One entry. Names are bytes, as on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerEntry {
    /// The path from the root, without leading or trailing slashes, `.` or `..`. Empty for the root. For a whiteout the
    /// path that it removes, for an opaque marker the directory.
    pub path: Vec<u8>,
    /// The type.
    pub kind: EntryKind,
    /// Permissions with set-id and sticky bits, nothing else.
    pub mode: u32,
    /// Owner; never `u32::MAX`, which means "no change" to the kernel.
    pub uid: u32,
    /// Group; likewise.
    pub gid: u32,
    /// Last modification.
    pub mtime: Timestamp,
    /// Bytes of the file, holes included; 0 for all else.
    pub size: u64,
    /// The target of a symbolic link, or the path from the root that a hard link names; empty for other types.
    pub link: Vec<u8>,
    /// The device number; 0:0 if the entry is not a device.
    pub device: Device,
    /// Extended attributes, each name once.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl LayerEntry {
    /// Whether the file is AUFS metadata. It is not visible; only hard links of the same layer can name it.
    pub fn is_aufs_metadata(&self) -> bool {
        is_aufs_metadata(&self.path)
    }
}

/// The meaning of a path's last component in a layer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum MarkerName {
    /// An ordinary name.
    None,
    /// Hides its sibling, whose name is the last `n` bytes.
    Whiteout,
    /// Hides all of its siblings.
    Opaque,
    /// A name reserved by AUFS, see [`is_aufs_metadata`].
    AufsMetadata,
    /// Would hide its own directory, or the one above.
    Invalid,
}

/// Prefix of the names of whiteouts.
pub(crate) const WHITEOUT: &[u8] = b".wh.";

/// Prefix of the names reserved by AUFS.
const AUFS: &[u8] = b".wh..wh.";

pub(super) fn marker(name: &[u8]) -> MarkerName {
    match name.strip_prefix(WHITEOUT) {
        None => MarkerName::None,
        Some(b".wh..opq") => MarkerName::Opaque,
        Some(_) if name.starts_with(AUFS) => MarkerName::AufsMetadata,
        Some(b"" | b"." | b"..") => MarkerName::Invalid,
        Some(_) => MarkerName::Whiteout,
    }
}

/// Whether a path is a name reserved by AUFS, or below one (`.wh..wh.plnk/1.2`).
pub(crate) fn is_aufs_metadata(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/').any(|part| part.starts_with(AUFS))
}

/// Normalizes a path: `./a//b/` becomes `a/b`. As in a chroot, `..` in the root is the root.
pub(super) fn clean(path: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(path.len());
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                let parent = clean.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                clean.truncate(parent);
            }
            part => {
                if !clean.is_empty() {
                    clean.push(b'/');
                }
                clean.extend_from_slice(part);
            }
        }
    }
    clean
}

/// Whether a clean path is `directory` or below it; everything is below the root, which is empty.
pub(crate) fn is_below(path: &[u8], directory: &[u8]) -> bool {
    directory.is_empty()
        || path
            .strip_prefix(directory)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Splits a clean path into directory and last component.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        None => (b"", path),
        Some(at) => {
            let (parent, name) = path.split_at(at);
            (parent, name.get(1..).unwrap_or_default())
        }
    }
}

/// Returns the path that a whiteout with this clean path removes.
pub(super) fn whiteout_target(path: &[u8]) -> Vec<u8> {
    let (parent, name) = split(path);
    let mut hidden = parent.to_vec();
    if !hidden.is_empty() {
        hidden.push(b'/');
    }
    hidden.extend_from_slice(name.strip_prefix(WHITEOUT).unwrap_or(name));
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_normalized_and_stays_inside_root() {
        for (path, wanted) in [
            ("./a//b/", "a/b"),
            ("/etc/passwd", "etc/passwd"),
            ("a/../b", "b"),
            ("a/b/../c", "a/c"),
            ("../../file", "file"),
            ("a/../../b", "b"),
            ("./", ""),
            ("..", ""),
            ("", ""),
            (r"a\b", r"a\b"),
            ("C:/x", "C:/x"),
            ("...", "..."),
        ] {
            assert_eq!(clean(path.as_bytes()), wanted.as_bytes(), "{path}");
        }
        assert_eq!(clean(b"\xff\n/a"), b"\xff\n/a");
    }

    #[test]
    fn whiteout_and_opaque_markers_are_recognized() {
        for (name, wanted) in [
            ("a", MarkerName::None),
            ("a.wh.b", MarkerName::None),
            (".wh.a", MarkerName::Whiteout),
            (".wh..a", MarkerName::Whiteout),
            (".wh..wh..opq", MarkerName::Opaque),
            (".wh..wh.plnk", MarkerName::AufsMetadata),
            (".wh..wh..opq2", MarkerName::AufsMetadata),
            (".wh.", MarkerName::Invalid),
            (".wh..", MarkerName::Invalid),
            (".wh...", MarkerName::Invalid),
        ] {
            assert_eq!(marker(name.as_bytes()), wanted, "{name}");
        }
        assert_eq!(whiteout_target(b"a/.wh.b"), b"a/b");
        assert_eq!(whiteout_target(b".wh..b"), b".b");
    }
}
