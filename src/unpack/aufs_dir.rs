//! The hidden directory for files of a layer under names reserved by AUFS.

use std::io;

use rustix::fd::AsFd as _;

use super::directories::OpenDir;
use super::read_ahead_dir::ReadAheadDir;
use super::root::RootDir;
use crate::layer::AufsFiles;

/// The hidden directory and its files.
#[derive(Debug)]
pub(super) struct AufsDir {
    pub(super) dir: ReadAheadDir,
    pub(super) directory: OpenDir,
    pub(super) files: AufsFiles<HiddenFile>,
}

#[derive(Clone, Debug)]
pub(super) struct HiddenFile {
    pub(super) number: u64,
    /// The size of a regular file that has no visible name yet.
    pub(super) uncounted_bytes: Option<u64>,
}

impl AufsDir {
    pub(super) fn begin(root: &RootDir) -> io::Result<Self> {
        let dir = ReadAheadDir::begin(root)?;
        let handle = dir.root()?.as_fd().try_clone_to_owned()?;
        let directory = OpenDir { path: dir.name().to_vec(), handle, group: None };
        Ok(Self { dir, directory, files: AufsFiles::default() })
    }
}
