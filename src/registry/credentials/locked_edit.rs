//! Edits a file of secrets: readable only by its owner, replaced atomically, and without losing concurrent changes.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use zeroize::Zeroizing;

use super::file::{SecretText, read_all};
use crate::atomic_file::{AtomicFile, Fsync};
use crate::symlinks::{parent_dir, resolve_symlinks};

/// Owner only.
const PRIVATE: u32 = 0o600;

/// Replaces the text of a file with the result of `change`; on `None` nothing is written.
///
/// A file behind a symbolic link keeps its path and mode. New files and directories are for the owner only.
pub(super) fn edit_file(
    path: &Path,
    change: impl FnOnce(&[u8]) -> io::Result<Option<Zeroizing<String>>>,
) -> io::Result<()> {
    let target = resolve_symlinks(path)?;
    let dir = parent_dir(&target);
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    // Lock the directory, because the file itself is replaced: a process that waits for the old file would lock
    // nothing.
    let lock = File::open(dir)?;
    lock.lock()?;
    let (old, former) = match std::fs::metadata(&target) {
        Ok(former) if former.is_file() => (read_all(&target)?, Some(former)),
        Ok(_) => return Err(io::Error::other("is not a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (SecretText::default(), None),
        Err(error) => return Err(error),
    };
    let Some(new) = change(&old)? else { return Ok(()) };
    let file = AtomicFile::create(&target, PRIVATE)?;
    file.file().write_all(new.as_bytes())?;
    if let Some(former) = former {
        if target != path {
            file.file().set_permissions(Permissions::from_mode(former.mode() & 0o777))?;
        }
        // A process that became root must not take the file from its owner. Only root may change owners.
        drop(fchown(file.file(), Some(former.uid()), Some(former.gid())));
    }
    file.publish(Fsync::FileAndDir)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(path: &Path, text: &str) {
        edit_file(path, |_| Ok(Some(Zeroizing::new(text.to_owned())))).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn replace_sets_owner_only_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/.docker/config.json");
        write(&path, "one");
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        write(&path, "two");
        assert_eq!((mode(&path), std::fs::read_to_string(&path).unwrap()), (0o600, "two".into()));
        edit_file(&path, |old| {
            assert_eq!(old, b"two");
            Ok(None)
        })
        .unwrap();
        edit_file(&path, |_| Err(io::Error::other("no"))).unwrap_err();
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn replace_follows_symlink() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("dotfiles")).unwrap();
        let (real, link) =
            (dir.path().join("dotfiles/docker.json"), dir.path().join("config.json"));
        symlink("dotfiles/step.json", &link).unwrap();
        symlink("docker.json", dir.path().join("dotfiles/step.json")).unwrap();
        write(&link, "made");
        assert_eq!(mode(&real), 0o600);
        std::fs::set_permissions(&real, Permissions::from_mode(0o640)).unwrap();
        write(&link, "kept");
        assert!(link.is_symlink() && mode(&real) == 0o640);
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "kept");
        let round = dir.path().join("round");
        symlink("round", &round).unwrap();
        assert!(edit_file(&round, |_| Ok(None)).is_err());
        assert!(edit_file(dir.path(), |_| Ok(None)).is_err(), "a directory");
    }

    #[test]
    fn replace_concurrent_changes_are_all_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = &dir.path().join("config.json");
        let add = |word: usize| {
            edit_file(path, |old| {
                let old = std::str::from_utf8(old).unwrap();
                Ok(Some(Zeroizing::new(format!("{old}{word:03}"))))
            })
        };
        std::thread::scope(|scope| {
            for word in 0..20 {
                scope.spawn(move || add(word).unwrap());
            }
        });
        assert_eq!(std::fs::read(path).unwrap().len(), 60);
    }
}
