//! Whiteouts and opaque markers, which remove entries of lower layers. Spec: image-spec `layer.md`, "Whiteouts".

use std::io;

use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;

use super::INCOMPLETE_FILE_NAME;
use super::remove::clear;
use super::unpacker::{IfMissing, Unpacker};
use crate::image_layers::resolve::push;
use crate::layer::split;

impl Unpacker {
    /// Removes the entry of lower layers at this path.
    pub(super) fn apply_whiteout(&mut self, path: &[u8]) -> io::Result<()> {
        let (parent, name) = split(path);
        let Some(parent) = self.find(parent, IfMissing::ReturnNone)? else { return Ok(()) };
        let mut path = parent.path.clone();
        push(&mut path, name);
        let Some(created) = &self.layer_paths else { return Ok(()) };
        if created.has(&path) && !parent.has_directory(name) {
            return Ok(());
        }
        match unlinkat(&parent.handle, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => self.remove_lower(&path)?,
            Err(Errno::NOENT) | Ok(()) => {}
            Err(error) => return Err(error.into()),
        }
        self.directories.remove(&path);
        self.mark_whiteout(&path)
    }

    /// Removes the entries of lower layers in this directory, and creates the directory unless another file is there.
    pub(super) fn apply_opaque(&mut self, path: &[u8]) -> io::Result<()> {
        let directory = match self.parent(path) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(()),
            other => other?,
        };
        if let Some(created) = &mut self.layer_paths {
            created.add_with_parents(&directory.path);
            self.remove_lower(&directory.path)?;
        }
        self.mark_whiteout(&directory.path)
    }

    /// Removes a directory and everything below it that the current layer did not create.
    fn remove_lower(&mut self, path: &[u8]) -> io::Result<()> {
        let (created, deferred) = (&self.layer_paths, &mut self.deferred);
        let hidden_dirs =
            [self.read_ahead_dir.as_deref(), self.aufs_dir.as_ref().map(|aufs| &aufs.dir)];
        let is_retained = |path: &[u8]| {
            path == INCOMPLETE_FILE_NAME
                || path.is_empty()
                || created.as_ref().is_some_and(|created| created.has(path))
                || hidden_dirs.iter().flatten().any(|dir| dir.has(path))
        };
        clear(&self.root, path, &is_retained, &mut |removed| deferred.remove(removed))?;
        self.directories.clear();
        Ok(())
    }
}
