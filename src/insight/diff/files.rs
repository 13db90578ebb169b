//! Files that differ between two images, and what they cost a host that has one of the images.

use std::collections::HashSet;

use serde::Serialize;

use crate::insight::files::{ContentId, FileInfo, FileTree};
use crate::layer::EntryKind;

/// What can differ between two files of one path. Times and the number of names are not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FileAspect {
    /// Regular file, directory, link or device.
    Type,
    /// The bytes of regular files.
    Content,
    /// The target of symbolic links.
    Link,
    /// The number of devices.
    Device,
    /// Permissions with set-id and sticky bits.
    Mode,
    /// Owner or group.
    Owner,
    /// Extended attributes.
    Xattrs,
}

/// A path at which two images differ.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileDifference<'a> {
    /// The path from the root, without a leading slash; empty for the root.
    pub path: &'a [u8],
    /// What A has there; `None` if B added it.
    pub a: Option<FileInfo<'a>>,
    /// What B has there; `None` if it was removed.
    pub b: Option<FileInfo<'a>>,
    /// What differs, if both have the path; otherwise empty.
    pub differs: Vec<FileAspect>,
}

/// A number of paths, and the bytes of the regular files among them. A file with several names counts its bytes once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PathShare {
    /// Paths.
    pub paths: u64,
    /// Uncompressed bytes.
    pub bytes: u64,
}

/// Regular files of B whose content A has nowhere, each content once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FilePullCost {
    /// Distinct contents.
    pub files: u64,
    /// Uncompressed bytes of these.
    pub bytes: u64,
}

/// Totals of the paths at which two images differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FileDiff {
    /// Paths that only B has.
    pub added: PathShare,
    /// Paths that both have, with the bytes of B.
    pub changed: PathShare,
    /// Paths that only A has.
    pub removed: PathShare,
    /// What would have to be transferred to a host that has A if files were transferred instead of layers.
    pub pull: FilePullCost,
}

