//! The merged view of a stack of layers, as the kernel shows it: for each path the entry of the topmost layer that has
//! one.

use std::io;
use std::sync::Arc;

use rustix::fd::AsFd as _;
use rustix::fs::{Dir, FileType, OFlags, Stat, fstat};
use rustix::io::Errno;

use super::xattr::{OverlayXattr, is_whiteout};
use crate::layer::{is_below, split};
use crate::unpack::root::{RootDir, open_below};

/// Complete layers, the top one first.
#[derive(Debug)]
pub(super) struct MergedView {
    layers: Vec<Arc<RootDir>>,
    namespace: OverlayXattr,
    /// The last accessed directory and its parents, top first, with the layers that each is merged from.
    dir_cache: Vec<(Vec<u8>, Vec<usize>)>,
}

/// A visible entry.
pub(in crate::unpack) struct MergedEntry {
    pub(super) layer: Arc<RootDir>,
    pub(super) stat: Stat,
}

impl MergedEntry {
    pub(super) fn is_directory(&self) -> bool {
        is_directory(&self.stat)
    }
}

impl MergedView {
    pub(super) fn new(layers: Vec<Arc<RootDir>>, namespace: OverlayXattr) -> Self {
        Self { layers, namespace, dir_cache: Vec::new() }
    }

    /// Returns the visible entry at this path, which must not contain symbolic links or dots.
    pub(super) fn find(&mut self, path: &[u8]) -> io::Result<Option<MergedEntry>> {
        let candidates = self.layers_of(split(path).0)?;
        for index in candidates {
            let Some(layer) = self.layers.get(index) else { break };
            match stat(layer, path)? {
                None => {}
                Some(stat) if is_whiteout(&stat) => break,
                Some(stat) => return Ok(Some(MergedEntry { layer: Arc::clone(layer), stat })),
            }
        }
        Ok(None)
    }

    /// Returns the root of the top layer.
    pub(super) fn root(&self) -> io::Result<Option<MergedEntry>> {
        let entry = |layer: &Arc<RootDir>| {
            Ok(MergedEntry { layer: Arc::clone(layer), stat: fstat(layer.as_fd())? })
        };
        self.layers.first().map(entry).transpose()
    }

    /// Returns the names in the roots of all layers.
    pub(super) fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        for layer in &self.layers {
            for child in Dir::read_from(layer.as_fd())? {
                let child = child?;
                match child.file_name().to_bytes() {
                    b"." | b".." => {}
                    name => names.push(name.to_vec()),
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Returns the layers that a directory is merged from; empty if there is no such directory.
    fn layers_of(&mut self, path: &[u8]) -> io::Result<Vec<usize>> {
        while self.dir_cache.last().is_some_and(|(cached, _)| !is_below(path, cached)) {
            self.dir_cache.pop();
        }
        loop {
            let (cached, layers) = match self.dir_cache.last() {
                Some((cached, layers)) => (cached.len(), layers.clone()),
                None => (0, (0..self.layers.len()).collect()),
            };
            let rest = path.get(cached..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(layers);
            }
            let start = usize::from(cached > 0);
            let slash = rest.iter().skip(start).position(|&byte| byte == b'/');
            let end = slash.map_or(path.len(), |position| cached + start + position);
            let next = path.get(..end).unwrap_or_default();
            let layers = self.layers_of_child(next, &layers)?;
            self.dir_cache.push((next.to_vec(), layers));
        }
    }

    /// Returns the layers of a directory whose parent is merged from `parent_layers`.
    fn layers_of_child(&self, path: &[u8], parent_layers: &[usize]) -> io::Result<Vec<usize>> {
        let mut layers = Vec::new();
        for &index in parent_layers {
            let Some(layer) = self.layers.get(index) else { break };
            let Some(stat) = stat(layer, path)? else { continue };
            // A whiteout is not a directory either.
            if !is_directory(&stat) {
                break;
            }
            layers.push(index);
            if self.namespace.is_opaque(layer.readable(path)?)? {
                break;
            }
        }
        Ok(layers)
    }
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Returns the metadata of one layer's entry at this path.
fn stat(layer: &RootDir, path: &[u8]) -> io::Result<Option<Stat>> {
    match open_below(layer.as_fd(), path, OFlags::PATH) {
        Ok(found) => Ok(Some(fstat(&found)?)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
