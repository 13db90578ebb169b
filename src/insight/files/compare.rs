//! Compares the tree after a layer with the tree before it, and forgets the latter.

use std::collections::HashSet;

use super::change::{Change, ChangeKind, FileInfo, Hidden, LayerTotals};
use super::node_table::{COUNTED, NONE, ROOT, SizeAndTime, flag};
use super::path_tree::PathTree;
use crate::layer::EntryKind;

/// A name in a deleted directory.
struct Implied {
    node: u32,
    hidden: Hidden,
}

/// What was passed so far.
struct Passed<F> {
    visit: F,
    totals: LayerTotals,
    /// Files with several names whose bytes were counted.
    counted: HashSet<u32>,
}

impl PathTree {
    /// Passes all changes of the layer to `visit` in the order of their paths, directories before what is in them, and
    /// begins the next layer. After an error of `visit` the rest of the layer is not passed.
    pub(super) fn end_layer<E>(
        &mut self,
        visit: impl FnMut(&Change<'_>) -> Result<(), E>,
    ) -> Result<LayerTotals, E> {
        self.saved.sort_unstable();
        let (totals, counted) = (LayerTotals::default(), HashSet::new());
        let mut passed = Passed { visit, totals, counted };
        let result = self.visit_changes(&mut passed);
        self.forget_layer();
        self.next_layer();
        result.map(|()| passed.totals)
    }

    fn visit_changes<E>(
        &mut self,
        passed: &mut Passed<impl FnMut(&Change<'_>) -> Result<(), E>>,
    ) -> Result<(), E> {
        let mut stack = vec![ROOT];
        while let Some(node) = stack.pop() {
            let own = self.hide(node);
            passed.totals.hidden.add(own);
            if self.was_directory(node) && !(self.is_alive(node) && self.is_directory(node)) {
                let below = self.implied(node);
                let mut hidden_below = Hidden::default();
                for implied in &below {
                    hidden_below.add(implied.hidden);
                }
                passed.totals.hidden.add(hidden_below);
                self.visit(node, own, Some(hidden_below), passed)?;
                for Implied { node, hidden } in below {
                    self.visit(node, hidden, None, passed)?;
                }
                continue;
            }
            self.visit(node, own, Some(Hidden::default()), passed)?;
            let children = self.table.sorted_children(node).into_iter().rev();
            stack.extend(children.filter(|child| self.table.has_flag(*child, flag::DIRTY)));
        }
        Ok(())
    }

    /// Passes the change of one name, if it has changed. `hidden_below` is `None` for an implied change.
    fn visit<E>(
        &self,
        number: u32,
        hidden: Hidden,
        hidden_below: Option<Hidden>,
        passed: &mut Passed<impl FnMut(&Change<'_>) -> Result<(), E>>,
    ) -> Result<(), E> {
        let Some(node) = self.table.node(number) else { return Ok(()) };
        let before = self.saved_inode(number);
        let after = Some(node.inode).filter(|_| self.is_alive(number));
        let kind = match (before, after) {
            (None, Some(_)) if self.table.has_flag(number, flag::NEW) => ChangeKind::Added,
            (Some(_), Some(_)) => ChangeKind::Modified,
            (Some(_), None) => ChangeKind::Deleted,
            _ => return Ok(()),
        };
        let info = |inode: Option<u32>| inode.and_then(|inode| self.info(inode));
        let (before, after) = (info(before), info(after));
        let mut path = Vec::new();
        self.path_of(number, &mut path);
        let hardlink = self.hardlinks.get(&number).map(|text| self.table.text(*text));
        let change = Change {
            path: &path,
            kind,
            before,
            after,
            hardlink: hardlink.filter(|_| after.is_some()),
            hidden,
            hidden_below: hidden_below.unwrap_or_default(),
            implied: hidden_below.is_none(),
        };
        passed.totals.count(self.layer as usize, &change, &mut passed.counted);
        (passed.visit)(&change)
    }

    /// The names below a directory of lower layers that is gone, in the order of their paths.
    fn implied(&mut self, directory: u32) -> Vec<Implied> {
        let mut found = Vec::new();
        let mut stack = self.table.sorted_children(directory);
        stack.reverse();
        while let Some(node) = stack.pop() {
            if self.table.has_flag(node, flag::SAVED) {
                found.push(Implied { node, hidden: self.hide(node) });
            }
            stack.extend(self.table.sorted_children(node).into_iter().rev());
        }
        found
    }

    /// Returns the file of lower layers that had this name, unless it has others or was returned before.
    fn hide(&mut self, node: u32) -> Hidden {
        let Some(inode) = self.saved_inode(node) else { return Hidden::default() };
        if self.table.kind(inode) != Some(EntryKind::File) {
            return Hidden::default();
        }
        let Some(bytes) = self.table.size_and_time(inode).map(|found| found.size) else {
            return Hidden::default();
        };
        match self.table.inode_mut(inode) {
            Some(inode) if inode.names == 0 => {
                inode.names = COUNTED;
                Hidden { files: 1, bytes }
            }
            _ => Hidden::default(),
        }
    }

    fn is_alive(&self, node: u32) -> bool {
        !self.table.has_flag(node, flag::DEAD)
    }

    fn was_directory(&self, node: u32) -> bool {
        let inode = self.saved_inode(node);
        inode.and_then(|inode| self.table.kind(inode)) == Some(EntryKind::Directory)
    }

    fn saved_inode(&self, node: u32) -> Option<u32> {
        if !self.table.has_flag(node, flag::SAVED) {
            return None;
        }
        let at = self.saved.binary_search_by_key(&node, |(node, _)| *node).ok()?;
        self.saved.get(at).map(|(_, inode)| *inode)
    }

    /// Writes the path of a node.
    pub(super) fn path_of(&self, node: u32, path: &mut Vec<u8>) {
        path.clear();
        let mut parts = Vec::new();
        let mut at = node;
        while let Some(node) = self.table.node(at).filter(|node| node.parent != NONE) {
            parts.push(self.table.text(node.name));
            at = node.parent;
        }
        for part in parts.into_iter().rev() {
            crate::image_layers::resolve::push(path, part);
        }
    }

    pub(super) fn info(&self, inode: u32) -> Option<FileInfo<'_>> {
        let attributes = self.table.attributes(inode)?;
        let found = self.table.inode(inode)?;
        let SizeAndTime { size, mtime } = self.table.size_and_time(inode)?;
        Some(FileInfo {
            kind: attributes.kind,
            mode: attributes.mode,
            uid: attributes.uid,
            gid: attributes.gid,
            size,
            mtime,
            link: self.table.text(found.link),
            device: attributes.device,
            xattrs: &attributes.xattrs,
            layer: found.layer as usize,
            entry: found.entry,
            names: if found.names == COUNTED { 0 } else { found.names },
            content: self.table.content(inode),
            inode,
        })
    }

    /// Clears the flags of all names that the layer changed, and removes those that are gone.
    fn forget_layer(&mut self) {
        let mut stack = vec![ROOT];
        while let Some(directory) = stack.pop() {
            let children: Vec<_> = self.table.children(directory).collect();
            let mut first = NONE;
            for child in children {
                let is_dirty = self.table.has_flag(child, flag::DIRTY);
                if is_dirty {
                    stack.push(child);
                }
                if self.is_alive(child)
                    && let Some(node) = self.table.node_mut(child)
                {
                    node.next = first;
                    first = child;
                }
            }
            self.table.set_first_child(directory, first);
            if self.table.take_flags(directory) & flag::DEAD != 0 {
                self.table.free_node(directory);
            }
        }
        let mut gone: Vec<_> =
            std::mem::take(&mut self.saved).into_iter().map(|(_, old)| old).collect();
        gone.sort_unstable();
        gone.dedup();
        for inode in gone {
            if self.table.inode(inode).is_some_and(|inode| matches!(inode.names, 0 | COUNTED)) {
                self.table.free_inode(inode);
            }
        }
    }
}

impl LayerTotals {
    /// Counts a change of this layer, but not what it hides. `counted` has the files with several names that were counted.
    pub(crate) fn count(&mut self, layer: usize, change: &Change<'_>, counted: &mut HashSet<u32>) {
        match change.kind {
            ChangeKind::Added => self.added += 1,
            ChangeKind::Modified => self.modified += 1,
            ChangeKind::Deleted => self.deleted += u64::from(!change.implied),
        }
        if let Some(after) = change.after.filter(|after| after.layer == layer) {
            let is_counted = after.names > 1 && !counted.insert(after.inode);
            let size = if is_counted { 0 } else { after.size };
            // Sizes of a table of contents may lie.
            self.bytes = self.bytes.saturating_add(size);
        }
    }
}
