//! Walks two trees at once.

use std::cmp::Ordering;

use super::change::{ContentId, FileInfo};
use super::node_table::{ROOT, flag};
use super::path_tree::PathTree;
use super::tree::FileTree;

/// The node of a path in either tree.
type Pair = (Option<u32>, Option<u32>);

impl FileTree {
    /// Passes every path of either tree to `visit`, with what this tree and what the other one has there, sorted by path,
    /// directories before what is in them.
    ///
    /// # Errors
    /// Those of `visit`.
    pub fn walk_with<E>(
        &self,
        other: &Self,
        mut visit: impl FnMut(&[u8], Option<FileInfo<'_>>, Option<FileInfo<'_>>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (own, other) = (self.names(), other.names());
        let mut stack: Vec<Pair> = vec![(Some(ROOT), Some(ROOT))];
        let mut path = Vec::new();
        while let Some((one, two)) = stack.pop() {
            match (one, two) {
                (Some(node), _) => own.path_of(node, &mut path),
                (None, Some(node)) => other.path_of(node, &mut path),
                (None, None) => continue,
            }
            visit(&path, info(own, one), info(other, two))?;
            let pairs = pairs(own, children(own, one), other, children(other, two));
            stack.extend(pairs.into_iter().rev());
        }
        Ok(())
    }

    /// The known contents of all regular files, in no order. One that several files have may come several times.
    pub fn contents(&self) -> impl Iterator<Item = ContentId> {
        self.names().table.contents()
    }
}

fn info(tree: &PathTree, node: Option<u32>) -> Option<FileInfo<'_>> {
    tree.info(tree.table.node(node?)?.inode)
}

fn children(tree: &PathTree, node: Option<u32>) -> Vec<u32> {
    let mut children = node.map(|node| tree.table.sorted_children(node)).unwrap_or_default();
    children.retain(|child| !tree.table.has_flag(*child, flag::DEAD));
    children
}

fn name(tree: &PathTree, node: u32) -> &[u8] {
    tree.table.node(node).map_or(&b""[..], |node| tree.table.text(node.name))
}

/// Merges the sorted names of two directories.
fn pairs(one: &PathTree, own: Vec<u32>, two: &PathTree, others: Vec<u32>) -> Vec<Pair> {
    let (mut own, mut others) = (own.into_iter().peekable(), others.into_iter().peekable());
    let mut pairs = Vec::with_capacity(own.len().max(others.len()));
    loop {
        let order = match (own.peek(), others.peek()) {
            (Some(a), Some(b)) => name(one, *a).cmp(name(two, *b)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return pairs,
        };
        pairs.push((
            if order.is_le() { own.next() } else { None },
            if order.is_ge() { others.next() } else { None },
        ));
    }
}
