//! Counts the bytes of a tree of files.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;

use rustix::fs::{AtFlags, FileType, OFlags, statat};
use serde::Serialize;

use super::directory::{EngineDir, names_in};
use crate::beneath::open_below;

/// What a part of an engine's directory holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DiskShare {
    /// Name of the directory in the engine's directory.
    pub directory: String,
    /// What it is, where a directory holds several kinds.
    pub holds: String,
    /// Number of layers or directories of this kind.
    pub count: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

impl DiskShare {
    pub(super) fn new(directory: &str, holds: &str, count: u64, bytes: u64) -> Self {
        Self { directory: directory.to_owned(), holds: holds.to_owned(), count, bytes }
    }
}

impl EngineDir {
    /// Bytes of all files below a directory; 0 with a warning if it cannot be read.
    pub(super) fn size_of(&self, name: &str) -> u64 {
        let size = match self.directory(name) {
            Ok(Some(directory)) => {
                tree_size(&directory).map_err(|error| self.failed("read", name, error))
            }
            Ok(None) => Ok(0),
            Err(error) => Err(error),
        };
        size.unwrap_or_else(|error| {
            tracing::warn!("{}; leaving it out", error.chain());
            0
        })
    }
}

/// Bytes of all files in a directory and below it; a file with several names counts once. Nothing on other file systems is
/// counted: containers have volumes and devices mounted there.
fn tree_size(root: &OwnedFd) -> io::Result<u64> {
    let device = rustix::fs::fstat(root)?.st_dev;
    let (mut total, mut linked) = (0_u64, HashSet::new());
    // Paths and not handles: their number is not limited.
    let mut directories: Vec<Vec<u8>> = vec![Vec::new()];
    while let Some(path) = directories.pop() {
        // What ends meanwhile is not counted: an engine may be running.
        let Ok(directory) = open_below(root.as_fd(), &path, OFlags::RDONLY | OFlags::DIRECTORY)
        else {
            continue;
        };
        for name in names_in(directory.as_fd())? {
            let Ok(found) = statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            match FileType::from_raw_mode(found.st_mode) {
                _ if found.st_dev != device => {}
                FileType::Directory => {
                    let mut below = path.clone();
                    if !below.is_empty() {
                        below.push(b'/');
                    }
                    below.extend(name.into_vec());
                    directories.push(below);
                }
                FileType::RegularFile if found.st_nlink == 1 || linked.insert(found.st_ino) => {
                    total = total.saturating_add(u64::try_from(found.st_size).unwrap_or_default());
                }
                _ => {}
            }
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tree_size_counts_hardlinks_once_and_no_symlinks() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("a/b")).unwrap();
        std::fs::write(at("a/file"), [0; 100]).unwrap();
        std::fs::write(at("a/b/other"), [0; 20]).unwrap();
        std::fs::hard_link(at("a/file"), at("a/b/again")).unwrap();
        std::os::unix::fs::symlink("/usr", at("a/link")).unwrap();
        std::os::unix::fs::symlink("..", at("a/b/up")).unwrap();
        let root = std::fs::File::open(dir.path()).unwrap();
        assert_eq!(tree_size(&root.into()).unwrap(), 120);
    }
}
