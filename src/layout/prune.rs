//! Deletes what nothing refers to: no name, no process that has the layout open.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::lock::Mode;
use super::reach::Reach;
use super::{Layout, failed};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};

/// A partial that nobody touched for so long will not be continued.
const PARTIAL_AGE: Duration = Duration::from_secs(24 * 3600);

/// What was freed, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PruneReport {
    /// Blobs that no image needs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Partials that nobody continued for a day.
    pub partials: u64,
    /// Their bytes.
    pub partial_bytes: u64,
}

impl Layout {
    /// Deletes blobs that no entry reaches, and old partials; with `plan` only says what it would delete.
    ///
    /// Waits until no other process has the layout open.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] where an entry cannot be read: what it needs cannot be told from what nobody needs.
    pub fn prune(&self, plan: bool) -> Result<PruneReport> {
        if plan {
            return self.sweep(true);
        }
        self.0.lock_folder(Mode::Exclusive)?;
        let report = self.sweep(false);
        self.0.lock_folder(Mode::Shared)?;
        report
    }

    fn sweep(&self, plan: bool) -> Result<PruneReport> {
        let root = self.root();
        let mut kept = HashSet::new();
        for entry in self.all_entries()? {
            let reach = Reach::of(root, &entry)?;
            if let Some((digest, why)) = reach.unreadable.first() {
                let name = entry.names.first().map_or("an image without a name", String::as_str);
                let why = format!(
                    "manifest {digest} of {name} cannot be read ({why}); nothing was deleted"
                );
                return Err(Error::new(ErrorKind::Store, "prune")
                    .at(root.display().to_string())
                    .because(why));
            }
            kept.extend(reach.kept);
        }
        let mut report = PruneReport::default();
        for algorithm in ["sha256", "sha512"] {
            for (path, size) in files(&root.join("blobs").join(algorithm))? {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                // What has no digest for a name was put there by somebody else.
                let Ok(digest) = format!("{algorithm}:{name}").parse::<Digest>() else { continue };
                if !kept.contains(&digest) {
                    report.blobs += 1;
                    report.bytes += size;
                    remove(&path, plan)?;
                }
            }
        }
        for (path, size) in files(&root.join("ingest"))? {
            if is_old(&path) {
                report.partials += 1;
                report.partial_bytes += size;
                remove(&path, plan)?;
            }
        }
        Ok(report)
    }
}

/// Regular files of a folder, with their sizes.
pub(super) fn files(folder: &Path) -> Result<Vec<(std::path::PathBuf, u64)>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| failed("read", folder, error))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| failed("read", folder, error))?;
        match entry.metadata() {
            Ok(known) if known.is_file() => found.push((entry.path(), known.len())),
            _ => {}
        }
    }
    Ok(found)
}

fn is_old(path: &Path) -> bool {
    let touched = path.symlink_metadata().and_then(|found| found.modified());
    touched.is_ok_and(|touched| {
        SystemTime::now().duration_since(touched).is_ok_and(|age| age > PARTIAL_AGE)
    })
}

fn remove(path: &Path, plan: bool) -> Result<()> {
    if plan {
        Ok(())
    } else {
        std::fs::remove_file(path).map_err(|error| failed("remove", path, error))
    }
}
