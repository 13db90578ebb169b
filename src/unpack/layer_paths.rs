//! What the present layer has made itself, which its whiteouts do not hide, wherever they stand in it.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

/// Paths, by hashes that nobody can aim at: a layer may have millions.
#[derive(Debug, Default)]
pub(super) struct LayerPaths {
    state: RandomState,
    paths: HashSet<u64>,
}

impl LayerPaths {
    /// Notes a path without links.
    pub(super) fn note(&mut self, path: &[u8]) {
        let hash = self.hash(path);
        self.paths.insert(hash);
    }

    /// Notes a directory and all above it: they hold something of this layer.
    pub(super) fn note_all(&mut self, directory: &[u8]) {
        if self.has(directory) {
            return;
        }
        self.note(directory);
        for (at, _) in directory.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            self.note(directory.get(..at).unwrap_or_default());
        }
    }

    pub(super) fn has(&self, path: &[u8]) -> bool {
        self.paths.contains(&self.hash(path))
    }

    fn hash(&self, path: &[u8]) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write(path);
        hasher.finish()
    }
}
