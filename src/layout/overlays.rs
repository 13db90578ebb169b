//! `overlays.json`: the overlay directories that images were unpacked to, for `df` and `prune`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Layout;
use super::io::{io_error, replace_durably};
use crate::error::Result;

const FILE_NAME: &str = "overlays.json";

/// A path as it is recorded: its text, or its bytes if it is not UTF-8.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum RecordedPath {
    Text(String),
    Bytes(Vec<u8>),
}

impl RecordedPath {
    fn of(path: &Path) -> Self {
        match path.to_str() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Bytes(path.as_os_str().as_bytes().to_vec()),
        }
    }

    fn into_path(self) -> PathBuf {
        match self {
            Self::Text(text) => text.into(),
            Self::Bytes(bytes) => OsString::from_vec(bytes).into(),
        }
    }
}

impl Layout {
    /// The recorded directories, whether or not they still exist.
    pub fn overlays(&self) -> Result<BTreeSet<PathBuf>> {
        let path = self.root().join(FILE_NAME);
        match std::fs::read(&path) {
            Ok(bytes) => {
                let recorded: Vec<RecordedPath> = serde_json::from_slice(&bytes)
                    .map_err(|error| io_error("read", &path, error.into()))?;
                Ok(recorded.into_iter().map(RecordedPath::into_path).collect())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(io_error("read", &path, error)),
        }
    }

    /// Records a directory by its absolute path.
    pub fn add_overlay(&self, directory: &Path) -> Result<()> {
        self.change_overlays(|known| known.insert(directory.to_owned()))
    }

    /// Removes the record of a directory.
    pub fn remove_overlay(&self, directory: &Path) -> Result<()> {
        self.change_overlays(|known| known.remove(directory))
    }

    fn change_overlays(&self, change: impl FnOnce(&mut BTreeSet<PathBuf>) -> bool) -> Result<()> {
        let _guard = self.0.lock_names(&self.0.control)?;
        let mut known = self.overlays()?;
        if !change(&mut known) {
            return Ok(());
        }
        let recorded: Vec<_> = known.iter().map(|path| RecordedPath::of(path)).collect();
        let bytes = serde_json::to_vec(&recorded)
            .map_err(|error| io_error("write", &self.root().join(FILE_NAME), error.into()))?;
        replace_durably(self.root(), FILE_NAME, &bytes)
    }
}
