//! Paths that the current layer created.
//!
//! Its whiteouts never remove them, whatever their position in the tar. Spec: image-spec `layer.md`, "Whiteouts".

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

/// Hashes of the paths, with a random key: a layer may have millions of paths, and must not be able to choose
/// collisions.
#[derive(Debug, Default)]
pub(super) struct LayerPaths {
    state: RandomState,
    paths: HashSet<u64>,
}

impl LayerPaths {
    /// Adds a path without symbolic links.
    pub(super) fn add(&mut self, path: &[u8]) {
        let hash = self.hash(path);
        self.paths.insert(hash);
    }

    /// Adds a directory and all its parents: they contain something of this layer.
    pub(super) fn add_with_parents(&mut self, directory: &[u8]) {
        if self.has(directory) {
            return;
        }
        self.add(directory);
        for (at, _) in directory.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            self.add(directory.get(..at).unwrap_or_default());
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
