//! Creates layouts, and recognizes existing ones.

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind as Io, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use super::io::{files, io_error, replace_durably, sync_dir};
use super::{LayoutOptions, blobs};
use crate::control::Control;
use crate::document::EMPTY_INDEX;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::lock::{self, LockMode, LockWait};
use crate::oci_layout_file;
use rustix::fs::{Access, access};

/// Files that an interrupted creation can leave behind.
const INIT_LEFTOVERS: [&str; 7] = [
    "blobs",
    "ingest",
    "unsynced",
    "index.json",
    "index.json.new",
    oci_layout_file::NAME,
    "oci-layout.new",
];

/// Whether a readable layout exists here.
pub(super) fn check(root: &Path) -> Result<()> {
    let path = root.join(oci_layout_file::NAME);
    match blobs::open_inside(root, oci_layout_file::NAME)? {
        Ok(file) => check_version(&path, &file).and_then(|()| check_blobs(root)),
        Err(error) if error.kind() == Io::NotFound && !root.exists() => {
            Err(Error::new(ErrorKind::NotFound, "layout")
                .at(root.display().to_string())
                .with_reason("does not exist"))
        }
        // Another process has just created it.
        Err(error) if error.kind() == Io::NotFound && path.exists() => check(root),
        // Another process may be creating it right now. With blobs, the directory is not empty: `oci-layout` was lost.
        Err(error)
            if error.kind() == Io::NotFound
                && is_unfinished(root)
                && files(&root.join("blobs/sha256")).is_ok_and(|blobs| blobs.is_empty()) =>
        {
            Err(Error::new(ErrorKind::NotFound, "layout")
                .at(root.display().to_string())
                .with_reason("is empty"))
        }
        Err(error) if matches!(error.kind(), Io::NotFound | Io::NotADirectory) => {
            Err(Error::new(ErrorKind::Store, "layout")
                .at(root.display().to_string())
                .with_reason("is not an OCI image layout")
                .with_detail(root.is_file().then_some(ErrorDetail::FileForLayout)))
        }
        Err(error) => Err(io_error("open", &path, error)),
    }
}

fn check_version(path: &Path, file: &File) -> Result<()> {
    let refuse = |reason: &str| {
        Error::new(ErrorKind::Store, "layout").at(path.display().to_string()).with_reason(reason)
    };
    let mut bytes = Vec::new();
    file.take(oci_layout_file::MAX_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| io_error("read", path, error))?;
    oci_layout_file::check(&bytes, refuse)
}

/// A layout without `blobs/` is damaged, not empty: the blobs may be on a disk that is not mounted.
fn check_blobs(root: &Path) -> Result<()> {
    let blobs = root.join("blobs");
    if blobs.is_dir() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Store, "layout")
        .at(blobs.display().to_string())
        .with_reason("is missing"))
}

/// Creates the missing parts of a layout. `oci-layout` comes last: if it exists, so does the rest.
///
/// # Errors
/// [`ErrorKind::Store`] if the directory has other content or is not writable.
pub(super) fn create(root: &Path, options: &LayoutOptions, control: &Control) -> Result<()> {
    let mode = if options.private { 0o700 } else { 0o777 };
    match check(root) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound || is_unfinished(root) => {
            create_dirs(root, mode)?;
            initialize(root, mode, options.lock_timeout, control)?;
        }
        Err(error) => return Err(error),
    }
    create_dir(&root.join("ingest"), mode)?;
    // Fail now, not after the download.
    access(root.join("ingest"), Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| io_error("write to", root, error.into()))
}

