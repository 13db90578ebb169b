//! The paths of a layer, or of a difference, by size: the largest one by one, the others summed per directory.
//!
//! However many files a layer has, its tree takes a bounded number of nodes. Totals of a directory are those of everything
//! below it.

use std::collections::HashMap;

use serde_json::{Value, json};

/// Uncompressed bytes of one path, or of all below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct PathBytes {
    pub(in crate::cli) added: u64,
    pub(in crate::cli) modified: u64,
    /// Bytes of lower layers that this layer deletes.
    pub(in crate::cli) deleted: u64,
    /// The part of `added` and `modified` that later layers hide.
    pub(in crate::cli) wasted: u64,
    /// Number of paths that are no directories.
    pub(in crate::cli) files: u64,
}

impl PathBytes {
    pub(in crate::cli) fn area(&self) -> u64 {
        self.added.saturating_add(self.modified).saturating_add(self.deleted)
    }

    fn add(&mut self, other: Self) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.added, other.added);
        add(&mut self.modified, other.modified);
        add(&mut self.deleted, other.deleted);
        add(&mut self.wasted, other.wasted);
        add(&mut self.files, other.files);
    }
}

#[derive(Debug)]
struct Node {
    parent: usize,
    name: Box<[u8]>,
    bytes: PathBytes,
    /// The part that is not in a node of its own.
    other: PathBytes,
}

/// A tree that is filled in the order of paths, directories before what is in them.
#[derive(Debug)]
pub(in crate::cli) struct SizeTree {
    /// A parent comes before its children.
    nodes: Vec<Node>,
    /// Nodes from the root to the path that was added last.
    open: Vec<usize>,
    limit: usize,
    /// Nodes of this size or less are left out.
    too_small: u64,
    by_path: HashMap<Vec<u8>, usize>,
}

impl SizeTree {
    /// Keeps at most `limit` nodes below the root.
    pub(in crate::cli) fn new(limit: usize) -> Self {
        let root = Node {
            parent: 0,
            name: Box::default(),
            bytes: PathBytes::default(),
            other: PathBytes::default(),
        };
        Self { nodes: vec![root], open: vec![0], limit, too_small: 0, by_path: HashMap::new() }
    }

    pub(in crate::cli) fn add(&mut self, path: &[u8], bytes: PathBytes) {
        let parts = || path.split(|&byte| byte == b'/').filter(|part| !part.is_empty());
        let is_open = |(part, number): &(&[u8], &usize)| {
            self.nodes.get(**number).is_some_and(|node| *node.name == **part)
        };
        let common = parts().zip(self.open.iter().skip(1)).take_while(is_open).count();
        self.open.truncate(common + 1);
        for part in parts().skip(common) {
            let parent = self.open.last().copied().unwrap_or_default();
            self.open.push(self.nodes.len());
            let (bytes, other) = (PathBytes::default(), PathBytes::default());
            self.nodes.push(Node { parent, name: part.into(), bytes, other });
        }
        for number in &self.open {
            if let Some(node) = self.nodes.get_mut(*number) {
                node.bytes.add(bytes);
            }
        }
        if self.nodes.len() > self.limit.saturating_mul(2).max(64) {
            self.reduce();
        }
    }

