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

/// Position after the entries of all layers.
const LAST: EntryPosition = EntryPosition { layer: u32::MAX, entry: u32::MAX };

/// An entry to write.
#[derive(Clone, Copy, Debug)]
pub(super) struct TarItem<'a> {
    /// The layer entry that it is written with.
    pub(super) at: EntryPosition,
    pub(super) path: &'a [u8],
    pub(super) node: &'a Arc<Inode>,
    /// The target of a hard link.
    pub(super) hardlink_to: Option<&'a [u8]>,
}

impl TarItem<'_> {
    fn is_directory(&self) -> bool {
        self.node.entry.kind == EntryKind::Directory
    }

    /// Whether GNU tar creates the entry only at its end, so that it must be the last in its directory. A symbolic link
    /// with several names stays in place, because the other names need it.
    fn is_delayed_by_gnu_tar(&self) -> bool {
        let link = &self.node.entry.link;
        let leads_up = || link.split(|&byte| byte == b'/').any(|part| part == b"..");
        self.node.entry.kind == EntryKind::Symlink
            && Arc::strong_count(self.node) == 1
            && (link.starts_with(b"/") || leads_up())
    }

    /// Whether the entry's data is needed.
    pub(super) fn has_bytes(&self) -> bool {
        self.hardlink_to.is_none()
            && self.node.entry.kind == EntryKind::File
            && self.node.entry.size > 0
    }
}

/// Returns all entries in the order in which they are written.
pub(super) fn items(names: &PathMap) -> Vec<TarItem<'_>> {
    let sorted = by_entries(names);
    let deferred = deferred_dirs(&sorted);
    let directory = |path, at| {
        let name = names.get(path)?;
        Some(TarItem { at, path, node: &name.node, hardlink_to: None })
    };
    let mut ordered = Vec::with_capacity(sorted.len());
    let mut started = HashSet::new();
    let mut delayed: HashMap<&[u8], Vec<TarItem<'_>>> = HashMap::new();
    for item in sorted {
        let (parent, _) = split(item.path);
        if item.is_delayed_by_gnu_tar() && deferred.contains(parent) {
            // GNU tar delays the directory's time for such a link if it follows the directory directly.
            delayed.entry(parent).or_default().push(TarItem { at: LAST, ..item });
            continue;
        }
        for path in missing(item.path, &started) {
            started.insert(path);
            if !deferred.contains(path) {
                ordered.extend(directory(path, item.at));
            }
        }
        if !item.is_directory() || (started.insert(item.path) && !deferred.contains(item.path)) {
            ordered.push(item);
        }
    }
    for path in deferred.into_iter().rev() {
        ordered.extend(directory(path, LAST));
        ordered.extend(delayed.remove(path).unwrap_or_default());
    }
    ordered
}

/// Sorts the names by the layer entries that they are written with. The first name of a file is written with the entry
/// that has the data.
fn by_entries(names: &PathMap) -> Vec<TarItem<'_>> {
    let mut firsts: HashMap<EntryPosition, (EntryPosition, &[u8])> = HashMap::new();
    for (path, name) in names.iter().filter(|(_, name)| Arc::strong_count(&name.node) > 1) {
        let own = (name.made, path);
        let first = firsts.entry(name.node.made).or_insert(own);
        *first = own.min(*first);
    }
    let mut items: Vec<_> = names
        .iter()
        .map(|(path, name)| {
            let node = &name.node;
            let first = firsts.get(&node.made).map(|(_, first)| *first);
            let same_as = first.filter(|first| *first != path && !name.is_directory());
            let is_first = same_as.is_none() && !name.is_directory();
            TarItem {
                at: if is_first { node.made } else { name.made },
                path,
                node,
                hardlink_to: same_as,
            }
        })
        .collect();
    // A stable sort keeps the names of one layer entry in path order.
    items.sort_by_key(|item| item.at);
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
        let mut steps = missing(item.path, &started);
        started.extend(&steps);
        if !item.is_directory() || started.insert(item.path) {
            steps.push(item.path);
        }
        for path in steps {
            while open.last().is_some_and(|open| !is_in(path, open)) {
                open.pop();
            }
            let mut above = split(path).0;
            if open.last().copied() != Some(above) {
                while deferred.insert(above) && !above.is_empty() {
                    above = split(above).0;
                }
            }
            if path != item.path || item.is_directory() {
                open.push(path);
            }
        }
    }
    deferred
}

/// Returns the directories above this path, without the root, that were not begun yet.
fn missing<'a>(path: &'a [u8], started: &HashSet<&'a [u8]>) -> Vec<&'a [u8]> {
    if started.contains(split(path).0) {
        return Vec::new();
    }
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    ends.filter_map(|(end, _)| path.get(..end)).filter(|path| !started.contains(path)).collect()
}

fn is_in(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_layers::apply::{NameTree as _, implicit_dir};

    /// The order of these paths, each created by an entry of its own. A trailing slash marks a directory, a trailing
    /// `@` a link that GNU tar creates at its end.
    fn order(paths: &[&str]) -> String {
        let mut names = PathMap::default();
        for (entry, path) in (0..).zip(paths) {
            let at = EntryPosition { layer: 0, entry };
            let mut made = implicit_dir();
            let name = path.trim_end_matches(['/', '@']);
            if path.ends_with('@') {
                (made.kind, made.link) = (EntryKind::Symlink, b"../x".to_vec());
            } else if !path.ends_with('/') {
                made.kind = EntryKind::File;
            }
            let node = names.create(made, at).unwrap();
            names.add(name.into(), &node, at).unwrap();
        }
        let name = |item: &TarItem<'_>| match item.path {
            b"" => ".".to_owned(),
            path => String::from_utf8_lossy(path).into_owned(),
        };
        items(&names).iter().map(name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn directory_comes_directly_before_or_after_its_entries() {
        for (paths, wanted) in [
            (&["/"][..], "."),
            (&["/", "f"], "f ."),
            (&["/", "a/", "a/b/", "a/b/c", "a/x"], "a a/b a/b/c a/x ."),
            (&["/", "a/b/c", "a/", "a/b/"], "a a/b a/b/c ."),
            (&["/", "a/", "a/b", "ab/", "ab/c"], "a a/b ab ab/c ."),
            (&["/", "a/", "a/b/", "a/b/c", "d", "a/b/e"], "a/b/c d a/b/e a/b a ."),
            (&["/", "a/", "a/b/", "a/b/c", "d", "a/e"], "a/b a/b/c d a/e a ."),
            (&["/", "a/", "d/", "a/b/", "a/b/c", "d/e"], "a/b a/b/c d/e d a ."),
        ] {
            assert_eq!(order(paths), wanted, "{paths:?}");
        }
    }

    #[test]
    fn delayed_symlink_follows_its_directory() {
        for (paths, wanted) in [
            (&["/", "a/", "a/s@", "a/b"][..], "a a/s a/b ."),
            (&["/", "a/", "a/s@", "d", "a/b"], "d a/b a a/s ."),
            (&["/", "s@", "a/", "a/b/", "a/b/s@", "d", "a/b/t@"], "d a/b a/b/s a/b/t a . s"),
        ] {
            assert_eq!(order(paths), wanted, "{paths:?}");
        }
    }
}
