//! Directories kept open while entries are created in them.

use std::sync::Arc;

use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::OFlags;

use super::root::open_below;
use crate::image_layers::resolve::push;
use crate::layer::is_below;

/// Maximum number of open directories. Tars alternate between few of them.
const MAX_DIRECTORIES: usize = 16;

/// An open directory.
#[derive(Debug)]
pub(super) struct OpenDir {
    /// Its path below the root, without links.
    pub(super) path: Vec<u8>,
    pub(super) handle: OwnedFd,
    /// The group of new entries, if it is not that of the process.
    pub(super) group: Option<u32>,
}

impl OpenDir {
    /// The path of the entry with this name.
    pub(super) fn joined(&self, name: &[u8]) -> Vec<u8> {
        let mut path = self.path.clone();
        push(&mut path, name);
        path
    }

    /// Whether it has a subdirectory of this name.
    pub(super) fn has_directory(&self, name: &[u8]) -> bool {
        open_below(self.handle.as_fd(), name, OFlags::PATH | OFlags::DIRECTORY).is_ok()
    }
}

/// Open directories by the paths of the entries in them, last used at the end.
#[derive(Debug, Default)]
pub(super) struct OpenDirCache(Vec<(Vec<u8>, Arc<OpenDir>)>);

impl OpenDirCache {
    pub(super) fn get(&mut self, path: &[u8]) -> Option<Arc<OpenDir>> {
        // Most entries are in the same directory as the one before.
        let at = self.0.iter().rposition(|(known, _)| known == path)?;
        if at + 1 < self.0.len() {
            let found = self.0.remove(at);
            self.0.push(found);
        }
        self.0.last().map(|(_, directory)| Arc::clone(directory))
    }

    pub(super) fn insert(&mut self, path: &[u8], directory: &Arc<OpenDir>) {
        if self.0.len() == MAX_DIRECTORIES {
            self.0.remove(0);
        }
        self.0.push((path.to_vec(), Arc::clone(directory)));
    }

    /// Closes the directories whose path may no longer lead to them after `path` was removed.
    pub(super) fn remove(&mut self, path: &[u8]) {
        self.0.retain(|(known, directory)| {
            // A path with symbolic links may have used a removed one.
            *known == directory.path && !is_below(known, path)
        });
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_cache_forgets_removed_and_symlinked_paths() {
        let open = |path: &str| {
            let handle = std::fs::File::open("/").unwrap().into();
            Arc::new(OpenDir { path: path.into(), handle, group: None })
        };
        let mut directories = OpenDirCache::default();
        for (known, path) in [("a", "a"), ("a/b", "a/b"), ("ab", "ab"), ("l", "x/y")] {
            directories.insert(known.as_bytes(), &open(path));
        }
        directories.remove(b"a/b");
        assert!(directories.get(b"a/b").is_none() && directories.get(b"l").is_none());
        assert!(directories.get(b"a").is_some() && directories.get(b"ab").is_some());
        for number in 0..MAX_DIRECTORIES {
            directories.insert(number.to_string().as_bytes(), &open("x"));
        }
        assert!(directories.get(b"a").is_none() && directories.0.len() == MAX_DIRECTORIES);
    }
}
