//! Orders the entries of a flattened tar: as in the layers, so that each layer is read once; files before their hard
//! links; each name once, because docker and podman reject duplicates.
//!
//! A directory comes directly before its entries if they are contiguous. Otherwise it comes last, the deepest first:
//! creating an entry changes the directory's time, which GNU tar restores as soon as it reads a name in another
//! directory.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::path_map::{Inode, PathMap};
use crate::image_layers::apply::EntryPosition;
use crate::layer::{EntryKind, split};

/// An entry to write.
#[derive(Clone, Copy, Debug)]
pub(super) struct TarItem<'a> {
    /// The layer entry that it is written with; `None` after the entries of all layers.
    pub(super) position: Option<EntryPosition>,
    pub(super) path: &'a [u8],
    pub(super) inode: &'a Arc<Inode>,
    /// The target of a hard link.
    pub(super) hardlink_to: Option<&'a [u8]>,
}

impl TarItem<'_> {
    fn is_directory(&self) -> bool {
        self.inode.entry.kind == EntryKind::Directory
    }

    /// Whether GNU tar creates the entry only at its end, so that it must be the last in its directory. A symbolic link
    /// with several names stays in place, because the other names need it.
    fn is_delayed_by_gnu_tar(&self) -> bool {
        let link = &self.inode.entry.link;
        let leads_up = || link.split(|&byte| byte == b'/').any(|part| part == b"..");
        self.inode.entry.kind == EntryKind::Symlink
            && Arc::strong_count(self.inode) == 1
            && (link.starts_with(b"/") || leads_up())
    }

    /// Whether the entry's data is needed.
    pub(super) fn has_data(&self) -> bool {
        self.hardlink_to.is_none()
            && self.inode.entry.kind == EntryKind::File
            && self.inode.entry.size > 0
    }
}

/// Returns all entries in the order in which they are written.
pub(super) fn items(names: &PathMap) -> Vec<TarItem<'_>> {
    let sorted = sorted_by_position(names);
    let deferred = deferred_dirs(&sorted);
    let directory = |path, position| {
        let name = names.get(path)?;
        Some(TarItem { position, path, inode: &name.inode, hardlink_to: None })
    };
    let mut ordered = Vec::with_capacity(sorted.len());
    let mut started = HashSet::new();
    let mut delayed: HashMap<&[u8], Vec<TarItem<'_>>> = HashMap::new();
    for item in sorted {
        let (parent, _) = split(item.path);
        if item.is_delayed_by_gnu_tar() && deferred.contains(parent) {
            // GNU tar delays the directory's time for such a link if it follows the directory directly.
            delayed.entry(parent).or_default().push(TarItem { position: None, ..item });
            continue;
        }
        for path in unstarted_parents(item.path, &started) {
            started.insert(path);
            if !deferred.contains(path) {
                ordered.extend(directory(path, item.position));
            }
        }
        if !item.is_directory() || (started.insert(item.path) && !deferred.contains(item.path)) {
            ordered.push(item);
        }
    }
    for path in deferred.into_iter().rev() {
        ordered.extend(directory(path, None));
        ordered.extend(delayed.remove(path).unwrap_or_default());
    }
    ordered
}

/// Sorts the names by the layer entries that they are written with. The first name of a file is written with the entry
/// that has the data.
fn sorted_by_position(names: &PathMap) -> Vec<TarItem<'_>> {
    let mut firsts: HashMap<EntryPosition, (EntryPosition, &[u8])> = HashMap::new();
    for (path, name) in names.iter().filter(|(_, name)| Arc::strong_count(&name.inode) > 1) {
        let candidate = (name.created_by, path);
        let first = firsts.entry(name.inode.created_by).or_insert(candidate);
        *first = candidate.min(*first);
    }
    let mut items: Vec<_> = names
        .iter()
        .map(|(path, name)| {
            let inode = &name.inode;
            let first = firsts.get(&inode.created_by).map(|(_, first)| *first);
            let hardlink_to = first.filter(|first| *first != path && !name.is_directory());
            let is_first = hardlink_to.is_none() && !name.is_directory();
            let position = if is_first { inode.created_by } else { name.created_by };
            TarItem { position: Some(position), path, inode, hardlink_to }
        })
        .collect();
    // A stable sort keeps the names of one layer entry in path order.
    items.sort_by_key(|item| item.position);
    items
}

