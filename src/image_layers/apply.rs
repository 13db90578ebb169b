//! Applies the entries of layers to a tree of names in memory, as [`mod@crate::unpack`] applies them to a directory.
//!
//! What a kernel would reject is an error here too. Spec: image-spec `layer.md`, "Applying Changesets".

use std::io;

use rustix::io::Errno;

use crate::image_layers::resolve::{PATH_MAX, push, resolve};
use crate::layer::{
    AufsFile, AufsFiles, Device, EntryKind, LayerEntry, Timestamp, is_aufs_metadata, split,
};

/// Bytes that the names of a tree and what is known of them may take: over a million files of ordinary names.
pub const MAX_TREE_BYTES: usize = 512 << 20;

/// Bytes of a name in a directory.
const NAME_MAX: usize = 255;

/// An entry of a layer: the number of the layer, and its number there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryPosition {
    pub(crate) layer: u32,
    pub(crate) entry: u32,
}

/// A tree of names that layers are applied to. Its paths are clean, and have no links in them; the root is empty.
pub(crate) trait NameTree {
    /// A file, which may have several names.
    type Node: Clone;

    /// Returns the type of what has this name.
    fn kind(&self, path: &[u8]) -> Option<EntryKind>;

    /// Returns the target of a symbolic link.
    fn symlink(&self, path: &[u8]) -> Option<Vec<u8>>;

    fn node(&self, path: &[u8]) -> Option<Self::Node>;

    /// Returns the type of a file.
    fn node_kind(&self, node: &Self::Node) -> Option<EntryKind>;

    /// Whether this layer created the name or something below it.
    fn is_modified_in(&self, path: &[u8], layer: u32) -> bool;

    /// Creates a file without a name. It is kept until it is [released](Self::release) and has no name.
    fn create(&mut self, entry: LayerEntry, at: EntryPosition) -> io::Result<Self::Node>;

    fn release(&mut self, node: Self::Node);

    /// Adds a name that does not exist yet, in a directory that does.
    fn add(&mut self, path: Vec<u8>, node: &Self::Node, at: EntryPosition) -> io::Result<()>;

    /// Replaces the metadata of a directory.
    fn describe(&mut self, path: &[u8], entry: LayerEntry, at: EntryPosition) -> io::Result<()>;

    /// Marks the name and all directories above it as modified in this layer.
    fn touch(&mut self, path: &[u8], layer: u32);

    /// Removes a name and everything below it, if present.
    fn remove(&mut self, path: &[u8]);

    /// Removes everything in a directory that this layer did not create.
    fn clear(&mut self, directory: &[u8], layer: u32);
}

/// Applies layers, base first.
#[derive(Debug)]
pub(crate) struct Applier<T: NameTree> {
    pub(crate) names: T,
    /// Files of the current layer under names reserved by AUFS.
    aufs_files: AufsFiles<T::Node>,
    /// The last path that led through links to a directory, and the path of that directory. The entries of a directory come one
    /// after the other, and to resolve a deep path is slow.
    behind_links: Option<(Vec<u8>, Vec<u8>)>,
    /// The entry that comes next.
    pub(crate) at: EntryPosition,
}

impl<T: NameTree> Applier<T> {
    /// Begins with an empty root.
    pub(crate) fn new(mut names: T) -> io::Result<Self> {
        let at = EntryPosition::default();
        let root = names.create(implicit_dir(), at)?;
        names.add(Vec::new(), &root, at)?;
        names.release(root);
        Ok(Self { names, aufs_files: AufsFiles::default(), behind_links: None, at })
    }

    /// Continues between two layers with another tree of the same names.
    pub(crate) fn resume(names: T, layer: u32) -> Self {
        let at = EntryPosition { layer, entry: 0 };
        Self { names, aufs_files: AufsFiles::default(), behind_links: None, at }
    }

    /// Ends the layer.
    pub(crate) fn end_layer(&mut self) {
        for file in std::mem::take(&mut self.aufs_files).into_all() {
            self.release(file);
        }
        self.at = EntryPosition { layer: self.at.layer + 1, entry: 0 };
    }

