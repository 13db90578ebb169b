//! Records which repository has which blob, for a layout served as a registry: empty files, with `+` for `/`.
//!
//! ```text
//! served/blobs/sha256/<hex>/<repository>   the blob was pushed to or mounted in this repository
//! served/repositories/<repository>         something was pushed to this repository
//! ```
//!
//! A repository also has the blobs that its manifests reference; see `serve`.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::ErrorKind as Io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::{Layout, blobs, create, io_error};
use crate::digest::{Digest, VERIFIABLE_ALGORITHMS};
use crate::error::Result;
use crate::reference::is_repository;

/// Directory of these records.
pub(super) const DIR_NAME: &str = "served";

impl Layout {
    /// Records that the repository has the blob.
    pub fn link(&self, repository: &str, digest: &Digest) -> Result<()> {
        let blob = self.links_of(digest)?;
        for (dir, levels) in [(blob, 4), (self.served()?.join("repositories"), 2)] {
            let above: Vec<&Path> = dir.ancestors().take(levels).collect();
            let mode = if self.0.options.private { 0o700 } else { 0o777 };
            above.iter().rev().try_for_each(|dir| create::create_dir(dir, mode))?;
            let path = dir.join(file_name(repository));
            let mode = if self.0.options.private { 0o600 } else { 0o666 };
            match OpenOptions::new().write(true).create_new(true).mode(mode).open(&path) {
                Err(error) if error.kind() != Io::AlreadyExists => {
                    return Err(io_error("create", &path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes the record that the repository has the blob. Returns whether there was one.
    pub fn unlink(&self, repository: &str, digest: &Digest) -> Result<bool> {
        let path = self.links_of(digest)?.join(file_name(repository));
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() == Io::NotFound => Ok(false),
            other => other.map(|()| true).map_err(|error| io_error("remove", &path, error)),
        }
    }

    /// Whether the blob was pushed to or mounted in the repository.
    pub fn is_linked(&self, repository: &str, digest: &Digest) -> Result<bool> {
        let path = self.links_of(digest)?.join(file_name(repository));
        Ok(is_repository(repository) && path.is_file())
    }

    /// Whether the blob was pushed to or mounted in any repository.
    pub fn is_linked_anywhere(&self, digest: &Digest) -> Result<bool> {
        Ok(!names(&self.links_of(digest)?)?.is_empty())
    }

    /// Whether anything was pushed to the repository.
    pub fn has_repository(&self, repository: &str) -> Result<bool> {
        let path = self.served()?.join("repositories").join(file_name(repository));
        Ok(is_repository(repository) && path.is_file())
    }

    /// Removes records of deleted blobs, and repositories without any.
    pub(super) fn remove_stale_links(&self) -> Result<()> {
        let served = self.served()?;
        let mut repositories = HashSet::new();
        for algorithm in VERIFIABLE_ALGORITHMS {
            for hex in names(&served.join("blobs").join(algorithm))? {
                let dir = served.join("blobs").join(algorithm).join(&hex);
                let digest = format!("{algorithm}:{}", hex.to_string_lossy()).parse();
                let Ok(digest) = digest else { continue };
                let linked = names(&dir)?;
                if blobs::blob_size(self.root(), &digest)?.is_some() && !linked.is_empty() {
                    repositories.extend(linked);
                } else {
                    remove_all(&dir, linked)?;
                    std::fs::remove_dir(&dir).map_err(|error| io_error("remove", &dir, error))?;
                }
            }
        }
        let dir = served.join("repositories");
        let stale = names(&dir)?.into_iter().filter(|name| !repositories.contains(name));
        remove_all(&dir, stale)
    }

    fn links_of(&self, digest: &Digest) -> Result<PathBuf> {
        digest.algorithm()?;
        let blobs = self.served()?.join("blobs");
        Ok(blobs.join(digest.algorithm_name()).join(digest.encoded()))
    }

    /// Refuses links: a request of a client must not lead outside the layout.
    fn served(&self) -> Result<PathBuf> {
        let dir = self.root().join(DIR_NAME);
        if dir.is_symlink() {
            return Err(io_error("open", &dir, std::io::Error::other("is a symbolic link")));
        }
        Ok(dir)
    }
}

/// Repository names cannot contain `+`.
pub(super) fn file_name(repository: &str) -> String {
    repository.replace('/', "+")
}

/// The entries of a directory; none if it does not exist.
fn names(dir: &Path) -> Result<Vec<OsString>> {
    match std::fs::read_dir(dir) {
        Err(error) if error.kind() == Io::NotFound => Ok(Vec::new()),
        Err(error) => Err(io_error("read", dir, error)),
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.file_name()).collect()),
    }
}

fn remove_all(dir: &Path, names: impl IntoIterator<Item = OsString>) -> Result<()> {
    for name in names {
        let path = dir.join(name);
        std::fs::remove_file(&path).map_err(|error| io_error("remove", &path, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{LayoutOptions, PruneOptions};

    #[test]
    fn link_lasts_until_prune_deletes_blob() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(&dir.path().join("store"), LayoutOptions::default()).unwrap();
        let digest = Digest::sha256(b"blob");
        let path = blobs::blob_path(layout.root(), &digest).unwrap();
        std::fs::write(&path, "blob").unwrap();
        assert!(!layout.unlink("a/b", &digest).unwrap());
        for repository in ["a/b", "c", "a/b"] {
            layout.link(repository, &digest).unwrap();
        }
        assert!(layout.is_linked("a/b", &digest).unwrap() && layout.has_repository("c").unwrap());
        for other in ["a", "b", "a+b", "../c", ""] {
            assert!(!layout.is_linked(other, &digest).unwrap(), "{other}");
            assert!(!layout.has_repository(other).unwrap(), "{other}");
        }
        assert!(layout.unlink("c", &digest).unwrap());
        assert!(!layout.is_linked("c", &digest).unwrap());
        layout.remove_stale_links().unwrap();
        assert!(layout.is_linked_anywhere(&digest).unwrap());
        assert!(!layout.has_repository("c").unwrap() && layout.has_repository("a/b").unwrap());
        // No manifest references the blob.
        assert_eq!(
            layout.prune(PruneOptions { plan: true, ..PruneOptions::default() }).unwrap().blobs,
            1
        );
        assert!(layout.is_linked("a/b", &digest).unwrap());
        assert_eq!(layout.prune(PruneOptions::default()).unwrap().blobs, 1);
        assert!(!layout.is_linked("a/b", &digest).unwrap());
        assert!(!layout.is_linked_anywhere(&digest).unwrap());
        assert!(!layout.has_repository("a/b").unwrap());
    }

    #[test]
    fn link_through_symlink_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(&dir.path().join("store"), LayoutOptions::default()).unwrap();
        std::os::unix::fs::symlink(dir.path(), layout.root().join(DIR_NAME)).unwrap();
        let digest = Digest::sha256(b"blob");
        assert!(layout.link("a", &digest).is_err() && layout.is_linked("a", &digest).is_err());
        assert!(layout.prune(PruneOptions::default()).is_err());
    }
}
