//! Maps paths without symbolic links to files. Removing a directory removes its content.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::Arc;

use crate::image_layers::apply::{EntryPosition, MAX_TREE_BYTES, NameTree, too_large};
use crate::layer::{EntryKind, LayerEntry, split};

/// Memory of a name without its path.
const NAME_BYTES: usize = size_of::<(Vec<u8>, PathEntry)>() * 3 / 2;

/// Memory of a file without its link target and attributes.
const INODE_BYTES: usize = size_of::<Inode>() + 2 * size_of::<usize>();

/// A file with one or more names.
#[derive(Debug)]
pub(super) struct Inode {
    /// Its metadata; the path in it is empty, the names are in [`PathMap`].
    pub(super) entry: LayerEntry,
    /// The entry that created it and has its data.
    pub(super) created_by: EntryPosition,
}

/// One name of a file.
#[derive(Debug)]
pub(super) struct PathEntry {
    pub(super) inode: Arc<Inode>,
    /// The entry that created the name.
    pub(super) created_by: EntryPosition,
    /// The last layer that created this name or one below it.
    pub(super) modified_in: u32,
    /// The last layer that made this directory opaque; 0 if none did, because the base cannot.
    pub(super) opaque_in: u32,
}

/// All names of a tree.
#[derive(Debug, Default)]
pub(super) struct PathMap {
    map: BTreeMap<Vec<u8>, PathEntry>,
    /// Memory of all names and files, in bytes.
    size: usize,
}

impl PathEntry {
    pub(super) fn is_directory(&self) -> bool {
        self.inode.entry.kind == EntryKind::Directory
    }
}

impl Inode {
    /// Returns the memory that it takes, in bytes.
    fn size(&self) -> usize {
        let LayerEntry { link, xattrs, .. } = &self.entry;
        let pair = |(name, value): &(Vec<u8>, Vec<u8>)| {
            size_of::<(Vec<u8>, Vec<u8>)>() + name.len() + value.len()
        };
        INODE_BYTES + link.len() + xattrs.iter().map(pair).sum::<usize>()
    }
}

impl PathMap {
    pub(super) fn get(&self, path: &[u8]) -> Option<&PathEntry> {
        self.map.get(path)
    }

    /// Returns all names, sorted by the bytes of their paths: directories come before their content.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &PathEntry)> {
        self.map.iter().map(|(path, name)| (&path[..], name))
    }

    fn check_size(&self) -> io::Result<()> {
        if self.size > MAX_TREE_BYTES {
            return Err(too_large());
        }
        Ok(())
    }

    fn remove_below(&mut self, directory: &[u8], is_removed: impl Fn(&PathEntry) -> bool) {
        let (first, end);
        let below = if directory.is_empty() {
            (Bound::Excluded(directory), Bound::Unbounded)
        } else {
            first = [directory, b"/"].concat();
            end = [directory, &[b'/' + 1]].concat();
            (Bound::Excluded(&first[..]), Bound::Excluded(&end[..]))
        };
        let below = self.map.range::<[u8], _>(below);
        let removed: Vec<_> =
            below.filter(|(_, name)| is_removed(name)).map(|(path, _)| path.clone()).collect();
        for path in removed {
            self.remove_name(&path);
        }
    }

    fn remove_name(&mut self, path: &[u8]) {
        if let Some(name) = self.map.remove(path) {
            self.size -= path.len() + NAME_BYTES;
            self.release(name.inode);
        }
    }
}

impl NameTree for PathMap {
    type Node = Arc<Inode>;

    fn kind(&self, path: &[u8]) -> Option<EntryKind> {
        self.get(path).map(|name| name.inode.entry.kind)
    }

    fn symlink(&self, path: &[u8]) -> Option<Vec<u8>> {
        let entry = &self.get(path)?.inode.entry;
        (entry.kind == EntryKind::Symlink).then(|| entry.link.clone())
    }

    fn node(&self, path: &[u8]) -> Option<Arc<Inode>> {
        self.get(path).map(|name| Arc::clone(&name.inode))
    }

    fn node_kind(&self, inode: &Arc<Inode>) -> Option<EntryKind> {
        Some(inode.entry.kind)
    }

    fn is_modified_in(&self, path: &[u8], layer: u32) -> bool {
        self.get(path).is_some_and(|name| name.modified_in == layer)
    }

    fn create(&mut self, entry: LayerEntry, at: EntryPosition) -> io::Result<Arc<Inode>> {
        let inode = Inode { entry, created_by: at };
        self.size += inode.size();
        self.check_size()?;
        Ok(Arc::new(inode))
    }

    fn release(&mut self, inode: Arc<Inode>) {
        if Arc::strong_count(&inode) == 1 {
            self.size -= inode.size();
        }
    }