    pub(crate) fn entry(&mut self, mut entry: LayerEntry) -> io::Result<()> {
        let path = std::mem::take(&mut entry.path);
        match entry.kind {
            _ if is_aufs_metadata(&path) => self.store_aufs_file(&path, entry)?,
            EntryKind::Whiteout => self.apply_whiteout(&path)?,
            EntryKind::Opaque => self.apply_opaque(&path)?,
            EntryKind::Directory if path.is_empty() => self.names.describe(b"", entry, self.at)?,
            _ => self.make(&path, entry)?,
        }
        self.at.entry += 1;
        Ok(())
    }

    /// Keeps an AUFS file until the layer ends, for hard links to it.
    fn store_aufs_file(&mut self, path: &[u8], entry: LayerEntry) -> io::Result<()> {
        let old = if entry.kind == EntryKind::Hardlink {
            self.aufs_files.keep_link(path, &entry.link)
        } else {
            let node = self.names.create(entry, self.at)?;
            self.aufs_files.keep(path, node)
        };
        if let Some(old) = old {
            self.release(old);
        }
        Ok(())
    }

    fn release(&mut self, file: AufsFile<T::Node>) {
        if let AufsFile::Own(node) = file {
            self.names.release(node);
        }
    }

    fn make(&mut self, path: &[u8], entry: LayerEntry) -> io::Result<()> {
        let (parent, name) = split(path);
        let mut path = self.find_or_create(parent)?;
        push(&mut path, name);
        if path.len() > PATH_MAX || name.len() > NAME_MAX {
            return Err(Errno::NAMETOOLONG.into());
        }
        match entry.kind {
            EntryKind::Hardlink => self.link(path, &entry.link),
            EntryKind::Directory if self.has_directory(&path) => {
                self.names.describe(&path, entry, self.at)
            }
            _ => {
                self.remove(&path);
                self.create(path, entry)
            }
        }
    }

    fn add(&mut self, path: Vec<u8>, node: &T::Node) -> io::Result<()> {
        if self.names.node_kind(node) == Some(EntryKind::Symlink) {
            self.behind_links = None;
        }
        self.names.add(path, node, self.at)
    }

    fn remove(&mut self, path: &[u8]) {
        if matches!(self.names.kind(path), Some(EntryKind::Directory | EntryKind::Symlink)) {
            self.behind_links = None;
        }
        self.names.remove(path);
    }

    fn create(&mut self, path: Vec<u8>, entry: LayerEntry) -> io::Result<()> {
        let node = self.names.create(entry, self.at)?;
        self.add(path, &node)?;
        self.names.release(node);
        Ok(())
    }

    fn link(&mut self, path: Vec<u8>, other: &[u8]) -> io::Result<()> {
        if !is_aufs_metadata(other) {
            return self.link_to(path, other);
        }
        match self.aufs_files.get_mut(other).cloned() {
            Some(AufsFile::Own(node)) => {
                self.remove(&path);
                self.add(path, &node)
            }
            Some(AufsFile::NameOf(other)) if !is_aufs_metadata(&other) => {
                self.link_to(path, &other)
            }
            _ => Err(missing()),
        }
    }

    fn link_to(&mut self, path: Vec<u8>, other: &[u8]) -> io::Result<()> {
        let (parent, name) = split(other);
        let mut other = self.find(parent)?.ok_or_else(missing)?;
        push(&mut other, name);
        if name.len() > NAME_MAX {
            return Err(Errno::NAMETOOLONG.into());
        }
        if self.names.kind(&other).is_none() {
            return Err(missing());
        }
        if other == path {
            self.names.touch(&path, self.at.layer);
            return Ok(());
        }
        self.remove(&path);
        // It may have been in what it replaces.
        let node = self.names.node(&other).ok_or_else(missing)?;
        if self.has_directory(&other) {
            return Err(io::Error::other("is a hard link to a directory"));
        }
        self.add(path, &node)
    }

