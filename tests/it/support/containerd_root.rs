//! A root of containerd with content and without a database: names are known from a real one only.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::images::{Blob, Image};

pub(crate) struct ContainerdRootDir(TempDir);

impl ContainerdRootDir {
    pub(crate) fn new() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        let blobs = "io.containerd.content.v1.content/blobs/sha256";
        fs::create_dir_all(made.path().join(blobs)).unwrap();
        made
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// `containerd-root:DIR`.
    pub(crate) fn location(&self) -> String {
        format!("containerd-root:{}", self.path().display())
    }

    pub(crate) fn blob(&self, blob: &Blob) -> PathBuf {
        let blobs = self.path().join("io.containerd.content.v1.content/blobs/sha256");
        blobs.join(blob.digest().encoded())
    }

    pub(crate) fn add_blob(&self, blob: &Blob) {
        fs::write(self.blob(blob), &blob.bytes).unwrap();
    }

    pub(crate) fn add(&self, image: &Image) {
        image.blobs().chain([&image.manifest]).for_each(|blob| self.add_blob(blob));
    }
}
