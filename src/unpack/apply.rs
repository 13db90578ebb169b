//! Applies layers to a root, one after the other. Spec: image-spec `layer.md`, "Applying Changesets".

use std::io::{self, BufRead};

use rustix::io::Errno;

use super::changeset::Changeset;
use super::failed;
use super::layer_paths::LayerPaths;
use super::unpacker::Unpacker;
use crate::error::Result;
use crate::image_layers::resolve::{PATH_MAX, push};
use crate::layer::{Entries, EntryKind, LayerEntry, split};

impl Unpacker {
    /// Applies a layer, up to the end of its tar; `name` is for errors.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Unpack`] naming layer and entry.
    pub fn apply<R: BufRead>(&mut self, name: &str, layer: &mut Entries<R>) -> Result<()> {
        self.apply_changes(name, layer)
    }

    pub(super) fn apply_changes(&mut self, name: &str, layer: &mut impl Changeset) -> Result<()> {
        self.layer_paths =
            (!self.root_was_empty || self.overlay.is_some()).then(LayerPaths::default);
        let mut last = String::new();
        loop {
            let entry = match layer.next_entry() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) => return Err(failed(name, &last, error)),
            };
            let result = self.entry(&entry, layer);
            last = String::from_utf8_lossy(&entry.path).into_owned();
            result.map_err(|error| failed(name, &last, error))?;
            if self.deferred.is_full() {
                self.apply_deferred(name)?;
            }
        }
        self.root_was_empty = false;
        self.aufs_dir = None;
        self.write_whiteouts(name)
    }

    fn entry(&mut self, entry: &LayerEntry, layer: &mut impl Changeset) -> io::Result<()> {
        self.totals.entries += 1;
        if entry.is_aufs_metadata() {
            return self.store_aufs_file(entry, layer);
        }
        match entry.kind {
            EntryKind::Whiteout => return self.apply_whiteout(&entry.path),
            EntryKind::Opaque => return self.apply_opaque(&entry.path),
            EntryKind::Directory if entry.path.is_empty() => return self.set_root_metadata(entry),
            _ => {}
        }
        let (parent, name) = split(&entry.path);
        let parent = self.parent(parent)?;
        if let Some(created) = &mut self.layer_paths {
            let mut path = parent.path.clone();
            push(&mut path, name);
            created.add(&path);
            created.add_with_parents(&parent.path);
        }
        if parent.path.len() + 1 + name.len() > PATH_MAX {
            return Err(Errno::NAMETOOLONG.into());
        }
        self.create(&parent, name, entry, layer)
    }
}
