//! The names of a tree by their paths, which have no links in them. Removing one removes all below it.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::Arc;

use crate::layer::{EntryKind, LayerEntry, split};

/// Bytes that the names of a tree and what is known of them may take: over a million files of ordinary names.
pub const MAX_TREE_BYTES: usize = 512 << 20;

/// Memory of a name without its path.
const NAME_BYTES: usize = size_of::<(Vec<u8>, PathEntry)>() * 3 / 2;

/// Memory of a file without its link target and attributes.
const INODE_BYTES: usize = size_of::<Inode>() + 2 * size_of::<usize>();

/// An entry of a layer: the number of the layer, and its number there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct EntryPosition {
    pub(super) layer: u32,
    pub(super) entry: u32,
}

/// A file with one or more names.
#[derive(Debug)]
pub(super) struct Inode {
    /// Its metadata; the path in it is empty, the names are in [`PathMap`].
    pub(super) entry: LayerEntry,
    /// The entry that created it and has its bytes.
    pub(super) made: EntryPosition,
}

/// One name of a file.
#[derive(Debug)]
pub(super) struct PathEntry {
    pub(super) node: Arc<Inode>,
    /// The entry that created the name.
    pub(super) made: EntryPosition,
    /// The last layer that created it or something below it.
    pub(super) modified_in: u32,
    /// The last layer that made this directory opaque; 0 if none did, because the base cannot.
    pub(super) opaque_in: u32,
}

#[derive(Debug, Default)]
pub(super) struct PathMap {
    map: BTreeMap<Vec<u8>, PathEntry>,
    /// Memory of all of them, in bytes.
    size: usize,
}

impl PathEntry {
    pub(super) fn is_directory(&self) -> bool {
        self.node.entry.kind == EntryKind::Directory
    }
}

impl Inode {
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

    pub(super) fn has_directory(&self, path: &[u8]) -> bool {
        self.get(path).is_some_and(PathEntry::is_directory)
    }

    /// Each, sorted by the bytes of its path, which puts directories before what is in them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &PathEntry)> {
        self.map.iter().map(|(path, name)| (&path[..], name))
    }

    /// Notes that a layer made this, or something in it.
    pub(super) fn touch(&mut self, path: &[u8], layer: u32) {
        let mut path = path;
        while let Some(name) = self.map.get_mut(path)
            && name.modified_in != layer
        {
            name.modified_in = layer;
            path = split(path).0;
        }
    }

    /// Adds a name that does not exist yet.
    pub(super) fn add(
        &mut self,
        path: Vec<u8>,
        node: Arc<Inode>,
        made: EntryPosition,
    ) -> io::Result<()> {
        self.touch(split(&path).0, made.layer);
        if Arc::strong_count(&node) == 1 {
            self.size += node.size();
        }
        self.size += path.len() + NAME_BYTES;
        self.map.insert(path, PathEntry { node, made, modified_in: made.layer, opaque_in: 0 });
        self.check()
    }

    /// Says something else about what has this name.
    pub(super) fn describe(&mut self, path: &[u8], node: Inode) -> io::Result<()> {
        self.touch(path, node.made.layer);
        if let Some(name) = self.map.get_mut(path) {
            self.size = self.size + node.size() - name.node.size();
            name.node = Arc::new(node);
        }
        self.check()
    }

    /// Counts the memory of a file that is kept without a name.
    pub(super) fn hold(&mut self, node: &Inode) -> io::Result<()> {
        self.size += node.size();
        self.check()
    }

    /// Ends [`hold`](Self::hold). A file with names still counts.
    pub(super) fn release(&mut self, node: &Arc<Inode>) {
        if Arc::strong_count(node) == 1 {
            self.size -= node.size();
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.size > MAX_TREE_BYTES {
            return Err(io::Error::other("has more names than fit in memory"));
        }
        Ok(())
    }

    /// Removes a name and all below it, where there is one.
    pub(super) fn remove(&mut self, path: &[u8]) {
        if self.has_directory(path) {
            self.remove_below(path, |_| true);
        }
        self.take(path);
    }

    /// Removes what is in a directory unless this layer made it.
    pub(super) fn clear(&mut self, directory: &[u8], layer: u32) {
        // What is there since the layer did so before is its own.
        let mut above = directory;
        while let Some(name) = self.get(above) {
            if name.opaque_in == layer {
                return;
            }
            if above.is_empty() {
                break;
            }
            above = split(above).0;
        }
        self.remove_below(directory, |name| name.modified_in != layer);
        if let Some(name) = self.map.get_mut(directory) {
            name.opaque_in = layer;
        }
    }

    fn remove_below(&mut self, directory: &[u8], goes: impl Fn(&PathEntry) -> bool) {
        let (first, end);
        let below = if directory.is_empty() {
            (Bound::Excluded(directory), Bound::Unbounded)
        } else {
            first = [directory, b"/"].concat();
            end = [directory, &[b'/' + 1]].concat();
            (Bound::Excluded(&first[..]), Bound::Excluded(&end[..]))
        };
        let below = self.map.range::<[u8], _>(below);
        let gone: Vec<_> =
            below.filter(|(_, name)| goes(name)).map(|(path, _)| path.clone()).collect();
        for path in gone {
            self.take(&path);
        }
    }

    fn take(&mut self, path: &[u8]) {
        if let Some(name) = self.map.remove(path) {
            self.size -= path.len() + NAME_BYTES;
            if Arc::strong_count(&name.node) == 1 {
                self.size -= name.node.size();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Device, Timestamp};

    fn node(kind: EntryKind, layer: u32, link: &str) -> Inode {
        let entry = LayerEntry {
            path: Vec::new(),
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
            size: 0,
            link: link.into(),
            device: Device::default(),
            xattrs: vec![(b"user.a".to_vec(), vec![0; 9])],
        };
        Inode { entry, made: EntryPosition { layer, entry: 0 } }
    }

    fn add(names: &mut PathMap, path: &str, kind: EntryKind, layer: u32) {
        let node = node(kind, layer, path);
        let made = node.made;
        names.add(path.into(), Arc::new(node), made).unwrap();
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
        let file = Arc::clone(&names.get(b"a/b/c/f").unwrap().node);
        names.add(b"link".to_vec(), file, EntryPosition { layer: 0, entry: 1 }).unwrap();
        names.remove(b"a");
        let left: Vec<_> = names.iter().map(|(path, _)| path).collect();
        assert_eq!(left, [&b""[..], b"a-b", b"a0", b"link"]);
        names.describe(b"a0", node(EntryKind::Directory, 1, "longer than before")).unwrap();
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
            let left: Vec<_> = names.iter().map(|(path, _)| path).collect();
            assert_eq!(left, [&b""[..], b"d", b"d/e", b"d/e/mine", b"d/later", b"other"]);
        }
        names.clear(b"", 2);
        assert_eq!(names.map.len(), 1);
    }

    #[test]
    fn tree_over_memory_limit_fails() {
        let mut names =
            PathMap { size: MAX_TREE_BYTES - NAME_BYTES - INODE_BYTES, ..PathMap::default() };
        let error = names.add(
            b"path".to_vec(),
            Arc::new(node(EntryKind::File, 0, "")),
            EntryPosition::default(),
        );
        assert!(error.unwrap_err().to_string().contains("more names than fit in memory"));
    }
}
