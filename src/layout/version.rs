//! Detects whether `index.json` changed since it was read.

use std::os::unix::fs::MetadataExt as _;

use super::{Layout, io_error};
use crate::error::Result;

/// Identifies one version of `index.json`: each is a new file, renamed into place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexVersion {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Layout {
    /// The current version.
    pub fn version(&self) -> Result<IndexVersion> {
        let path = self.root().join("index.json");
        let found = path.metadata().map_err(|error| io_error("read", &path, error))?;
        let modified = (found.mtime(), found.mtime_nsec());
        Ok(IndexVersion { inode: found.ino(), size: found.size(), modified })
    }
}