    fn add(&mut self, path: Vec<u8>, inode: &Arc<Inode>, at: EntryPosition) -> io::Result<()> {
        self.touch(split(&path).0, at.layer);
        self.size += path.len() + NAME_BYTES;
        let inode = Arc::clone(inode);
        self.map
            .insert(path, PathEntry { inode, created_by: at, modified_in: at.layer, opaque_in: 0 });
        self.check_size()
    }

    fn describe(&mut self, path: &[u8], entry: LayerEntry, at: EntryPosition) -> io::Result<()> {
        self.touch(path, at.layer);
        let inode = Inode { entry, created_by: at };
        if let Some(name) = self.map.get_mut(path) {
            self.size = self.size + inode.size() - name.inode.size();
            name.inode = Arc::new(inode);
        }
        self.check_size()
    }

    fn touch(&mut self, path: &[u8], layer: u32) {
        let mut path = path;
        while let Some(name) = self.map.get_mut(path)
            && name.modified_in != layer
        {
            name.modified_in = layer;
            path = split(path).0;
        }
    }

    fn remove(&mut self, path: &[u8]) {
        if self.get(path).is_some_and(PathEntry::is_directory) {
            self.remove_below(path, |_| true);
        }
        self.remove_name(path);
    }

    fn clear(&mut self, directory: &[u8], layer: u32) {
        // If the layer has made it or a parent opaque before, everything that is below it now belongs to the layer.
        let mut ancestor = directory;
        while let Some(name) = self.get(ancestor) {
            if name.opaque_in == layer {
                return;
            }
            if ancestor.is_empty() {
                break;
            }
            ancestor = split(ancestor).0;
        }
        self.remove_below(directory, |name| name.modified_in != layer);
        if let Some(name) = self.map.get_mut(directory) {
            name.opaque_in = layer;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_layers::apply::implicit_dir;

    fn entry(kind: EntryKind, link: &str) -> LayerEntry {
        let xattrs = vec![(b"user.a".to_vec(), vec![0; 9])];
        LayerEntry { kind, link: link.into(), xattrs, ..implicit_dir() }
    }

    fn add(names: &mut PathMap, path: &str, kind: EntryKind, layer: u32) {
        let at = EntryPosition { layer, entry: 0 };
        let inode = names.create(entry(kind, path), at).unwrap();
        names.add(path.into(), &inode, at).unwrap();
        names.release(inode);
    }

    #[test]
    fn remove_takes_subtree_and_frees_its_size() {
        let mut names = PathMap::default();
        add(&mut names, "", EntryKind::Directory, 0);
        let (root, empty) = (names.size, names.map.len());
        for path in ["a", "a/b", "a/b/c", "a-b", "a0"] {
            add(&mut names, path, EntryKind::Directory, 0);
        }
        add(&mut names, "a/b/c/f", EntryKind::File, 0);
        let file = Arc::clone(&names.get(b"a/b/c/f").unwrap().inode);
        names.add(b"link".to_vec(), &file, EntryPosition { layer: 0, entry: 1 }).unwrap();
        names.release(file);
        names.remove(b"a");
        let remaining: Vec<_> = names.iter().map(|(path, _)| path).collect();
        assert_eq!(remaining, [&b""[..], b"a-b", b"a0", b"link"]);
        let described = entry(EntryKind::Directory, "longer than before");
        names.describe(b"a0", described, EntryPosition { layer: 1, entry: 0 }).unwrap();
        for path in ["a0", "link", "a-b", "absent"] {
            names.remove(path.as_bytes());
        }
        assert_eq!((names.size, names.map.len()), (root, empty));
    }

    #[test]
    fn opaque_clear_keeps_entries_of_own_layer() {
        let mut names = PathMap::default();
        for path in ["", "d", "d/e", "d/e/f", "d/x", "other"] {
            add(&mut names, path, EntryKind::Directory, 0);
        }
        add(&mut names, "d/e/mine", EntryKind::File, 1);
        names.clear(b"d", 1);
        add(&mut names, "d/later", EntryKind::File, 1);
        for directory in [&b"d"[..], b"d/e"] {
            names.clear(directory, 1);
            let remaining: Vec<_> = names.iter().map(|(path, _)| path).collect();
            assert_eq!(remaining, [&b""[..], b"d", b"d/e", b"d/e/mine", b"d/later", b"other"]);
        }
        names.clear(b"", 2);
        assert_eq!(names.map.len(), 1);
    }

    #[test]
    fn tree_over_memory_limit_fails() {
        let mut names = PathMap { size: MAX_TREE_BYTES - INODE_BYTES, ..PathMap::default() };
        let error = names.create(entry(EntryKind::File, ""), EntryPosition::default());
        assert!(error.unwrap_err().to_string().contains("more names than fit in memory"));
    }
}
