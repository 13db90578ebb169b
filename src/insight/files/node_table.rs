//! The storage of a [`PathTree`](super::path_tree::PathTree): names and files in two tables, about 65 bytes for both.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

use super::arena::{Arena, Text};
use super::attributes::{AttributeTable, Attributes};
use super::change::ContentId;
use super::pages::Pages;
use crate::image_layers::apply::EntryPosition;
use crate::layer::{EntryKind, LayerEntry};

/// No node.
pub(super) const NONE: u32 = u32::MAX;

/// The root directory.
pub(super) const ROOT: u32 = 0;

/// The number of names of a file whose bytes were counted as hidden.
pub(super) const COUNTED: u32 = u32::MAX;

/// What the current layer did to a name.
pub(super) mod flag {
    /// The name does not exist. It is in the table until the layer ends.
    pub(in super::super) const DEAD: u8 = 1;
    /// The name did not exist before this layer.
    pub(in super::super) const NEW: u8 = 1 << 1;
    /// This layer created the name or something below it.
    pub(in super::super) const OWN: u8 = 1 << 2;
    /// This layer made the directory opaque.
    pub(in super::super) const OPAQUE: u8 = 1 << 3;
    /// This layer changed the name or something below it.
    pub(in super::super) const DIRTY: u8 = 1 << 4;
    /// What had the name before this layer is saved.
    pub(in super::super) const SAVED: u8 = 1 << 5;
}

/// One name in a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) parent: u32,
    /// The next name in the same directory, in no order.
    pub(super) next: u32,
    pub(super) name: Text,
    pub(super) inode: u32,
}

/// A file with any number of names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inode {
    /// Size and time, unless [`NodeTable::large`] has them.
    small: SizeAndTime<u32, u32>,
    pub(super) attributes: u32,
    pub(super) link: Text,
    /// The layer that created it and has its bytes.
    pub(super) layer: u32,
    /// The number of its entry in that layer.
    pub(super) entry: u32,
    /// Names, and other users while a layer is applied.
    pub(super) names: u32,
}

/// The size of a file in bytes, and when it was modified, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct SizeAndTime<S, T> {
    pub(super) size: S,
    pub(super) mtime: T,
}

#[derive(Debug, Default)]
pub(super) struct NodeTable {
    nodes: Pages<Node>,
    /// What the current layer did to each node.
    flags: Pages<u8>,
    /// The first name in each directory that has names. Most nodes are no directories.
    first_children: HashMap<u32, u32>,
    free_nodes: Vec<u32>,
    inodes: Pages<Inode>,
    free_inodes: Vec<u32>,
    /// The few inodes with 4 GiB or more, or with times before 1970 or after 2105.
    large: HashMap<u32, SizeAndTime<u64, i64>>,
    /// By inode; shorter if the content of later ones is unknown. All zeros is unknown.
    contents: Pages<ContentId>,
    by_name: HashTable<u32>,
    hasher: RandomState,
    texts: Arena,
    attributes: AttributeTable,
}

impl NodeTable {
    pub(super) fn node(&self, number: u32) -> Option<&Node> {
        self.nodes.get(number as usize)
    }

    pub(super) fn node_mut(&mut self, number: u32) -> Option<&mut Node> {
        self.nodes.get_mut(number as usize)
    }

    pub(super) fn inode(&self, number: u32) -> Option<&Inode> {
        self.inodes.get(number as usize)
    }

    pub(super) fn inode_mut(&mut self, number: u32) -> Option<&mut Inode> {
        self.inodes.get_mut(number as usize)
    }

    pub(super) fn text(&self, text: Text) -> &[u8] {
        self.texts.get(text)
    }

    pub(super) fn add_text(&mut self, bytes: &[u8]) -> Option<Text> {
        self.texts.add(bytes)
    }

    pub(super) fn attributes(&self, inode: u32) -> Option<&Attributes> {
        self.attributes.get(self.inode(inode)?.attributes)
    }

