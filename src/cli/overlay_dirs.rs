//! Opens existing overlay directories.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::layout::Layout;
use crate::unpack::overlay::OverlayDirectory;

/// Opens the overlay directories that are recorded in the store and still exist.
pub(super) fn known_directories(store: &Arc<Layout>) -> Result<Vec<OverlayDirectory>> {
    let mut found = Vec::new();
    for path in store.overlays()? {
        match OverlayDirectory::open(&path) {
            Ok(directory) => found.extend(directory),
            Err(error) => tracing::warn!("{}", error.chain()),
        }
    }
    Ok(found)
}

/// Opens the overlay directory that was given as an argument.
pub(super) fn typed_directory(path: &Path) -> Result<OverlayDirectory> {
    OverlayDirectory::open(path)?.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "overlay")
            .at(path.display().to_string())
            .with_reason("is not an overlay directory")
            .with_hint("create one with `rpull unpack --overlay IMAGE DIR`")
    })
}