/// Returns directories whose entries are not contiguous, and their parents. The root is one of them if it has any
/// entry, because its name is not a prefix of others.
fn deferred_dirs<'a>(items: &[TarItem<'a>]) -> BTreeSet<&'a [u8]> {
    let mut deferred = BTreeSet::new();
    let mut started = HashSet::new();
    // The directories above the last name.
    let mut open: Vec<&[u8]> = Vec::new();
    for item in items.iter().filter(|item| !item.path.is_empty()) {
        let mut paths = unstarted_parents(item.path, &started);
        started.extend(&paths);
        if !item.is_directory() || started.insert(item.path) {
            paths.push(item.path);
        }
        for path in paths {
            while open.last().is_some_and(|open| !is_inside(path, open)) {
                open.pop();
            }
            let mut parent = split(path).0;
            if open.last().copied() != Some(parent) {
                while deferred.insert(parent) && !parent.is_empty() {
                    parent = split(parent).0;
                }
            }
            if path != item.path || item.is_directory() {
                open.push(path);
            }
        }
    }
    deferred
}

/// Returns the directories above this path that no earlier entry is in, without the root, top first.
fn unstarted_parents<'a>(path: &'a [u8], started: &HashSet<&'a [u8]>) -> Vec<&'a [u8]> {
    if started.contains(split(path).0) {
        return Vec::new();
    }
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    ends.filter_map(|(end, _)| path.get(..end)).filter(|path| !started.contains(path)).collect()
}

fn is_inside(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_layers::apply::{NameTree as _, implicit_dir};

    /// Returns the order of these paths, one entry each. A trailing slash marks a directory, a trailing `@` a link that
    /// GNU tar creates at its end.
    fn order(paths: &[&str]) -> String {
        let mut names = PathMap::default();
        for (entry, path) in (0..).zip(paths) {
            let at = EntryPosition { layer: 0, entry };
            let mut metadata = implicit_dir();
            let name = path.trim_end_matches(['/', '@']);
            if path.ends_with('@') {
                (metadata.kind, metadata.link) = (EntryKind::Symlink, b"../x".to_vec());
            } else if !path.ends_with('/') {
                metadata.kind = EntryKind::File;
            }
            let inode = names.create(metadata, at).unwrap();
            names.add(name.into(), &inode, at).unwrap();
        }
        let name = |item: &TarItem<'_>| match item.path {
            b"" => ".".to_owned(),
            path => String::from_utf8_lossy(path).into_owned(),
        };
        items(&names).iter().map(name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn directory_comes_directly_before_or_after_its_entries() {
        for (paths, expected) in [
            (&["/"][..], "."),
            (&["/", "f"], "f ."),
            (&["/", "a/", "a/b/", "a/b/c", "a/x"], "a a/b a/b/c a/x ."),
            (&["/", "a/b/c", "a/", "a/b/"], "a a/b a/b/c ."),
            (&["/", "a/", "a/b", "ab/", "ab/c"], "a a/b ab ab/c ."),
            (&["/", "a/", "a/b/", "a/b/c", "d", "a/b/e"], "a/b/c d a/b/e a/b a ."),
            (&["/", "a/", "a/b/", "a/b/c", "d", "a/e"], "a/b a/b/c d a/e a ."),
            (&["/", "a/", "d/", "a/b/", "a/b/c", "d/e"], "a/b a/b/c d/e d a ."),
        ] {
            assert_eq!(order(paths), expected, "{paths:?}");
        }
    }

    #[test]
    fn delayed_symlink_follows_its_directory() {
        for (paths, expected) in [
            (&["/", "a/", "a/s@", "a/b"][..], "a a/s a/b ."),
            (&["/", "a/", "a/s@", "d", "a/b"], "d a/b a a/s ."),
            (&["/", "s@", "a/", "a/b/", "a/b/s@", "d", "a/b/t@"], "d a/b a/b/s a/b/t a . s"),
        ] {
            assert_eq!(order(paths), expected, "{paths:?}");
        }
    }
}
