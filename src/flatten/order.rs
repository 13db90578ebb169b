//! In which order a tree is written: as its layers have their entries, so that each is read once from its start, with
//! directories before what is in them and files before their other names.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::names::{At, Names, Node};
use crate::layer::{Kind, split};

/// A name that is to be written.
#[derive(Debug)]
pub(super) struct Item<'a> {
    /// The entry that it comes with.
    pub(super) at: At,
    pub(super) path: &'a [u8],
    pub(super) node: &'a Node,
    /// The name that it is a link to.
    pub(super) same_as: Option<&'a [u8]>,
}

impl Item<'_> {
    /// Whether the bytes of the entry are needed.
    pub(super) fn has_bytes(&self) -> bool {
        self.same_as.is_none() && self.node.entry.kind == Kind::File && self.node.entry.size > 0
    }
}

/// All names in the order of the entries that they come with: of a file its first name comes with the entry that has its
/// bytes.
pub(super) fn items(names: &Names) -> Vec<Item<'_>> {
    let mut firsts: HashMap<At, (At, &[u8])> = HashMap::new();
    for (path, name) in names.iter().filter(|(_, name)| Arc::strong_count(&name.node) > 1) {
        let own = (name.made, path);
        let first = firsts.entry(name.node.made).or_insert(own);
        *first = own.min(*first);
    }
    let mut items: Vec<_> = names
        .iter()
        .map(|(path, name)| {
            let node = &*name.node;
            let first = firsts.get(&node.made).map(|(_, first)| *first);
            let same_as = first.filter(|first| *first != path && !name.is_directory());
            let is_first = same_as.is_none() && !name.is_directory();
            Item { at: if is_first { node.made } else { name.made }, path, node, same_as }
        })
        .collect();
    // What comes with the same entry stays sorted by its path.
    items.sort_by_key(|item| item.at);
    items
}

/// Sees to it that directories come in time, and again where that is needed: GNU tar gives a directory its time and mode as
/// soon as it reads a name that is not below, and making an entry in it afterwards changes its time.
#[derive(Debug)]
pub(super) struct Way<'a> {
    names: &'a Names,
    written: HashSet<&'a [u8]>,
    /// Directories that lead to what was written last.
    open: Vec<&'a [u8]>,
    late: BTreeSet<&'a [u8]>,
}

impl<'a> Way<'a> {
    pub(super) fn of(names: &'a Names) -> Self {
        Self { names, written: HashSet::new(), open: Vec::new(), late: BTreeSet::new() }
    }

    /// What must be written for this name to be written, itself the last; nothing for a directory that is.
    pub(super) fn to(&mut self, path: &'a [u8], is_directory: bool) -> Vec<&'a [u8]> {
        let mut steps = Vec::new();
        if is_directory && self.written.contains(path) {
            return steps;
        }
        if !path.is_empty() && !self.written.contains(split(path).0) {
            let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            let above = ends.filter_map(|(end, _)| path.get(..end));
            for directory in std::iter::once(&b""[..]).chain(above) {
                if !self.written.contains(directory) {
                    self.step(directory, true, &mut steps);
                }
            }
        }
        self.step(path, is_directory, &mut steps);
        steps
    }

    fn step(&mut self, path: &'a [u8], is_directory: bool, steps: &mut Vec<&'a [u8]>) {
        while self.open.last().is_some_and(|open| !is_in(path, open)) {
            self.open.pop();
        }
        let (parent, _) = split(path);
        if !path.is_empty() && self.open.last().copied() != Some(parent) {
            // The name of the root is not in front of others. Attributes may be large, and names in a directory many.
            if parent.is_empty() || self.has_attributes(parent) {
                self.late.insert(parent);
            } else {
                steps.push(parent);
                self.open.push(parent);
            }
        }
        steps.push(path);
        if is_directory {
            self.written.insert(path);
            self.open.extend(Some(path).filter(|path| !path.is_empty()));
        }
    }

    fn has_attributes(&self, path: &[u8]) -> bool {
        self.names.get(path).is_some_and(|name| !name.node.entry.xattrs.is_empty())
    }

    /// Directories that must come again when all else is written, the deepest first.
    pub(super) fn late(&mut self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        std::mem::take(&mut self.late).into_iter().rev()
    }
}

fn is_in(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flatten::apply::unsaid;

    /// What is written for these, with what comes again at the end.
    fn order(paths: &[&'static str]) -> String {
        let mut names = Names::default();
        for path in ["with", "with/attributes"] {
            let at = At::default();
            names.add(path.into(), Arc::new(unsaid(at)), at).unwrap();
        }
        let mut node = unsaid(At::default());
        node.entry.xattrs.push((b"user.a".to_vec(), Vec::new()));
        names.describe(b"with/attributes", node).unwrap();
        let mut way = Way::of(&names);
        let mut written = Vec::new();
        for path in paths {
            let directory = path.strip_suffix('/');
            let path = directory.unwrap_or(path).as_bytes();
            written.extend(way.to(path, directory.is_some()));
        }
        written.push(b"|");
        written.extend(way.late());
        let name = |path: &&[u8]| match *path {
            b"" => ".".to_owned(),
            path => String::from_utf8_lossy(path).into_owned(),
        };
        written.iter().map(name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn directories_come_before_what_is_in_them_and_again_before_more_of_it() {
        for (paths, wanted) in [
            (&["/"][..], ". |"),
            (&["f"], ". f | ."),
            (&["/", "a/", "a/b/", "a/b/c", "a/x"], ". a a/b a/b/c a/x | ."),
            (&["a/b/c", "a/", "a/b/"], ". a a/b a/b/c | ."),
            (&["a/b/c", "d", "a/b/e", "a/b/f"], ". a a/b a/b/c d a/b a/b/e a/b/f | ."),
            (&["a/b/c", "d", "a/b/e", "a/g"], ". a a/b a/b/c d a/b a/b/e a a/g | ."),
            (&["a/b", "ab/c", "a/d/e"], ". a a/b ab ab/c a a/d a/d/e | ."),
            (
                &["with/attributes/a", "with/b", "with/attributes/c"],
                ". with with/attributes with/attributes/a with/b with/attributes/c | with/attributes .",
            ),
        ] {
            assert_eq!(order(paths), wanted);
        }
    }
}