    pub(super) fn kind(&self, inode: u32) -> Option<EntryKind> {
        Some(self.attributes(inode)?.kind)
    }

    pub(super) fn has_flag(&self, node: u32, flag: u8) -> bool {
        self.flags.get(node as usize).is_some_and(|flags| flags & flag != 0)
    }

    pub(super) fn set_flag(&mut self, node: u32, flag: u8) {
        if let Some(flags) = self.flags.get_mut(node as usize) {
            *flags |= flag;
        }
    }

    pub(super) fn clear_flag(&mut self, node: u32, flag: u8) {
        if let Some(flags) = self.flags.get_mut(node as usize) {
            *flags &= !flag;
        }
    }

    /// Clears all flags and returns those that were set.
    pub(super) fn take_flags(&mut self, node: u32) -> u8 {
        self.flags.get_mut(node as usize).map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn size_and_time(&self, number: u32) -> Option<SizeAndTime<u64, i64>> {
        let SizeAndTime { size, mtime } = self.inode(number)?.small;
        let small = SizeAndTime { size: size.into(), mtime: mtime.into() };
        Some(self.large.get(&number).copied().unwrap_or(small))
    }

    /// Returns the name in this directory, also a dead one.
    pub(super) fn child(&self, parent: u32, name: &[u8]) -> Option<u32> {
        let is_same = |number: &u32| {
            self.node(*number)
                .is_some_and(|node| node.parent == parent && self.text(node.name) == name)
        };
        self.by_name.find(self.hash(parent, name), is_same).copied()
    }

    fn hash(&self, parent: u32, name: &[u8]) -> u64 {
        self.hasher.hash_one((parent, name))
    }

    /// Returns the names in a directory, also dead ones, in no order.
    pub(super) fn children(&self, directory: u32) -> impl Iterator<Item = u32> {
        let first = self.first_children.get(&directory).copied().unwrap_or(NONE);
        let next = |number: &u32| self.node(*number).map(|node| node.next);
        std::iter::successors(Some(first), next).take_while(|number| *number != NONE)
    }

    /// Sets the list of names in a directory to the one that begins with this name, which may be [`NONE`].
    pub(super) fn set_first_child(&mut self, directory: u32, first: u32) {
        if first == NONE {
            self.first_children.remove(&directory);
        } else {
            self.first_children.insert(directory, first);
        }
    }

    /// The same as [`children`](Self::children), sorted by the bytes of the names.
    pub(super) fn sorted_children(&self, directory: u32) -> Vec<u32> {
        let mut children: Vec<_> = self.children(directory).collect();
        let name = |number: &u32| self.node(*number).map_or(&b""[..], |node| self.text(node.name));
        children.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        children
    }

    /// Adds a name to a directory; `None` if the tables are full.
    pub(super) fn add_node(&mut self, parent: u32, name: &[u8], inode: u32) -> Option<u32> {
        let text = self.texts.add(name)?;
        let next = self.first_children.get(&parent).copied().unwrap_or(NONE);
        let node = Node { parent, next, name: text, inode };
        let number = match self.free_nodes.pop() {
            Some(number) => number,
            None => u32::try_from(self.nodes.len()).ok().filter(|number| *number != NONE)?,
        };
        if let Some(slot) = self.node_mut(number) {
            *slot = node;
        } else {
            self.nodes.push(node);
            self.flags.push(0);
        }
        // A node is freed without flags.
        self.set_flag(number, flag::NEW);
        if number == ROOT {
            return Some(number);
        }
        self.set_first_child(parent, number);
        let hash = self.hash(parent, name);
        let (nodes, texts, hasher) = (&self.nodes, &self.texts, &self.hasher);
        let rehash = |number: &u32| {
            let node = nodes.get(*number as usize);
            node.map_or(0, |node| hasher.hash_one((node.parent, texts.get(node.name))))
        };
        self.by_name.insert_unique(hash, number, rehash);
        Some(number)
    }

    /// Removes a name from the tables, but not from the list of its directory.
    pub(super) fn free_node(&mut self, number: u32) {
        let Some(node) = self.node(number).copied() else { return };
        let hash = self.hash(node.parent, self.text(node.name));
        if let Ok(entry) = self.by_name.find_entry(hash, |other| *other == number) {
            entry.remove();
        }
        self.first_children.remove(&number);
        self.free_nodes.push(number);
    }

    /// Adds a file with one user; `None` if the tables are full.
    pub(super) fn add_inode(&mut self, entry: LayerEntry, at: EntryPosition) -> Option<u32> {
        let link = self.texts.add(&entry.link)?;
        let (size, mtime) = (entry.size, entry.mtime.seconds);
        let attributes = self.attributes.add(entry);
        let EntryPosition { layer, entry } = at;
        let number = match self.free_inodes.pop() {
            Some(number) => number,
            None => u32::try_from(self.inodes.len()).ok()?,
        };
        let small = if let (Ok(size), Ok(mtime)) = (u32::try_from(size), u32::try_from(mtime)) {
            SizeAndTime { size, mtime }
        } else {
            self.large.insert(number, SizeAndTime { size, mtime });
            SizeAndTime { size: 0, mtime: 0 }
        };
        let inode = Inode { small, attributes, link, layer, entry, names: 1 };
        match self.inode_mut(number) {
            Some(slot) => *slot = inode,
            None => self.inodes.push(inode),
        }
        Some(number)
    }

    pub(super) fn free_inode(&mut self, number: u32) {
        if let Some(content) = self.contents.get_mut(number as usize) {
            *content = ContentId::default();
        }
        self.large.remove(&number);
        self.free_inodes.push(number);
    }

    pub(super) fn content(&self, inode: u32) -> Option<ContentId> {
        self.contents.get(inode as usize).copied().filter(|id| *id != ContentId::default())
    }

    pub(super) fn set_content(&mut self, inode: u32, content: ContentId) {
        let index = inode as usize;
        while index >= self.contents.len() {
            self.contents.push(ContentId::default());
        }
        if let Some(slot) = self.contents.get_mut(index) {
            *slot = content;
        }
    }

    /// The known contents of all files.
    pub(super) fn contents(&self) -> impl Iterator<Item = ContentId> {
        self.contents.iter().copied().filter(|id| *id != ContentId::default())
    }

    /// Returns a table with the same names and files. What neither changes is in memory once.
    pub(super) fn fork(&mut self) -> Self {
        Self {
            nodes: self.nodes.fork(),
            flags: self.flags.fork(),
            first_children: self.first_children.clone(),
            free_nodes: self.free_nodes.clone(),
            inodes: self.inodes.fork(),
            free_inodes: self.free_inodes.clone(),
            large: self.large.clone(),
            contents: self.contents.fork(),
            by_name: self.by_name.clone(),
            hasher: self.hasher.clone(),
            texts: self.texts.fork(),
            attributes: self.attributes.clone(),
        }
    }

    /// Drops everything but the attributes.
    #[cfg(feature = "cli")]
    pub(super) fn into_attributes(self) -> AttributeTable {
        self.attributes
    }

    /// Memory of everything, in bytes.
    pub(super) fn size(&self) -> usize {
        // About half of the places in a hash table are empty, and each has a byte more.
        let first_child = 2 * (size_of::<(u32, u32)>() + 1);
        let large = 2 * (size_of::<(u32, SizeAndTime<u64, i64>)>() + 1);
        self.nodes.len() * (size_of::<Node>() + size_of::<u8>())
            + self.first_children.len() * first_child
            + self.large.len() * large
            + self.inodes.len() * size_of::<Inode>()
            + self.contents.len() * size_of::<ContentId>()
            + self.by_name.len() * 8
            + self.texts.size()
            + self.attributes.size()
    }

    /// The number of names.
    pub(super) fn len(&self) -> usize {
        self.nodes.len() - self.free_nodes.len()
    }
}
