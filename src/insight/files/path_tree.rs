//! A tree of names that remembers what the current layer changed.

use std::collections::HashMap;
use std::io;

use super::arena::Text;
use super::node_table::{NONE, NodeTable, ROOT, flag};
use crate::image_layers::apply::{EntryPosition, MAX_TREE_BYTES, NameTree, too_large};
use crate::layer::{EntryKind, LayerEntry, split};

#[derive(Debug, Default)]
pub(super) struct PathTree {
    pub(super) table: NodeTable,
    /// Names that existed before the current layer and were changed by it, with what they were then.
    pub(super) saved: Vec<(u32, u32)>,
    /// The target as written of each name that the current layer created as a hard link.
    pub(super) hardlinks: HashMap<u32, Text>,
    /// The file that was created last.
    pub(super) last_inode: Option<u32>,
    /// The name that was added last.
    pub(super) last_node: Option<u32>,
    root_is_described: bool,
    /// The layer that is applied, counted from the base.
    pub(super) layer: u32,
}

impl PathTree {
    /// Returns the node of a path, if it exists.
    pub(super) fn find(&self, path: &[u8]) -> Option<u32> {
        let mut at = ROOT;
        for part in path.split(|&byte| byte == b'/').filter(|part| !part.is_empty()) {
            at = self.table.child(at, part)?;
            if self.table.has_flag(at, flag::DEAD) {
                return None;
            }
        }
        self.table.node(at).map(|_| at)
    }

    fn inode_at(&self, path: &[u8]) -> Option<u32> {
        Some(self.table.node(self.find(path)?)?.inode)
    }

    pub(super) fn is_directory(&self, node: u32) -> bool {
        let inode = self.table.node(node).map(|node| node.inode);
        inode.and_then(|inode| self.table.kind(inode)) == Some(EntryKind::Directory)
    }

    /// Returns a tree with the same names, between two layers.
    pub(super) fn fork(&mut self) -> Self {
        let (root_is_described, layer) = (self.root_is_described, self.layer);
        Self { table: self.table.fork(), root_is_described, layer, ..Self::default() }
    }

    /// Begins the next layer. All flags have been cleared.
    pub(super) fn next_layer(&mut self) {
        self.saved.clear();
        self.hardlinks.clear();
        self.layer += 1;
    }

    fn mark_dirty(&mut self, node: u32) {
        let mut at = node;
        while !self.table.has_flag(at, flag::DIRTY) {
            self.table.set_flag(at, flag::DIRTY);
            let Some(node) = self.table.node(at) else { return };
            at = node.parent;
        }
    }

    fn mark_own(&mut self, node: u32) {
        self.mark_dirty(node);
        let mut at = node;
        while !self.table.has_flag(at, flag::OWN) {
            self.table.set_flag(at, flag::OWN);
            let Some(node) = self.table.node(at) else { return };
            at = node.parent;
        }
    }

    /// Keeps what lower layers have under this name until the layer ends.
    fn save(&mut self, node: u32) {
        if self.table.has_flag(node, flag::NEW | flag::SAVED) {
            return;
        }
        if let Some(inode) = self.table.node(node).map(|node| node.inode) {
            self.saved.push((node, inode));
            self.table.set_flag(node, flag::SAVED);
        }
    }

    /// Removes one user of a file. Those of lower layers are kept until the layer ends.
    fn leave(&mut self, inode: u32) {
        let layer = self.layer;
        let Some(node) = self.table.inode_mut(inode) else { return };
        node.names = node.names.saturating_sub(1);
        if node.names == 0 && node.layer == layer {
            self.table.free_inode(inode);
        }
    }

    fn kill(&mut self, node: u32) {
        self.save(node);
        let Some(inode) = self.table.node(node).map(|node| node.inode) else { return };
        self.table.set_flag(node, flag::DEAD);
        self.table.clear_flag(node, flag::OWN | flag::OPAQUE);
        self.leave(inode);
        self.mark_dirty(node);
    }