    /// Ends adding.
    pub(in crate::cli) fn end(&mut self) {
        self.open.truncate(1);
        self.reduce();
        let mut paths: Vec<Vec<u8>> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let parent = paths.get(node.parent).map_or(&[][..], Vec::as_slice);
            let separator: &[u8] = if parent.is_empty() { b"" } else { b"/" };
            let path = [parent, separator, &*node.name].concat();
            paths.push(path);
        }
        self.by_path = paths.into_iter().enumerate().map(|(at, path)| (path, at)).collect();
    }

    /// Sums the smallest nodes in their directories, and those without bytes.
    fn reduce(&mut self) {
        let mut areas: Vec<u64> = self.nodes.iter().skip(1).map(|node| node.bytes.area()).collect();
        if areas.len() > self.limit {
            let (_, nth, _) = areas.select_nth_unstable_by(self.limit, |a, b| b.cmp(a));
            self.too_small = self.too_small.max(*nth);
        }
        let is_open: Vec<usize> = std::mem::take(&mut self.open);
        // The new number of each old node; of one that is left out that of the directory that has its sum.
        let mut numbers: Vec<usize> = Vec::with_capacity(self.nodes.len());
        let mut kept: Vec<Node> = Vec::new();
        let mut is_kept: Vec<bool> = Vec::with_capacity(self.nodes.len());
        for (at, mut node) in std::mem::take(&mut self.nodes).into_iter().enumerate() {
            let has_parent = is_kept.get(node.parent).copied().unwrap_or(true);
            let parent = numbers.get(node.parent).copied().unwrap_or_default();
            let keep = at == 0 || node.bytes.area() > self.too_small || is_open.contains(&at);
            is_kept.push(keep);
            if keep {
                numbers.push(kept.len());
                node.parent = parent;
                kept.push(node);
                continue;
            }
            numbers.push(parent);
            if let Some(parent) = kept.get_mut(parent).filter(|_| has_parent) {
                parent.other.add(node.bytes);
            }
        }
        self.open = is_open.iter().filter_map(|old| numbers.get(*old).copied()).collect();
        self.nodes = kept;
    }

    /// Marks bytes of a path as hidden by a later layer. Adding must have ended.
    pub(in crate::cli) fn add_wasted(&mut self, path: &[u8], bytes: u64) {
        let mut path = path;
        let mut is_exact = true;
        let found = loop {
            if let Some(found) = self.by_path.get(path) {
                break *found;
            }
            is_exact = false;
            path = path.rsplitn(2, |&byte| byte == b'/').nth(1).unwrap_or_default();
            if path.is_empty() {
                break 0;
            }
        };
        if let Some(node) = self.nodes.get_mut(found).filter(|_| !is_exact) {
            node.other.wasted = node.other.wasted.saturating_add(bytes);
        }
        let mut at = found;
        while let Some(node) = self.nodes.get_mut(at) {
            node.bytes.wasted = node.bytes.wasted.saturating_add(bytes);
            if at == 0 {
                break;
            }
            at = node.parent;
        }
    }

    /// Totals of the layer.
    pub(in crate::cli) fn total(&self) -> PathBytes {
        self.nodes.first().map(|root| root.bytes).unwrap_or_default()
    }

    /// The rows for the page, parents first: number of the parent's row, name (`null` for the files that have no row),
    /// bytes added, modified, deleted and wasted, and number of files.
    pub(in crate::cli) fn rows(&self) -> Vec<Value> {
        let row = |parent: usize, name: Option<&[u8]>, bytes: &PathBytes| {
            let name = name.map(|name| crate::escape(&String::from_utf8_lossy(name)).into_owned());
            let wasted = bytes.wasted.min(bytes.added.saturating_add(bytes.modified));
            let PathBytes { added, modified, deleted, files, .. } = bytes;
            json!([parent, name, added, modified, deleted, wasted, files])
        };
        let own = self.nodes.iter().map(|node| row(node.parent, Some(&node.name), &node.bytes));
        let others = self.nodes.iter().enumerate().filter(|(_, node)| node.other.files > 0);
        own.chain(others.map(|(at, node)| row(at, None, &node.other))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(bytes: u64) -> PathBytes {
        PathBytes { added: bytes, files: 1, ..PathBytes::default() }
    }

    fn tree(limit: usize, paths: &[(&str, u64)]) -> SizeTree {
        let mut tree = SizeTree::new(limit);
        for (path, bytes) in paths {
            tree.add(path.as_bytes(), added(*bytes));
        }
        tree.end();
        tree
    }

    /// Parent, name and area of each row.
    fn shown(tree: &SizeTree) -> Vec<(u64, String, u64)> {
        let number = |value: &Value| value.as_u64().unwrap();
        let row = |row: &Value| {
            let area = number(&row[2]) + number(&row[3]) + number(&row[4]);
            (number(&row[0]), row[1].as_str().unwrap_or("…").to_owned(), area)
        };
        tree.rows().iter().map(row).collect()
    }

    #[test]
    fn size_tree_sums_directories() {
        let tree = tree(100, &[("a/b", 5), ("a/c/d", 7), ("empty", 0), ("e", 1)]);
        let rows = [(0, "", 13), (0, "a", 12), (1, "b", 5), (1, "c", 7), (3, "d", 7), (0, "e", 1)];
        let expected = rows.map(|(parent, name, area)| (parent, name.to_owned(), area));
        let (others, own): (Vec<_>, Vec<_>) = shown(&tree).into_iter().partition(|r| r.1 == "…");
        assert_eq!(own, expected);
        assert_eq!(others, [(0, "…".to_owned(), 0)], "the empty file");
        assert_eq!(tree.total().files, 4);
    }

    #[test]
    fn size_tree_of_many_files_is_bounded_and_keeps_sums() {
        let mut tree = SizeTree::new(50);
        let mut expected = PathBytes::default();
        for directory in 0..40 {
            for file in 0..500_u64 {
                let bytes = added((file * 7919 + directory * 31) % 1000);
                expected.add(bytes);
                tree.add(format!("d{directory:02}/f{file:03}").as_bytes(), bytes);
                assert!(tree.nodes.len() <= 105, "while it is filled");
            }
        }
        tree.end();
        assert!(tree.nodes.len() <= 51);
        assert_eq!(tree.total(), expected);
        let rows = shown(&tree);
        for (at, row) in rows.iter().enumerate().filter(|(_, row)| row.1 != "…") {
            let children = rows.iter().skip(1).filter(|child| child.0 == at as u64);
            let (count, sum) = children.fold((0, 0), |(n, sum), child| (n + 1, sum + child.2));
            assert!(count == 0 || sum == row.2, "{}: {sum} of {}", row.1, row.2);
        }
    }

    #[test]
    fn size_tree_of_equal_files_is_their_sum() {
        let paths: Vec<_> = (0..1000).map(|n| (format!("d/{n:04}"), 3)).collect();
        let paths: Vec<_> = paths.iter().map(|(path, bytes)| (path.as_str(), *bytes)).collect();
        let tree = tree(10, &paths);
        let rows = [(0, "", 3000), (0, "d", 3000), (1, "…", 3000)];
        assert_eq!(shown(&tree), rows.map(|(parent, name, area)| (parent, name.to_owned(), area)));
    }

    #[test]
    fn wasted_bytes_are_counted_up_to_root() {
        let mut tree = tree(3, &[("a/big", 90), ("a/small/1", 1), ("a/small/2", 2), ("b", 50)]);
        tree.add_wasted(b"a/big", 90);
        tree.add_wasted(b"a/small/2", 2);
        tree.add_wasted(b"gone", 3);
        let wasted = |path: &[u8]| tree.nodes[tree.by_path[path]].bytes.wasted;
        assert_eq!((wasted(b""), wasted(b"a"), wasted(b"a/big"), wasted(b"b")), (95, 92, 90, 0));
        let rows = tree.rows();
        let others: Vec<_> = rows.iter().filter(|row| row[1].is_null()).collect();
        assert_eq!(others, [&json!([1, null, 3, 0, 0, 2, 2])]);
    }

    #[test]
    fn hostile_names_are_escaped_in_rows() {
        let mut tree = SizeTree::new(9);
        tree.add(b"a\x1b[2J\xff\xe2\x80\xae", added(u64::MAX));
        tree.add(b"b", added(u64::MAX));
        tree.end();
        assert_eq!(tree.rows()[1][1], "a\\u{1b}[2J\u{fffd}\\u{202e}");
        assert_eq!(tree.total().added, u64::MAX);
    }
}
