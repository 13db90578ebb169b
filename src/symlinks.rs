//! Where a path leads that is to be written: what is behind a symbolic link is meant, not the link.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Symbolic links that are followed from one to the next, as many as Linux follows.
pub(crate) const MAX_SYMLINKS: usize = 40;

/// The directory that a file of this path is in.
pub(crate) fn parent_dir(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The file that is meant, as `cp` and a shell's `>` take it; it need not be there.
pub(crate) fn resolve_symlinks(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_owned();
    for _ in 0..MAX_SYMLINKS {
        match std::fs::read_link(&target) {
            // A relative one starts where the link is.
            Ok(next) => target = target.parent().unwrap_or(Path::new("")).join(next),
            Err(error) if is_no_link(&error) => return Ok(target),
            Err(error) => return Err(error),
        }
    }
    Err(Errno::LOOP.into())
}

fn is_no_link(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, NotADirectory, NotFound};
    matches!(error.kind(), InvalidInput | NotFound | NotADirectory)
}