    /// Removes what lower layers have at this path.
    fn apply_whiteout(&mut self, path: &[u8]) -> io::Result<()> {
        let layer = self.at.layer;
        let (parent, name) = split(path);
        let Some(mut path) = self.find(parent)?.filter(|_| layer > 0) else { return Ok(()) };
        push(&mut path, name);
        if name.len() > NAME_MAX {
            return Err(Errno::NAMETOOLONG.into());
        }
        match self.names.kind(&path) {
            Some(_) if !self.names.is_modified_in(&path, layer) => self.remove(&path),
            Some(EntryKind::Directory) => self.clear(&path),
            _ => {}
        }
        Ok(())
    }

    /// Removes what lower layers have in this directory, which there is from now on unless something else is there.
    fn apply_opaque(&mut self, path: &[u8]) -> io::Result<()> {
        let path = match self.find_or_create(path) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(()),
            other => other?,
        };
        self.names.touch(&path, self.at.layer);
        if self.at.layer > 0 {
            self.clear(&path);
        }
        Ok(())
    }

    /// Removes what lower layers have in a directory.
    fn clear(&mut self, directory: &[u8]) {
        self.behind_links = None;
        self.names.clear(directory, self.at.layer);
    }

    /// The directory that a path leads to, without links; `None` if it does not exist.
    fn find(&mut self, path: &[u8]) -> io::Result<Option<Vec<u8>>> {
        match self.resolve_parent(path) {
            // As below a directory that is not there.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
            Err(error) => Err(error),
            Ok(path) => Ok(Some(path).filter(|path| self.has_directory(path))),
        }
    }

    /// Returns the path of a directory, which is created with the missing ones above it.
    fn find_or_create(&mut self, path: &[u8]) -> io::Result<Vec<u8>> {
        let path = self.resolve_parent(path)?;
        if self.has_directory(&path) {
            return Ok(path);
        }
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
        for end in ends.chain([path.len()]) {
            let directory = path.get(..end).unwrap_or_default();
            match self.names.kind(directory) {
                Some(EntryKind::Directory) => {}
                Some(_) => return Err(Errno::NOTDIR.into()),
                None if split(directory).1.len() > NAME_MAX => {
                    return Err(Errno::NAMETOOLONG.into());
                }
                None => self.create(directory.to_vec(), implicit_dir())?,
            }
        }
        Ok(path)
    }

    fn has_directory(&self, path: &[u8]) -> bool {
        self.names.kind(path) == Some(EntryKind::Directory)
    }

    /// As [`Applier::resolve`], at once for the path of the call before.
    fn resolve_parent(&mut self, path: &[u8]) -> io::Result<Vec<u8>> {
        if let Some((last, directory)) = &self.behind_links
            && last == path
        {
            return Ok(directory.clone());
        }
        let resolved = self.resolve(path)?;
        if resolved != path && self.has_directory(&resolved) {
            self.behind_links = Some((path.to_vec(), resolved.clone()));
        }
        Ok(resolved)
    }

    /// Resolves the links in a path. What is missing resolves to itself.
    pub(crate) fn resolve(&self, path: &[u8]) -> io::Result<Vec<u8>> {
        // Links are rare, and there is nothing below one.
        if self.has_directory(path) {
            return Ok(path.to_vec());
        }
        resolve(path, |path| {
            if self.names.kind(path).is_some() {
                return Ok(self.names.symlink(path));
            }
            let (parent, name) = split(path);
            match self.names.kind(parent) {
                Some(EntryKind::Directory) if name.len() > NAME_MAX => {
                    Err(Errno::NAMETOOLONG.into())
                }
                Some(EntryKind::Directory) | None => Ok(None),
                Some(_) => Err(Errno::NOTDIR.into()),
            }
        })
    }
}

/// The error for a tree over [`MAX_TREE_BYTES`].
pub(crate) fn too_large() -> io::Error {
    io::Error::other("has more names than fit in memory")
}

fn missing() -> io::Error {
    io::Error::other("is a hard link to a file that does not exist")
}

/// A directory that no layer has an entry for.
pub(crate) fn implicit_dir() -> LayerEntry {
    LayerEntry {
        path: Vec::new(),
        kind: EntryKind::Directory,
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: Timestamp::default(),
        size: 0,
        link: Vec::new(),
        device: Device::default(),
        xattrs: Vec::new(),
    }
}
