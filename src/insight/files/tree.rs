//! The builder of a tree and its changes.

use std::convert::Infallible;
use std::io;
#[cfg(feature = "cli")]
use std::sync::Arc;

#[cfg(feature = "cli")]
use super::attributes::Attributes;
use super::change::{Change, ContentId, FileInfo, LayerTotals};
use super::node_table::{ROOT, flag};
use super::path_tree::PathTree;
use crate::image_layers::apply::Applier;
use crate::layer::{EntryKind, LayerEntry};

/// The files of an image while its layers are applied, and afterwards.
///
/// Call [`entry`](Self::entry) for each entry of a layer in its order, then [`end_layer`](Self::end_layer), and begin with
/// the next layer.
#[derive(Debug)]
pub struct FileTree {
    applier: Applier<PathTree>,
}

impl FileTree {
    /// Begins with an empty root.
    ///
    /// # Errors
    /// None that occur.
    pub fn new() -> io::Result<Self> {
        let mut applier = Applier::new(PathTree::default())?;
        applier.names.table.clear_flag(ROOT, flag::NEW);
        Ok(Self { applier })
    }

    /// Returns a second tree with the same files, to continue with other layers. Call it between two layers. What neither
    /// of the trees changes is in memory once.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        let names = self.applier.names.fork();
        let layer = names.layer;
        Self { applier: Applier::resume(names, layer) }
    }

    /// Applies the next entry of the current layer.
    ///
    /// # Errors
    /// As for unpacking: a hard link to nothing or to a directory, a parent that is not a directory, a name that is too
    /// long, a loop of links; or the tree is too large. The tree must not be used any more.
    pub fn entry(&mut self, entry: LayerEntry) -> io::Result<()> {
        let names = &mut self.applier.names;
        (names.last_inode, names.last_node) = (None, None);
        if entry.kind != EntryKind::Hardlink {
            return self.applier.entry(entry);
        }
        let target = entry.link.clone();
        self.applier.entry(entry)?;
        let names = &mut self.applier.names;
        if let (Some(node), Some(text)) = (names.last_node, names.table.add_text(&target)) {
            names.hardlinks.insert(node, text);
        }
        Ok(())
    }

    /// Sets the content of the regular file that the last [`entry`](Self::entry) created. No effect after other entries.
    pub fn set_content(&mut self, content: ContentId) {
        let names = &mut self.applier.names;
        if let Some(inode) = names.last_inode
            && names.table.kind(inode) == Some(EntryKind::File)
        {
            names.table.set_content(inode, content);
        }
    }

    /// Ends the current layer and begins the next. Passes the changes of the layer to `visit`, sorted by path, directories
    /// before what is in them. Every path with an entry in the layer is a change, also if the entry says the same as
    /// lower layers, and so are directories that exist only because there is something in them.
    ///
    /// # Errors
    /// Those of `visit`. The rest of the layer is not passed then.
    pub fn end_layer<E>(
        &mut self,
        visit: impl FnMut(&Change<'_>) -> Result<(), E>,
    ) -> Result<LayerTotals, E> {
        self.applier.end_layer();
        self.applier.names.end_layer(visit)
    }

    /// Drops the names and files, and returns their attributes by number.
    #[cfg(feature = "cli")]
    pub(super) fn into_attributes(self) -> Vec<Arc<Attributes>> {
        self.applier.names.table.into_attributes().into_all()
    }

    pub(super) fn names(&self) -> &PathTree {
        &self.applier.names
    }

    /// Number of the layer that is applied, which is the number of layers that have ended.
    pub fn layer(&self) -> usize {
        self.applier.names.layer as usize
    }

    /// Number of paths, including the root.
    pub fn len(&self) -> usize {
        self.applier.names.table.len()
    }

    /// Whether there is only the root.
    pub fn is_empty(&self) -> bool {
        self.len() <= 1
    }

    /// Returns what has this path, which must have no slash at its ends, and no links in its parents.
    pub fn get(&self, path: &[u8]) -> Option<FileInfo<'_>> {
        let names = &self.applier.names;
        names.info(names.table.node(names.find(path)?)?.inode)
    }

    /// Follows all symbolic links of a path, also one at its end, as in a chroot: none leads out of the root. The result
    /// need not exist.
    ///
    /// # Errors
    /// A loop of links, a parent that is not a directory, or a path that is too long.
    pub fn resolve(&self, path: &[u8]) -> io::Result<Vec<u8>> {
        self.applier.resolve(path)
    }

    /// Passes a path and what it has to `visit`, then, if it is a directory, everything in it, with `recursive` also in
    /// directories below, sorted by name. Passes nothing if the path does not exist.
    ///
    /// # Errors
    /// Those of `visit`.
    pub fn walk<E>(
        &self,
        path: &[u8],
        recursive: bool,
        mut visit: impl FnMut(&[u8], &FileInfo<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let names = &self.applier.names;
        let Some(start) = names.find(path) else { return Ok(()) };
        let mut stack = vec![start];
        let mut path = Vec::new();
        while let Some(number) = stack.pop() {
            let Some(node) = names.table.node(number) else { continue };
            names.path_of(number, &mut path);
            if let Some(info) = names.info(node.inode) {
                visit(&path, &info)?;
            }
            if number == start || recursive {
                let children = names.table.sorted_children(number).into_iter().rev();
                stack.extend(children.filter(|child| !names.table.has_flag(*child, flag::DEAD)));
            }
        }
        Ok(())
    }

    /// Like [`FileTree::walk`] over the whole tree, with a `visit` that cannot fail.
    pub(in crate::insight) fn for_each(&self, mut visit: impl FnMut(&[u8], &FileInfo<'_>)) {
        let walked: Result<(), Infallible> = self.walk(b"", true, |path, file| {
            visit(path, file);
            Ok(())
        });
        let Ok(()) = walked;
    }
}
