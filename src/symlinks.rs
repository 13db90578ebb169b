//! Resolves symbolic links in the path of an output file: the target is written, not the link.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Maximum symbolic links followed, as on Linux.
pub(crate) const MAX_SYMLINKS: usize = 40;

/// Returns the directory of a file.
pub(crate) fn parent_dir(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns the file that the path refers to, as `cp` and a shell's `>` do; it need not exist.
pub(crate) fn resolve_symlinks(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_owned();
    for _ in 0..MAX_SYMLINKS {
        match std::fs::read_link(&target) {
            // A relative target starts at the link's directory.
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
