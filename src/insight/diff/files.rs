//! Files that differ between two images, and what they cost a host that has one of the images.

use std::collections::HashSet;

use serde::Serialize;

#[cfg(feature = "cli")]
use crate::error::{Error, ErrorKind};
#[cfg(feature = "cli")]
use crate::insight::files::list::FileList;
use crate::insight::files::{
    ContentId, FileInfo, FileTree, MergeError, SortedFiles, TreeFiles, merge,
};
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
    visit: impl FnMut(&FileDifference<'_>) -> Result<(), E>,
) -> Result<FileDiff, E> {
    let files = (TreeFiles::new(a), TreeFiles::new(b));
    let compared = match compare(files, shared, includes, visit) {
        Ok(compared) => compared,
        Err(MergeError::Visit(error)) => return Err(error),
    };
    let mut missing = compared.new.sort();
    a.contents().for_each(|content| missing.found(content));
    Ok(FileDiff { pull: missing.cost(), ..compared.totals })
}

/// As [`file_diff`], of lists, so that no tree has to be in memory.
///
/// # Errors
/// Those of `visit`, and of the lists.
#[cfg(feature = "cli")]
pub(crate) fn file_diff_of_lists(
    a: &FileList,
    b: &FileList,
    shared: usize,
    includes: impl Fn(&[u8]) -> bool,
    visit: impl FnMut(&FileDifference<'_>) -> crate::Result<()>,
) -> crate::Result<FileDiff> {
    let fail = |error| Error::new(ErrorKind::Store, "temporary file").with_source(error);
    let files = (a.files().map_err(fail)?, b.files().map_err(fail)?);
    let compared = compare(files, shared, includes, visit).map_err(|error| match error {
        MergeError::Read(error) => fail(error),
        MergeError::Visit(error) => error,
    })?;
    let mut missing = compared.new.sort();
    let mut files = a.files().map_err(fail)?;
    while files.advance().map_err(fail)? {
        if let Some(content) = files.file().and_then(|file| file.content) {
            missing.found(content);
        }
    }
    Ok(FileDiff { pull: missing.cost(), ..compared.totals })
}

/// Passes what differs, and is included, to `visit`, and counts it.
fn compare<A: SortedFiles, B: SortedFiles<Error = A::Error>, E>(
    (mut a, mut b): (A, B),
    shared: usize,
    includes: impl Fn(&[u8]) -> bool,
    mut visit: impl FnMut(&FileDifference<'_>) -> Result<(), E>,
) -> Result<Compared, MergeError<A::Error, E>> {
    let mut compared = Compared { shared, ..Compared::default() };
    merge(&mut a, &mut b, |path, a, b| {
        // Asked about every path: one that both have alike is no difference, but is there.
        let is_included = includes(path);
        let Some(found) = compared.difference(path, a, b) else { return Ok(()) };
        if is_included { visit(compared.count(&found)) } else { Ok(()) }
    })?;
    Ok(compared)
}

/// What is counted while two images are compared.
#[derive(Default)]
struct Compared {
    /// Number of layers that both begin with.
    shared: usize,
    totals: FileDiff,
    /// Files with several names whose bytes were counted.
    of_a: HashSet<u32>,
    of_b: HashSet<u32>,
    new: NewContents,
}

impl Compared {
    /// How the two differ at a path, if they do.
    fn difference<'a>(
        &self,
        path: &'a [u8],
        a: Option<FileInfo<'a>>,
        b: Option<FileInfo<'a>>,
    ) -> Option<FileDifference<'a>> {
        let differs = a.zip(b).map(|(a, b)| aspects(&a, &b, self.shared)).unwrap_or_default();
        let differ = a.is_some() != b.is_some() || !differs.is_empty();
        differ.then_some(FileDifference { path, a, b, differs })
    }

    fn count<'a, 'b>(&mut self, found: &'b FileDifference<'a>) -> &'b FileDifference<'a> {
        let FileDifference { a, b, differs, .. } = found;
        let (share, counted, file) = match (a, b) {
            (None, Some(b)) => (&mut self.totals.added, &mut self.of_b, b),
            (Some(a), None) => (&mut self.totals.removed, &mut self.of_a, a),
            (Some(_), Some(b)) => (&mut self.totals.changed, &mut self.of_b, b),
            (None, None) => return found,
        };
        share.paths += 1;
        if file.names < 2 || counted.insert(file.inode) {
            share.bytes = share.bytes.saturating_add(file.size);
            if b.is_some() && (a.is_none() || differs.contains(&FileAspect::Content)) {
                self.new.add(file);
            }
        }
        found
    }
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

    /// Prepares for looking for them in A.
    fn sort(mut self) -> MissingContents {
        self.known.sort_unstable();
        self.known.dedup_by_key(|(content, _)| *content);
        MissingContents { in_a: vec![false; self.known.len()], new: self }
    }
}

/// Contents of B that were not found in A so far.
struct MissingContents {
    new: NewContents,
    in_a: Vec<bool>,
}

impl MissingContents {
    /// A has this content.
    fn found(&mut self, content: ContentId) {
        let at = self.new.known.binary_search_by_key(&content, |(known, _)| *known);
        if let Some(found) = at.ok().and_then(|at| self.in_a.get_mut(at)) {
            *found = true;
        }
    }

    fn cost(self) -> FilePullCost {
        let new = self.new.known.iter().zip(self.in_a).filter(|(_, in_a)| !in_a);
        new.fold(self.new.unknown, |mut cost, ((_, size), _)| {
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

    #[cfg(feature = "cli")]
    #[test]
    fn difference_of_lists_equals_difference_of_trees() {
        let (mut a, mut b) = (FileTree::new().unwrap(), FileTree::new().unwrap());
        add(&mut a, &["x", "same", "HOLES", "dir/deep/x", "dir.d/x", "y/gone"]);
        add(&mut b, &["one", "same", "HOLES", "dir/deep/y", "dir.d/x", "y", "two-more", "two"]);
        let of_trees = diff(&a, &b, 0);
        let mut paths = Vec::new();
        let visit = |found: &FileDifference<'_>| {
            paths.push(found.path.to_vec());
            Ok(())
        };
        let [a, b] = [a, b].map(|tree| FileList::new(tree).unwrap());
        let totals = file_diff_of_lists(&a, &b, 0, |_| true, visit).unwrap();
        assert_eq!((of_trees.0.split(' ').count(), of_trees.1), (paths.len(), totals));
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
