//! What an archive is to be, and where it is written to.

use std::collections::HashSet;
use std::path::PathBuf;

use super::format::ArchiveFormat;
use crate::digest::Digest;

/// Where an archive is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchiveOutput {
    /// A file, which appears or is replaced when the archive is whole.
    File(PathBuf),
    /// Standard output, in one pass.
    Stdout,
}

/// What an archive is to be.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Its form.
    pub form: ArchiveFormat,
    /// Beside a layout also a manifest.json over the same blobs, for `docker load`.
    pub with_docker_manifest: bool,
    /// Images that it must hold: with fewer it does not come to be.
    pub expected_images: usize,
    /// Blobs that are omitted because the recipient of the archive has them.
    pub omitted: HashSet<Digest>,
    /// When its entries were modified, in seconds since 1970.
    pub modified: u64,
    /// It survives a power failure.
    pub sync: bool,
}
