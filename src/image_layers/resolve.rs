//! Resolves symbolic links in a path as in a chroot. The caller supplies the links.

use std::io;

use rustix::io::Errno;

use crate::layer::is_aufs_metadata;
use crate::symlinks::MAX_SYMLINKS;

/// Longest path that can be opened, in bytes.
pub(crate) const PATH_MAX: usize = 4095;

/// The path of the directory that `path` leads to. Links are followed, and never lead above the root. Missing
/// components resolve to themselves, so the directory need not exist. `link_at` returns the target of the link at a
/// path, if it is one.
pub(crate) fn resolve(
    path: &[u8],
    mut link_at: impl FnMut(&[u8]) -> io::Result<Option<Vec<u8>>>,
) -> io::Result<Vec<u8>> {
    let mut resolved: Vec<u8> = Vec::new();
    // Components still to resolve, the next one last.
    let mut parts: Vec<Vec<u8>> = reversed(path);
    let mut links = 0;
    while let Some(part) = parts.pop() {
        match &part[..] {
            b"" | b"." => continue,
            b".." => {
                let parent = resolved.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                resolved.truncate(parent);
                continue;
            }
            // Entries with such names are never created; only a link can lead there.
            part if is_aufs_metadata(part) => {
                return Err(io::Error::other("resolves to a name reserved by AUFS"));
            }
            _ => {}
        }
        let parent = resolved.len();
        push(&mut resolved, &part);
        if resolved.len() > PATH_MAX {
            return Err(Errno::NAMETOOLONG.into());
        }
        if let Some(target) = link_at(&resolved)? {
            links += 1;
            if links > MAX_SYMLINKS {
                return Err(Errno::LOOP.into());
            }
            resolved.truncate(if target.starts_with(b"/") { 0 } else { parent });
            parts.extend(reversed(&target));
        }
    }
    Ok(resolved)
}

pub(crate) fn push(path: &mut Vec<u8>, part: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(part);
}

fn reversed(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|&byte| byte == b'/').rev().map(<[u8]>::to_vec).collect()
}
