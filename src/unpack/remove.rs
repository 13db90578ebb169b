//! Removes trees of any depth with two open files.

use std::io;

use rustix::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, chmod, fstat, unlinkat};
use rustix::io::Errno;

use super::root::{RootDir, open_below};
use crate::image_layers::resolve::push;
use crate::layer::split;

/// A directory on the stack of [`clear`].
enum Step {
    /// Remove its files, and its directories by further steps.
    Empty(Vec<u8>),
    /// Remove it: it was emptied.
    Remove(Vec<u8>),
}

/// Removes a directory and its content, except paths for which `is_kept` returns true. Calls `on_removed` with each
/// removed directory.
pub(super) fn clear(
    root: &RootDir,
    path: &[u8],
    is_kept: &dyn Fn(&[u8]) -> bool,
    on_removed: &mut dyn FnMut(&[u8]),
) -> io::Result<()> {
    let mut stack = vec![Step::Empty(path.to_vec())];
    while let Some(step) = stack.pop() {
        let path = match step {
            Step::Empty(path) => path,
            Step::Remove(path) => {
                let (parent, name) = split(&path);
                unlinkat(root.directory(parent)?, name, AtFlags::REMOVEDIR)?;
                on_removed(&path);
                continue;
            }
        };
        if !is_kept(&path) {
            stack.push(Step::Remove(path.clone()));
        }
        let directory = match open_writable(root, &path) {
            // It belongs to another user (`lost+found`), so it has nothing that rpull created.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && is_kept(&path) => {
                continue;
            }
            other => other?,
        };
        for child in Dir::read_from(&directory)? {
            let child = child?;
            let name = child.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let mut path = path.clone();
            push(&mut path, name);
            match child.file_type() {
                FileType::Directory => stack.push(Step::Empty(path)),
                _ if is_kept(&path) => {}
                _ => match unlinkat(&directory, name, AtFlags::empty()) {
                    // Not every file system reports the type.
                    Err(Errno::ISDIR) => stack.push(Step::Empty(path)),
                    other => other?,
                },
            }
        }
    }
    Ok(())
}

/// Opens a directory for changes, even if its mode forbids that to its owner.
pub(super) fn open_writable(root: &RootDir, path: &[u8]) -> io::Result<OwnedFd> {
    let open = root.readable(path);
    if matches!(open, Err(Errno::ACCESS)) {
        let directory = open_below(root.as_fd(), path, OFlags::PATH | OFlags::DIRECTORY)?;
        allow(&directory)?;
        return Ok(root.readable(path)?);
    }
    let directory = open?;
    if !rustix::process::geteuid().is_root() && fstat(&directory)?.st_mode & 0o700 != 0o700 {
        allow(&directory)?;
    }
    Ok(directory)
}

/// Gives the owner all rights to an open directory.
pub(super) fn allow(directory: &OwnedFd) -> Result<(), Errno> {
    set_mode(directory, 0o700)
}

/// Changes the mode of any open file. The kernel requires a path if it was opened with `O_PATH`: the one in `/proc`
/// leads to the handle itself.
pub(super) fn set_mode(handle: &OwnedFd, mode: u32) -> Result<(), Errno> {
    chmod(format!("/proc/self/fd/{}", handle.as_raw_fd()), Mode::from_raw_mode(mode))
}