/// Initializes the directory. Of several processes that found it empty at the same time, the first one does it.
fn initialize(root: &Path, mode: u32, timeout: Duration, control: &Control) -> Result<()> {
    let guard = File::open(root).map_err(|error| io_error("open", root, error))?;
    let waiting = LockWait { what: "the new store", path: root, timeout, control };
    let exists = || root.join(oci_layout_file::NAME).exists();
    // The process that has created the layout holds a shared lock on it until it ends.
    let is_alone = lock::lock_unless(&guard, LockMode::Exclusive, &waiting, exists)?;
    if !is_alone || exists() {
        return check(root);
    }
    let blobs = root.join("blobs");
    create_dir(&blobs, mode)?;
    create_dir(&blobs.join("sha256"), mode)?;
    sync_dir(&blobs)?;
    if !root.join("index.json").exists() {
        replace_durably(root, "index.json", EMPTY_INDEX.as_bytes())?;
    }
    // Renamed into place: otherwise a power failure could leave an empty `oci-layout`, which no run would repair.
    replace_durably(root, oci_layout_file::NAME, oci_layout_file::TEXT.as_bytes())?;
    sync_dir(root)
}

/// Whether an existing directory is empty, or has only files of an interrupted creation.
fn is_unfinished(root: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(root) else { return false };
    entries.flatten().all(|entry| INIT_LEFTOVERS.iter().any(|own| entry.file_name() == *own))
}

/// Creates a directory and its parents, and syncs them: a power failure must not lose a directory with durable content.
///
/// The parents of a private store are private too: a user who can rename them could replace the store.
fn create_dirs(path: &Path, mode: u32) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_dirs(parent, mode)?;
    }
    create_dir(path, mode)?;
    // A directory that is writable but not readable cannot be synced.
    drop(sync_dir(parent.unwrap_or(Path::new("."))));
    Ok(())
}

/// Creates one directory with this mode, unless it exists.
pub(super) fn create_dir(path: &Path, mode: u32) -> Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == Io::AlreadyExists && path.is_dir() => Ok(()),
        other => other.map_err(|error| io_error("create", path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn create_finishes_partial_layout_but_not_foreign_dir() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a/b");
        create(&root, &LayoutOptions::default(), &Control::default()).unwrap();
        check(&root).unwrap();
        std::fs::remove_file(root.join(oci_layout_file::NAME)).unwrap();
        assert_eq!(check(&root).unwrap_err().kind(), ErrorKind::NotFound);
        std::fs::write(root.join("blobs/sha256/x"), "").unwrap();
        assert_eq!(check(&root).unwrap_err().kind(), ErrorKind::Store, "it holds something");
        create(&root, &LayoutOptions::default(), &Control::default()).unwrap();
        check(&root).unwrap();
        let error = create(dir.path(), &LayoutOptions::default(), &Control::default()).unwrap_err();
        assert!(error.to_string().contains("not an OCI image layout"), "{error}");
    }

    #[test]
    fn create_other_layout_version_is_rejected_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        for bad in [r#"{"imageLayoutVersion":"2.0.0"}"#, "", "{}", "garbage"] {
            std::fs::write(dir.path().join(oci_layout_file::NAME), bad).unwrap();
            assert_eq!(
                create(dir.path(), &LayoutOptions::default(), &Control::default())
                    .unwrap_err()
                    .kind(),
                ErrorKind::Store,
                "{bad}"
            );
            assert_eq!(
                std::fs::read_to_string(dir.path().join(oci_layout_file::NAME)).unwrap(),
                bad
            );
        }
    }

    #[test]
    fn create_concurrently_yields_one_layout() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("store");
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    create(&root, &LayoutOptions::default(), &Control::default()).unwrap();
                });
            }
        });
        check(&root).unwrap();
    }

    #[test]
    fn create_of_layout_in_use_does_not_wait_for_its_user() {
        let dir = tempfile::tempdir().unwrap();
        let user = File::open(dir.path()).unwrap();
        assert!(lock::try_lock(&user, LockMode::Shared, dir.path()).unwrap());
        let control = Control::default();
        std::thread::scope(|scope| {
            let second =
                scope.spawn(|| initialize(dir.path(), 0o700, Duration::from_secs(60), &control));
            std::fs::create_dir_all(dir.path().join("blobs/sha256")).unwrap();
            std::fs::write(dir.path().join("index.json"), EMPTY_INDEX).unwrap();
            std::fs::write(dir.path().join(oci_layout_file::NAME), oci_layout_file::TEXT).unwrap();
            second.join().unwrap().unwrap();
        });
    }
}