    fn kill_with_children(&mut self, node: u32) {
        let mut stack = vec![node];
        while let Some(node) = stack.pop() {
            if self.table.has_flag(node, flag::DEAD) {
                continue;
            }
            stack.extend(self.table.children(node));
            self.kill(node);
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.table.size() + self.saved.len() * size_of::<(u32, u32)>() > MAX_TREE_BYTES {
            return Err(too_large());
        }
        Ok(())
    }
}

impl NameTree for PathTree {
    type Node = u32;

    fn kind(&self, path: &[u8]) -> Option<EntryKind> {
        self.table.kind(self.inode_at(path)?)
    }

    fn symlink(&self, path: &[u8]) -> Option<Vec<u8>> {
        let inode = self.inode_at(path)?;
        if self.table.kind(inode)? != EntryKind::Symlink {
            return None;
        }
        Some(self.table.text(self.table.inode(inode)?.link).to_vec())
    }

    fn node(&self, path: &[u8]) -> Option<u32> {
        self.inode_at(path)
    }

    fn node_kind(&self, inode: &u32) -> Option<EntryKind> {
        self.table.kind(*inode)
    }

    fn is_modified_in(&self, path: &[u8], _layer: u32) -> bool {
        self.find(path).is_some_and(|node| self.table.has_flag(node, flag::OWN))
    }

    fn create(&mut self, entry: LayerEntry, at: EntryPosition) -> io::Result<u32> {
        let inode = self.table.add_inode(entry, at).ok_or_else(too_large)?;
        self.last_inode = Some(inode);
        self.check()?;
        Ok(inode)
    }

    fn release(&mut self, node: u32) {
        self.leave(node);
    }

    fn add(&mut self, path: Vec<u8>, inode: &u32, _at: EntryPosition) -> io::Result<()> {
        let (parent, name) = split(&path);
        if path.is_empty() {
            self.table.add_node(NONE, b"", *inode).ok_or_else(too_large)?;
        } else {
            let parent = self.find(parent).ok_or(io::ErrorKind::NotFound)?;
            let number = match self.table.child(parent, name) {
                Some(existing) => existing,
                None => self.table.add_node(parent, name, *inode).ok_or_else(too_large)?,
            };
            self.hardlinks.remove(&number);
            self.save(number);
            if let Some(node) = self.table.node_mut(number) {
                node.inode = *inode;
            }
            self.table.clear_flag(number, flag::DEAD);
            self.mark_own(number);
            self.last_node = Some(number);
        }
        if let Some(inode) = self.table.inode_mut(*inode) {
            inode.names += 1;
        }
        self.check()
    }

    fn describe(&mut self, path: &[u8], entry: LayerEntry, at: EntryPosition) -> io::Result<()> {
        let Some(number) = self.find(path) else { return Ok(()) };
        if number == ROOT && !self.root_is_described {
            // The root of an image is there before its first entry.
            self.root_is_described = true;
            self.table.set_flag(ROOT, flag::NEW);
        }
        self.save(number);
        self.mark_own(number);
        let inode = self.create(entry, at)?;
        if let Some(node) = self.table.node_mut(number) {
            let old = std::mem::replace(&mut node.inode, inode);
            self.leave(old);
        }
        Ok(())
    }

    fn touch(&mut self, path: &[u8], _layer: u32) {
        if let Some(node) = self.find(path) {
            self.mark_own(node);
        }
    }

    fn remove(&mut self, path: &[u8]) {
        if let Some(node) = self.find(path) {
            self.kill_with_children(node);
        }
    }

    fn clear(&mut self, directory: &[u8], _layer: u32) {
        let Some(directory) = self.find(directory) else { return };
        // What is there since the layer did so before is its own.
        let mut above = directory;
        loop {
            if self.table.has_flag(above, flag::OPAQUE) {
                return;
            }
            match self.table.node(above) {
                Some(node) if node.parent != NONE => above = node.parent,
                _ => break,
            }
        }
        let mut stack = vec![directory];
        while let Some(own) = stack.pop() {
            let children: Vec<_> = self.table.children(own).collect();
            for child in children {
                if self.table.has_flag(child, flag::OWN) {
                    stack.push(child);
                } else {
                    self.kill_with_children(child);
                }
            }
        }
        self.table.set_flag(directory, flag::OPAQUE);
        self.mark_dirty(directory);
    }
}
