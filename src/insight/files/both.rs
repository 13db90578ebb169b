//! Walks the files of two images at once.

use std::cmp::Ordering;
use std::convert::Infallible;

use super::change::{ContentId, FileInfo};
use super::node_table::{ROOT, flag};
use super::path_tree::PathTree;
use super::tree::FileTree;

/// Files in the order of their paths, directories before what is in them.
pub(in crate::insight) trait SortedFiles {
    type Error;

    /// Advances to the next file. Returns false at the end, and must not be called after that.
    fn advance(&mut self) -> Result<bool, Self::Error>;

    /// The path of the file.
    fn path(&self) -> &[u8];

    fn file(&self) -> Option<FileInfo<'_>>;
}

/// The error of [`merge`].
pub(in crate::insight) enum MergeError<R, E> {
    Read(R),
    Visit(E),
}

/// Passes every path that either has to `visit`, with what both have there.
pub(in crate::insight) fn merge<A, B, E>(
    a: &mut A,
    b: &mut B,
    mut visit: impl FnMut(&[u8], Option<FileInfo<'_>>, Option<FileInfo<'_>>) -> Result<(), E>,
) -> Result<(), MergeError<A::Error, E>>
where
    A: SortedFiles,
    B: SortedFiles<Error = A::Error>,
{
    let read = MergeError::Read;
    let (mut in_a, mut in_b) = (a.advance().map_err(read)?, b.advance().map_err(read)?);
    loop {
        let order = match (in_a, in_b) {
            (true, true) => order(a.path(), b.path()),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => return Ok(()),
        };
        let one = if order.is_le() { a.file() } else { None };
        let two = if order.is_ge() { b.file() } else { None };
        let path = if order.is_le() { a.path() } else { b.path() };
        visit(path, one, two).map_err(MergeError::Visit)?;
        if order.is_le() {
            in_a = a.advance().map_err(MergeError::Read)?;
        }
        if order.is_ge() {
            in_b = b.advance().map_err(MergeError::Read)?;
        }
    }
}

/// The order of a walk: by the names of directories, one after the other.
fn order(a: &[u8], b: &[u8]) -> Ordering {
    a.split(|byte| *byte == b'/').cmp(b.split(|byte| *byte == b'/'))
}

/// The files of a tree.
pub(in crate::insight) struct TreeFiles<'a> {
    tree: &'a PathTree,
    /// The nodes that come next, the first of them last.
    stack: Vec<u32>,
    node: u32,
    path: Vec<u8>,
}

impl<'a> TreeFiles<'a> {
    pub(in crate::insight) fn new(tree: &'a FileTree) -> Self {
        Self { tree: tree.names(), stack: vec![ROOT], node: ROOT, path: Vec::new() }
    }

    fn inode(&self) -> Option<u32> {
        Some(self.tree.table.node(self.node)?.inode)
    }

    /// The number of the file's attributes.
    #[cfg(feature = "cli")]
    pub(super) fn attributes(&self) -> Option<u32> {
        Some(self.tree.table.inode(self.inode()?)?.attributes)
    }
}

impl SortedFiles for TreeFiles<'_> {
    type Error = Infallible;

    fn advance(&mut self) -> Result<bool, Infallible> {
        let Some(node) = self.stack.pop() else { return Ok(false) };
        let table = &self.tree.table;
        self.node = node;
        self.tree.path_of(node, &mut self.path);
        let children = table.sorted_children(node).into_iter().rev();
        self.stack.extend(children.filter(|child| !table.has_flag(*child, flag::DEAD)));
        Ok(true)
    }

    fn path(&self) -> &[u8] {
        &self.path
    }

    fn file(&self) -> Option<FileInfo<'_>> {
        self.tree.info(self.inode()?)
    }
}

impl FileTree {
    /// Passes every path of either tree to `visit`, with what this tree and what the other one has there, sorted by path,
    /// directories before what is in them.
    ///
    /// # Errors
    /// Those of `visit`.
    pub fn walk_with<E>(
        &self,
        other: &Self,
        visit: impl FnMut(&[u8], Option<FileInfo<'_>>, Option<FileInfo<'_>>) -> Result<(), E>,
    ) -> Result<(), E> {
        match merge(&mut TreeFiles::new(self), &mut TreeFiles::new(other), visit) {
            Err(MergeError::Visit(error)) => Err(error),
            Ok(()) => Ok(()),
        }
    }

    /// The known contents of all regular files, in no order. One that several files have may come several times.
    pub fn contents(&self) -> impl Iterator<Item = ContentId> {
        self.names().table.contents()
    }
}
