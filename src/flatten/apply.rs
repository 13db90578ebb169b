//! Applies the entries of layers to a tree in memory, as [`mod@crate::unpack`] applies them to a directory.
//!
//! What a kernel would reject is an error here too.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::path_map::{EntryPosition, Inode, PathEntry, PathMap};
use crate::image_layers::resolve::{PATH_MAX, push, resolve};
use crate::image_layers::skipped::{SkipLog, SkipReason};
use crate::image_layers::xattr_filter::is_allowed;
use crate::layer::{
    Device, EntryKind, LayerEntry, Leftover, Leftovers, Timestamp, is_leftover, split,
};

/// Bytes of a name in a directory.
const NAME_MAX: usize = 255;

/// Applies layers, base first.
#[derive(Debug)]
pub(super) struct TreeBuilder {
    pub(super) names: PathMap,
    pub(super) left_out: SkipLog,
    /// Files of the current layer under names reserved by AUFS.
    aside: Leftovers<Arc<Inode>>,
    /// The entry that comes next.
    at: EntryPosition,
}

impl TreeBuilder {
    /// Begins with an empty root.
    pub(super) fn new() -> io::Result<Self> {
        let mut names = PathMap::default();
        names.add(
            Vec::new(),
            Arc::new(implicit_dir(EntryPosition::default())),
            EntryPosition::default(),
        )?;
        let aside = Leftovers::default();
        Ok(Self { names, left_out: SkipLog::default(), aside, at: EntryPosition::default() })
    }

    /// Continues with the next layer above.
    pub(super) fn next_layer(&mut self) {
        for gone in std::mem::take(&mut self.aside).into_all() {
            self.release(gone);
        }
        self.at = EntryPosition { layer: self.at.layer + 1, entry: 0 };
    }

    pub(super) fn entry(&mut self, mut entry: LayerEntry) -> io::Result<()> {
        let path = std::mem::take(&mut entry.path);
        self.filter_xattrs(&path, &mut entry);
        match entry.kind {
            _ if is_leftover(&path) => self.put_aside(&path, entry)?,
            EntryKind::Whiteout => self.apply_whiteout(&path)?,
            EntryKind::Opaque => self.apply_opaque(&path)?,
            EntryKind::Directory if path.is_empty() => {
                self.names.describe(b"", Inode { entry, made: self.at })?;
            }
            _ => self.make(&path, entry)?,
        }
        self.at.entry += 1;
        Ok(())
    }

    fn filter_xattrs(&mut self, path: &[u8], entry: &mut LayerEntry) {
        if !matches!(entry.kind, EntryKind::File | EntryKind::Directory) {
            entry.xattrs.clear();
        }
        entry.xattrs.retain(|(name, _)| {
            let keep = is_allowed(name);
            if !keep {
                self.left_out.note(SkipReason::ForeignAttribute, path);
            }
            keep
        });
    }

    /// Keeps an AUFS file until the layer ends, for hard links to it.
    fn put_aside(&mut self, path: &[u8], entry: LayerEntry) -> io::Result<()> {
        let old = if entry.kind == EntryKind::Hardlink {
            self.aside.keep_link(path, &entry.link)
        } else {
            let node = Arc::new(Inode { entry, made: self.at });
            self.names.hold(&node)?;
            self.aside.keep(path, node)
        };
        if let Some(old) = old {
            self.release(old);
        }
        Ok(())
    }

    fn release(&mut self, leftover: Leftover<Arc<Inode>>) {
        if let Leftover::Own(node) = leftover {
            self.names.release(&node);
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
            EntryKind::Directory if self.names.has_directory(&path) => {
                self.names.describe(&path, Inode { entry, made: self.at })
            }
            _ => {
                self.names.remove(&path);
                self.names.add(path, Arc::new(Inode { entry, made: self.at }), self.at)
            }
        }
    }

    fn link(&mut self, path: Vec<u8>, other: &[u8]) -> io::Result<()> {
        if !is_leftover(other) {
            return self.link_to(path, other);
        }
        match self.aside.get_mut(other).cloned() {
            Some(Leftover::Own(node)) => {
                self.names.remove(&path);
                self.names.add(path, node, self.at)
            }
            Some(Leftover::NameOf(other)) if !is_leftover(&other) => self.link_to(path, &other),
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
        if self.names.get(&other).is_none() {
            return Err(missing());
        }
        if other == path {
            self.names.touch(&path, self.at.layer);
            return Ok(());
        }
        self.names.remove(&path);
        // It may have been in what it replaces.
        let found = self.names.get(&other).ok_or_else(missing)?;
        if found.is_directory() {
            return Err(io::Error::other("is a hard link to a directory"));
        }
        let node = Arc::clone(&found.node);
        self.names.add(path, node, self.at)
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
        match self.names.get(&path) {
            Some(found) if found.modified_in != layer => self.names.remove(&path),
            Some(found) if found.is_directory() => self.names.clear(&path, layer),
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
            self.names.clear(&path, self.at.layer);
        }
        Ok(())
    }

    /// The directory that a path leads to, without links; `None` if it does not exist.
    fn find(&self, path: &[u8]) -> io::Result<Option<Vec<u8>>> {
        match self.resolve(path) {
            // As below a directory that is not there.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
            Err(error) => Err(error),
            Ok(path) => Ok(Some(path).filter(|path| self.names.has_directory(path))),
        }
    }

    /// The same, made with all that are missing above it.
    fn find_or_create(&mut self, path: &[u8]) -> io::Result<Vec<u8>> {
        let path = self.resolve(path)?;
        if self.names.has_directory(&path) {
            return Ok(path);
        }
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
        for end in ends.chain([path.len()]) {
            let directory = path.get(..end).unwrap_or_default();
            match self.names.get(directory) {
                Some(found) if found.is_directory() => {}
                Some(_) => return Err(Errno::NOTDIR.into()),
                None if split(directory).1.len() > NAME_MAX => {
                    return Err(Errno::NAMETOOLONG.into());
                }
                None => {
                    self.names.add(directory.to_vec(), Arc::new(implicit_dir(self.at)), self.at)?;
                }
            }
        }
        Ok(path)
    }

    fn resolve(&self, path: &[u8]) -> io::Result<Vec<u8>> {
        // Links are rare, and there is nothing below one.
        if self.names.has_directory(path) {
            return Ok(path.to_vec());
        }
        resolve(path, |path| {
            if let Some(PathEntry { node, .. }) = self.names.get(path) {
                return Ok((node.entry.kind == EntryKind::Symlink).then(|| node.entry.link.clone()));
            }
            let (parent, name) = split(path);
            match self.names.get(parent) {
                Some(found) if !found.is_directory() => Err(Errno::NOTDIR.into()),
                Some(_) if name.len() > NAME_MAX => Err(Errno::NAMETOOLONG.into()),
                _ => Ok(None),
            }
        })
    }
}

fn missing() -> io::Error {
    io::Error::other("is a hard link to a file that does not exist")
}

/// A directory that no layer has an entry for.
pub(super) fn implicit_dir(made: EntryPosition) -> Inode {
    let entry = LayerEntry {
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
    };
    Inode { entry, made }
}
