//! `overlays.json`: the overlay directories that images were unpacked to, for `df` and `prune`.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::Layout;
use super::io::{io_error, replace_durably};
use crate::error::Result;

const FILE_NAME: &str = "overlays.json";

impl Layout {
    /// The recorded directories, whether or not they still exist.
    pub fn overlays(&self) -> Result<BTreeSet<PathBuf>> {
        let path = self.root().join(FILE_NAME);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| io_error("read", &path, error.into())),
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
        // A path that is not UTF-8 cannot be recorded.
        let bytes = serde_json::to_vec(&known)
            .map_err(|error| io_error("write", &self.root().join(FILE_NAME), error.into()))?;
        replace_durably(self.root(), FILE_NAME, &bytes)
    }
}