/// Compares the files of two images that were read with their contents. The first `shared` layers of both are the same.
/// Passes each path that `includes` accepts and at which they differ to `visit`, sorted, directories before what is in
/// them; the totals are of these paths.
///
/// The content of a file with holes is not known. It counts as the same only where both images have the file from the same
/// entry of a shared layer.
///
/// # Errors
/// Those of `visit`.
pub fn file_diff<E>(
    a: &FileTree,
    b: &FileTree,
    shared: usize,
    includes: impl Fn(&[u8]) -> bool,
    mut visit: impl FnMut(&FileDifference<'_>) -> Result<(), E>,
) -> Result<FileDiff, E> {
    let mut totals = FileDiff::default();
    let (mut of_a, mut of_b) = (HashSet::new(), HashSet::new());
    let mut new = NewContents::default();
    a.walk_with(b, |path, a, b| {
        let differs = a.zip(b).map(|(a, b)| aspects(&a, &b, shared)).unwrap_or_default();
        if (a.is_some() && b.is_some() && differs.is_empty()) || !includes(path) {
            return Ok(());
        }
        let (share, counted, file) = match (a, b) {
            (None, Some(b)) => (&mut totals.added, &mut of_b, b),
            (Some(a), None) => (&mut totals.removed, &mut of_a, a),
            (Some(_), Some(b)) => (&mut totals.changed, &mut of_b, b),
            (None, None) => return Ok(()),
        };
        share.paths += 1;
        if file.names < 2 || counted.insert(file.inode) {
            share.bytes = share.bytes.saturating_add(file.size);
            if b.is_some() && (a.is_none() || differs.contains(&FileAspect::Content)) {
                new.add(&file);
            }
        }
        visit(&FileDifference { path, a, b, differs })
    })?;
    totals.pull = new.cost(a);
    Ok(totals)
}

fn aspects(a: &FileInfo<'_>, b: &FileInfo<'_>, shared: usize) -> Vec<FileAspect> {
    let both = |kind| a.kind == kind && b.kind == kind;
    let differs = [
        (FileAspect::Type, a.kind != b.kind),
        (FileAspect::Content, both(EntryKind::File) && !has_same_content(a, b, shared)),
        (FileAspect::Link, both(EntryKind::Symlink) && a.link != b.link),
        (FileAspect::Device, a.kind == b.kind && a.device != b.device),
        (FileAspect::Mode, a.mode != b.mode),
        (FileAspect::Owner, (a.uid, a.gid) != (b.uid, b.gid)),
        (FileAspect::Xattrs, a.xattrs != b.xattrs),
    ];
    differs.into_iter().filter(|(_, differs)| *differs).map(|(aspect, _)| aspect).collect()
}

fn has_same_content(a: &FileInfo<'_>, b: &FileInfo<'_>, shared: usize) -> bool {
    let is_same_entry = a.layer < shared && (a.layer, a.entry) == (b.layer, b.entry);
    is_same_entry || (a.content.is_some() && a.content == b.content)
}

/// Contents of B that may be new to A.
#[derive(Default)]
struct NewContents {
    known: Vec<(ContentId, u64)>,
    /// Files with unknown content.
    unknown: FilePullCost,
}

impl NewContents {
    fn add(&mut self, file: &FileInfo<'_>) {
        match file.content {
            _ if file.kind != EntryKind::File => {}
            Some(content) => self.known.push((content, file.size)),
            None => self.unknown.add(file.size),
        }
    }

    /// Counts those that `a` does not have.
    fn cost(mut self, a: &FileTree) -> FilePullCost {
        self.known.sort_unstable();
        self.known.dedup_by_key(|(content, _)| *content);
        let mut in_a = vec![false; self.known.len()];
        for content in a.contents() {
            let at = self.known.binary_search_by_key(&content, |(known, _)| *known);
            if let Some(found) = at.ok().and_then(|at| in_a.get_mut(at)) {
                *found = true;
            }
        }
        let new = self.known.iter().zip(in_a).filter(|(_, in_a)| !in_a);
        new.fold(self.unknown, |mut cost, ((_, size), _)| {
            cost.add(*size);
            cost
        })
    }
}

impl FilePullCost {
    fn add(&mut self, size: u64) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_layers::apply::implicit_dir;
    use crate::layer::LayerEntry;

    /// Adds files of 10 bytes; a file named in capitals has unknown content, others have that of their first letter.
    fn add(tree: &mut FileTree, paths: &[&str]) {
        for path in paths {
            let kind = EntryKind::File;
            let file = LayerEntry { path: (*path).into(), kind, size: 10, ..implicit_dir() };
            tree.entry(file).unwrap();
            if let Some(first) = path.bytes().next().filter(u8::is_ascii_lowercase) {
                tree.set_content(ContentId::from_sha256(&[first; 32]));
            }
        }
        tree.end_layer(|_| Ok::<_, ()>(())).unwrap();
    }

    fn diff(a: &FileTree, b: &FileTree, shared: usize) -> (String, FileDiff) {
        let mut found = Vec::new();
        let visit = |difference: &FileDifference<'_>| {
            let sign = match (&difference.a, &difference.b) {
                (None, _) => "+",
                (_, None) => "-",
                _ => "=",
            };
            found.push(format!("{sign}{}", difference.path.escape_ascii()));
            Ok::<_, ()>(())
        };
        let totals = file_diff(a, b, shared, |_| true, visit).unwrap();
        (found.join(" "), totals)
    }

    #[test]
    fn unknown_content_is_same_only_in_shared_layer() {
        let mut a = FileTree::new().unwrap();
        add(&mut a, &["HOLES", "x"]);
        let mut b = a.fork();
        add(&mut b, &["y"]);
        assert_eq!(diff(&a, &b, 1).0, "+y");
        assert_eq!(diff(&a, &b, 0).0, "=HOLES +y");
        assert_eq!(diff(&a, &b, 0).1.pull, FilePullCost { files: 2, bytes: 20 });
    }

    #[test]
    fn content_counts_once_and_not_if_other_image_has_it() {
        let (mut a, mut b) = (FileTree::new().unwrap(), FileTree::new().unwrap());
        add(&mut a, &["one", "x"]);
        add(&mut b, &["one", "one-more", "two", "two-more"]);
        let (found, totals) = diff(&a, &b, 0);
        assert_eq!(found, "+one-more +two +two-more -x");
        assert_eq!(totals.pull, FilePullCost { files: 1, bytes: 10 });
        assert_eq!((totals.added, totals.removed.paths), (PathShare { paths: 3, bytes: 30 }, 1));
    }

    #[test]
    fn forks_of_tree_change_alone() {
        let mut a = FileTree::new().unwrap();
        add(&mut a, &["dir/a", "dir/b", "c"]);
        let mut b = a.fork();
        for (tree, path) in [(&mut a, "dir"), (&mut b, "c")] {
            let kind = EntryKind::Whiteout;
            tree.entry(LayerEntry { path: path.into(), kind, ..implicit_dir() }).unwrap();
            add(tree, &["x/new"]);
        }
        assert_eq!(diff(&a, &b, 1).0, "-c +dir +dir/a +dir/b");
        assert_eq!((a.len(), b.len(), a.layer()), (4, 6, 2));
    }
}
