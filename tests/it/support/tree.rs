//! Trees of files with all attributes.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A file or directory in a tree.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Relative to the root; empty for the root itself.
    pub(crate) path: String,
    /// File type and permissions.
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, i64),
    /// Content of a file, or target of a symlink.
    pub(crate) bytes: Vec<u8>,
    pub(crate) device: u64,
    pub(crate) attributes: Vec<(String, Vec<u8>)>,
    /// The first path of the same inode.
    pub(crate) same_as: String,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes.escape_ascii().to_string();
        let bytes = bytes.get(..60).unwrap_or(&bytes);
        write!(
            f,
            "{} {:o} {:?} {:?} dev {}",
            self.path, self.mode, self.owner, self.mtime, self.device
        )?;
        write!(f, " {:?} same as {} {bytes}", self.attributes, self.same_as)
    }
}

/// Returns all paths below, sorted; directories end with a slash.
pub(crate) fn names(root: &Path) -> Vec<String> {
    let mut names: Vec<String> = walk(root, &[])
        .iter()
        .filter(|path| *path != root)
        .map(|path| {
            let slash = if path.symlink_metadata().unwrap().is_dir() { "/" } else { "" };
            format!("{}{slash}", relative(root, path))
        })
        .collect();
    names.sort();
    names
}

/// Returns the root and all paths below it.
pub(crate) fn paths(root: &Path) -> Vec<PathBuf> {
    walk(root, &[])
}

/// Returns the mtime of each path.
pub(crate) fn times(root: &Path) -> Vec<(PathBuf, i64, i64)> {
    let time = |path: PathBuf| {
        let found = path.symlink_metadata().unwrap();
        (path, found.mtime(), found.mtime_nsec())
    };
    walk(root, &[]).into_iter().map(time).collect()
}

/// Returns all nodes, the root first, without the entries of the root with these names.
pub(crate) fn nodes(root: &Path, without: &[&str]) -> Vec<Node> {
    let mut firsts = HashMap::new();
    let node = |path: PathBuf| {
        let found = path.symlink_metadata().unwrap();
        let name = relative(root, &path);
        let bytes = if found.is_file() {
            fs::read(&path).unwrap()
        } else if found.is_symlink() {
            fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
        } else {
            Vec::new()
        };
        let key = (found.dev(), found.ino());
        Node {
            mode: found.mode(),
            owner: (found.uid(), found.gid()),
            mtime: (found.mtime(), found.mtime_nsec()),
            bytes,
            device: found.rdev(),
            attributes: attributes(&path),
            same_as: firsts.entry(key).or_insert_with(|| name.clone()).clone(),
            path: name,
        }
    };
    walk(root, without).into_iter().map(node).collect()
}

fn attributes(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let names = names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    let mut found: Vec<_> = names
        .map(|name| {
            let mut value = vec![0; 64 << 10];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap_or(0);
            (String::from_utf8_lossy(name).into_owned(), value[..length].to_vec())
        })
        .collect();
    found.sort();
    found
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap().as_os_str().as_bytes().escape_ascii().to_string()
}

fn walk(root: &Path, without: &[&str]) -> Vec<PathBuf> {
    let mut found = vec![root.to_owned()];
    let mut at = 0;
    while let Some(path) = found.get(at).cloned() {
        at += 1;
        if path.symlink_metadata().unwrap().is_dir() {
            let mut below: Vec<_> =
                fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            below.sort();
            below.retain(|below| at > 1 || !without.iter().any(|name| below.ends_with(name)));
            found.append(&mut below);
        }
    }
    found
}
