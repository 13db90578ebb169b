//! Checks that directories are not inside each other: files unpacked into the store would be taken for a part of it.

use std::path::{Path, PathBuf};

use crate::cli::args::Unpack;
use crate::cli::settings::Settings;
use crate::error::{Error, ErrorKind, Result};

/// # Errors
/// [`ErrorKind::InvalidInput`] if the image cannot be unpacked there.
pub(in crate::cli) fn check_paths_disjoint(args: &Unpack, settings: &Settings) -> Result<()> {
    let dir = resolved_path(&args.dir);
    let store = settings.store().ok().map(|store| resolved_path(&store));
    let refuse = |path: &Path, reason| {
        let what = format!("directory `{}`", path.display());
        Err(Error::new(ErrorKind::InvalidInput, what).with_reason(reason))
    };
    if store.as_ref().is_some_and(|store| dir.starts_with(store)) {
        return refuse(&args.dir, "is inside the store");
    }
    // Other content in the directory is reported later. Overlay layers may be next to other files.
    let is_empty = || std::fs::read_dir(&dir).map_or(true, |mut names| names.next().is_none());
    if store.is_some_and(|store| store.starts_with(&dir)) && !args.layers.overlay && is_empty() {
        return refuse(&args.dir, "contains the store");
    }
    match &args.layers.mount {
        Some(point) if resolved_path(point).starts_with(&dir) => {
            refuse(point, "is inside the overlay directory")
        }
        _ => Ok(()),
    }
}

/// Returns the path without symbolic links, also for a path that does not exist yet.
fn resolved_path(path: &Path) -> PathBuf {
    if let Ok(resolved) = std::fs::canonicalize(path) {
        return resolved;
    }
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => resolved_path(parent).join(name),
        _ => path,
    }
}
