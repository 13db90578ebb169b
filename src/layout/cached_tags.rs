//! Tags of other registries, for a layout that is served as their cache: the manifest that a tag was found to point to.
//!
//! ```text
//! cached/<repository>/<tag>   its descriptor as JSON; the file was written at the last check
//! ```
//!
//! They are no names: [`Layout::prune`] deletes what only they point to.

use std::io::{ErrorKind as Io, Read as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::links::file_name;
use super::{Layout, blobs, create, io_error};
use crate::atomic_file::{AtomicFile, Fsync};
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::reference::{is_repository, is_tag};

/// Directory of these records.
pub(super) const DIR_NAME: &str = "cached";

/// Maximum bytes of a record.
const MAX_BYTES: u64 = 64 << 10;

/// What a tag of another registry was found to point to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CachedTag {
    /// The manifest or index.
    pub descriptor: Descriptor,
    /// When the registry last said so.
    pub checked: SystemTime,
}

impl CachedTag {
    /// Time since the last check; the longest possible if the clock was set back meanwhile.
    pub fn age(&self) -> Duration {
        self.checked.elapsed().unwrap_or(Duration::MAX)
    }
}

impl Layout {
    /// What this tag of a repository was last found to point to. A damaged record counts as none.
    pub fn cached_tag(&self, repository: &str, tag: &str) -> Result<Option<CachedTag>> {
        let path = self.cached_tag_path(repository, tag)?;
        let read = || {
            let file = blobs::open_regular(&path)?;
            let (checked, mut text) = (file.metadata()?.modified()?, Vec::new());
            file.take(MAX_BYTES).read_to_end(&mut text)?;
            Ok::<_, std::io::Error>((checked, text))
        };
        match read() {
            Ok((checked, text)) => {
                let descriptor = serde_json::from_slice(&text).ok();
                Ok(descriptor.map(|descriptor| CachedTag { descriptor, checked }))
            }
            Err(error) if error.kind() == Io::NotFound => Ok(None),
            Err(error) => Err(io_error("read", &path, error)),
        }
    }

    /// Records that the tag points to this manifest now.
    pub fn set_cached_tag(&self, repository: &str, tag: &str, found: &Descriptor) -> Result<()> {
        let path = self.cached_tag_path(repository, tag)?;
        let (dir_mode, mode) = if self.0.options.private { (0o700, 0o600) } else { (0o777, 0o666) };
        let dir = path.parent().unwrap_or(&path);
        for dir in [dir.parent().unwrap_or(dir), dir] {
            create::create_dir(dir, dir_mode)?;
        }
        let text = serde_json::to_vec(found)
            .map_err(|error| Error::new(ErrorKind::Store, "cached tag").with_source(error))?;
        // A record that a power failure damages is written again by the next check.
        let written = AtomicFile::create(&path, mode).and_then(|file| {
            file.file().write_all(&text)?;
            file.publish(Fsync::None)
        });
        written.map_err(|error| io_error("write", &path, error))
    }

    /// Forgets the tag.
    pub fn remove_cached_tag(&self, repository: &str, tag: &str) -> Result<()> {
        let path = self.cached_tag_path(repository, tag)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != Io::NotFound => Err(io_error("remove", &path, error)),
            _ => Ok(()),
        }
    }

    /// Removes the records of deleted manifests.
    pub(super) fn remove_stale_cached_tags(&self) -> Result<()> {
        let dir = self.root().join(DIR_NAME);
        let list = |dir: &PathBuf| match std::fs::read_dir(dir) {
            Err(error) if error.kind() == Io::NotFound => Ok(Vec::new()),
            Err(error) => Err(io_error("read", dir, error)),
            Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        };
        for repository in list(&dir)? {
            let mut is_empty = true;
            for path in list(&repository)? {
                let text = std::fs::read(&path).unwrap_or_default();
                let found = serde_json::from_slice::<Descriptor>(&text).ok();
                let size =
                    found.and_then(|found| blobs::blob_size(self.root(), &found.digest).ok());
                if size.flatten().is_some() {
                    is_empty = false;
                } else {
                    std::fs::remove_file(&path)
                        .map_err(|error| io_error("remove", &path, error))?;
                }
            }
            if is_empty {
                std::fs::remove_dir(&repository)
                    .map_err(|error| io_error("remove", &repository, error))?;
            }
        }
        Ok(())
    }

    /// Refuses names that could lead elsewhere, and links.
    fn cached_tag_path(&self, repository: &str, tag: &str) -> Result<PathBuf> {
        let dir = self.root().join(DIR_NAME);
        if dir.is_symlink() {
            return Err(io_error("open", &dir, std::io::Error::other("is a symbolic link")));
        }
        if !is_repository(repository) || !is_tag(tag) {
            let what = format!("tag {repository}:{tag}");
            return Err(Error::new(ErrorKind::InvalidInput, what).with_reason("invalid"));
        }
        Ok(dir.join(file_name(repository)).join(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{LayoutOptions, PruneOptions};
    use crate::media::MediaType;

    #[test]
    fn cached_tag_lasts_until_prune_deletes_manifest() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(&dir.path().join("store"), LayoutOptions::default()).unwrap();
        let found = Descriptor::for_bytes(MediaType::OCI_MANIFEST, b"{}");
        assert!(layout.cached_tag("docker.io/library/a", "1").unwrap().is_none());
        layout.set_cached_tag("docker.io/library/a", "1", &found).unwrap();
        layout.set_cached_tag("docker.io/library/a", "1", &found).unwrap();
        let tag = layout.cached_tag("docker.io/library/a", "1").unwrap().unwrap();
        assert!(tag.descriptor == found && tag.age() < Duration::from_secs(3600));
        for (repository, tag) in [("../a", "1"), ("a", "../1"), ("a", ""), ("A", "1")] {
            assert!(layout.set_cached_tag(repository, tag, &found).is_err(), "{repository}:{tag}");
        }
        layout.set_cached_tag("b", "1", &found).unwrap();
        layout.remove_cached_tag("b", "1").unwrap();
        layout.remove_cached_tag("b", "1").unwrap();
        layout.prune(PruneOptions::default()).unwrap();
        assert!(layout.cached_tag("docker.io/library/a", "1").unwrap().is_none());
        assert_eq!(std::fs::read_dir(layout.root().join(DIR_NAME)).unwrap().count(), 0);
    }

    #[test]
    fn cached_tag_damaged_counts_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(&dir.path().join("store"), LayoutOptions::default()).unwrap();
        let found = Descriptor::for_bytes(MediaType::OCI_MANIFEST, b"{}");
        layout.set_cached_tag("a", "1", &found).unwrap();
        std::fs::write(layout.root().join(DIR_NAME).join("a/1"), "{").unwrap();
        assert!(layout.cached_tag("a", "1").unwrap().is_none());
    }
}
