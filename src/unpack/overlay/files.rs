//! Small files and directories inside a directory, accessed by its handle.

use std::fs::File;
use std::io::{self, Read as _, Write as _};

use rustix::fd::{AsFd as _, BorrowedFd};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, mkdirat, unlinkat};
use rustix::io::Errno;

use crate::layer::split;
use crate::unpack::root::{RootDir, create, open_below};

/// Maximum bytes read from one file.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Creates a directory if it does not exist.
pub(super) fn create_dir(directory: BorrowedFd<'_>, name: &[u8], mode: u32) -> io::Result<()> {
    match mkdirat(directory, name, Mode::from_raw_mode(mode)) {
        Err(Errno::EXIST) => {
            open_below(directory, name, OFlags::PATH | OFlags::DIRECTORY)?;
            Ok(())
        }
        other => Ok(other?),
    }
}

/// Creates a file, which must not exist.
pub(super) fn write(directory: BorrowedFd<'_>, name: &[u8], bytes: &[u8]) -> io::Result<()> {
    File::from(create(directory, name, 0o644)?).write_all(bytes)
}

/// Returns the content of a regular file; `None` if there is no such file.
pub(super) fn read(directory: BorrowedFd<'_>, path: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let file = match open_below(directory, path, OFlags::RDONLY | OFlags::NONBLOCK) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

pub(super) fn exists(directory: BorrowedFd<'_>, path: &[u8]) -> bool {
    open_below(directory, path, OFlags::PATH).is_ok()
}

/// Lists a directory; empty if it does not exist.
pub(super) fn list(directory: BorrowedFd<'_>, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let dir = match open_below(directory, path, OFlags::RDONLY | OFlags::DIRECTORY) {
        Err(Errno::NOENT) => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = Vec::new();
    for child in Dir::read_from(&dir)? {
        let child = child?;
        match child.file_name().to_bytes() {
            b"." | b".." => {}
            name => names.push(name.to_vec()),
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Removes a file or directory tree, if it exists.
pub(super) fn remove(root: &RootDir, path: &[u8]) -> io::Result<()> {
    let (parent, name) = split(path);
    let parent = match root.directory(parent) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    match unlinkat(&parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => crate::unpack::remove::clear(root, path, &|_| false, &mut |_| {}),
        Err(Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}

/// Renames within the root. The new path must not exist.
pub(super) fn rename(root: &RootDir, from: &[u8], to: &[u8]) -> io::Result<()> {
    let flags = rustix::fs::RenameFlags::NOREPLACE;
    rustix::fs::renameat_with(root.as_fd(), from, root.as_fd(), to, flags)?;
    Ok(())
}
