//! Options for writing an archive.

use std::collections::HashSet;
use std::path::PathBuf;

use super::format::ArchiveFormat;
use crate::control::Control;
use crate::digest::Digest;
use crate::setters::setters;

/// The output of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchiveOutput {
    /// A file, which is created or replaced when the archive is complete.
    File(PathBuf),
    /// Standard output, in one pass.
    Stdout,
}

/// Options for writing an archive.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WriteOptions {
    /// The format.
    pub format: ArchiveFormat,
    /// Add a manifest.json for `docker load` to a layout, over the same blobs.
    pub with_docker_manifest: bool,
    /// Number of images that it must contain; with fewer, no archive is created.
    pub expected_images: usize,
    /// Blobs omitted because the recipient of the archive has them.
    pub omitted: HashSet<Digest>,
    /// Modification time of its entries, in seconds since 1970.
    pub modified: u64,
    /// Sync to disk, to survive a power failure.
    pub sync: bool,
    /// Cancels the writing of layers at the end of a docker-archive, and receives its progress.
    pub control: Control,
}

impl Default for WriteOptions {
    /// A tar of a layout with one image.
    fn default() -> Self {
        Self {
            format: ArchiveFormat::Oci,
            with_docker_manifest: false,
            expected_images: 1,
            omitted: HashSet::new(),
            modified: 0,
            sync: false,
            control: Control::default(),
        }
    }
}

impl WriteOptions {
    setters! {
        value format: ArchiveFormat;
        flag with_docker_manifest;
        value expected_images: usize;
        value omitted: HashSet<Digest>;
        value modified: u64;
        flag sync;
        value control: Control;
    }
}
