//! What a layer does to a path, and what is known of a file.

use crate::layer::{Device, EntryKind};

/// Identifies the bytes of a regular file inside one program: the first 16 bytes of their SHA-256.
///
/// Equal bytes have equal ids. It is half of a digest because a tree has one for each file, and is no proof of integrity.
/// All zeros stand for unknown content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId([u8; 16]);

impl ContentId {
    /// From the SHA-256 of the file's bytes, holes included as zeros.
    pub fn from_sha256(digest: &[u8; 32]) -> Self {
        let mut id = [0; 16];
        id.iter_mut().zip(digest).for_each(|(own, byte)| *own = *byte);
        Self(id)
    }

    #[cfg(feature = "cli")]
    pub(super) fn bytes(self) -> [u8; 16] {
        self.0
    }

    #[cfg(feature = "cli")]
    pub(super) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// What a layer does to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ChangeKind {
    /// Lower layers do not have the path.
    Added,
    /// Lower layers have the path, and this layer has an entry for it: other bytes, other metadata, or the same again.
    Modified,
    /// Lower layers have the path, and from this layer on it is gone.
    Deleted,
}

impl ChangeKind {
    /// The letter that stands for it: `A`, `M` or `D`.
    pub fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Modified => 'M',
            Self::Deleted => 'D',
        }
    }
}

/// A file, directory, link or device as it is at one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInfo<'a> {
    /// The type. Hard links have the type of the file that they name; it is never a whiteout or an opaque marker.
    pub kind: EntryKind,
    /// Permissions with set-id and sticky bits, nothing else.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of a regular file, holes included; 0 for all else.
    pub size: u64,
    /// Last modification in seconds since 1970.
    pub mtime: i64,
    /// The target of a symbolic link as written; empty for other types.
    pub link: &'a [u8],
    /// The device number; 0:0 if it is not a device.
    pub device: Device,
    /// Extended attributes as in the layer, sorted by name.
    pub xattrs: &'a [(Vec<u8>, Vec<u8>)],
    /// The layer, counted from the base, whose entry has the metadata and the bytes.
    pub layer: usize,
    /// The number of that entry in its layer, counted from 0.
    pub entry: u32,
    /// Number of names (hard links) that the file has now; 0 for one that is gone.
    pub names: u32,
    /// The content of a regular file, if the reader of the layer gave it.
    pub content: Option<ContentId>,
    /// Identifies the file among those of the tree: two paths with the same number are hard links of each other.
    pub inode: u32,
}

impl FileInfo<'_> {
    /// Whether both have the same type, mode, owner, device and extended attributes. Times are not compared.
    pub fn has_same_metadata(&self, other: &FileInfo<'_>) -> bool {
        let own = (self.kind, self.mode, self.uid, self.gid, self.device, self.xattrs);
        own == (other.kind, other.mode, other.uid, other.gid, other.device, other.xattrs)
    }
}

/// Regular files that a layer hides, by deleting or replacing them. Each still costs its bytes in its own layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hidden {
    /// Number of files. A file with several names counts once, when the last of them is gone.
    pub files: u64,
    /// Uncompressed bytes of these files.
    pub bytes: u64,
}

impl Hidden {
    /// Adds other files.
    pub fn add(&mut self, other: Self) {
        self.files += other.files;
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// What a layer does to one path, compared with the layers below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change<'a> {
    /// The path from the root, without a leading slash; empty for the root.
    pub path: &'a [u8],
    /// Added, modified or deleted.
    pub kind: ChangeKind,
    /// What lower layers have here; `None` if added.
    pub before: Option<FileInfo<'a>>,
    /// What is here from this layer on; `None` if deleted.
    pub after: Option<FileInfo<'a>>,
    /// The path that the layer's entry names, if it is a hard link.
    pub hardlink: Option<&'a [u8]>,
    /// Files of lower layers that were at this very path. The sum over all changes of a layer is what the layer hides.
    pub hidden: Hidden,
    /// If a directory was deleted or replaced by something else: the files of lower layers that were below it.
    pub hidden_below: Hidden,
    /// Whether this is deleted only because a directory above it is deleted or replaced, which is a change of its own.
    pub implied: bool,
}

/// Totals of one layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerTotals {
    /// Paths added.
    pub added: u64,
    /// Paths modified.
    pub modified: u64,
    /// Paths deleted, without implied ones.
    pub deleted: u64,
    /// Uncompressed bytes of the regular files that the layer adds or modifies; a file with several names counts once.
    pub bytes: u64,
    /// Files of lower layers that it hides.
    pub hidden: Hidden,
}
