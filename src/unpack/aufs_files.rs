//! Files of a layer under names reserved by AUFS. They stay in a hidden directory until the layer ends, because
//! entries of the layer may be hard links to them.

use std::io;

use rustix::fs::{AtFlags, linkat};

use super::aufs_dir::{AufsDir, HiddenFile};
use super::changeset::Changeset;
use super::directories::OpenDir;
use super::unpacker::Unpacker;
use crate::layer::{AufsFile, EntryKind, LayerEntry, is_aufs_metadata};

impl Unpacker {
    /// Stores an AUFS file in the hidden directory until the layer ends.
    pub(super) fn store_aufs_file(
        &mut self,
        entry: &LayerEntry,
        layer: &mut impl Changeset,
    ) -> io::Result<()> {
        let mut aufs_dir = if let Some(aufs_dir) = self.aufs_dir.take() {
            aufs_dir
        } else {
            // Records the time of the root before the directory changes it.
            self.parent(b"")?;
            AufsDir::begin(&self.root)?
        };
        let number = aufs_dir.dir.next();
        let name = number.to_string();
        let mut file = HiddenFile { number, uncounted_bytes: None };
        match entry.kind {
            EntryKind::File => {
                layer.write_file(self, &aufs_dir.directory, name.as_bytes(), entry)?;
                file.uncounted_bytes = Some(entry.size);
                aufs_dir.files.keep(&entry.path, file);
            }
            EntryKind::Symlink => {
                self.symlink(&aufs_dir.directory, name.as_bytes(), entry)?;
                aufs_dir.files.keep(&entry.path, file);
            }
            _ => drop(aufs_dir.files.keep_link(&entry.path, &entry.link)),
        }
        self.aufs_dir = Some(aufs_dir);
        Ok(())
    }

    /// Links to a stored AUFS file, or returns the path that it is a hard link to; `None` if there is no such file.
    pub(super) fn link_to_aufs_file(
        &mut self,
        parent: &OpenDir,
        name: &[u8],
        link: &[u8],
    ) -> io::Result<Option<AufsFile<()>>> {
        let Some(mut aufs_dir) = self.aufs_dir.take() else { return Ok(None) };
        let found = match aufs_dir.files.get_mut(link) {
            Some(AufsFile::Own(file)) => {
                if let Some(size) = file.uncounted_bytes.take() {
                    self.totals.files += 1;
                    self.totals.bytes += size;
                }
                let (from, number) = (&aufs_dir.directory.handle, file.number.to_string());
                let make = || linkat(from, &number, &parent.handle, name, AtFlags::empty());
                self.replace_existing(parent, name, make)?;
                Some(AufsFile::Own(()))
            }
            Some(AufsFile::NameOf(path)) if !is_aufs_metadata(path) => {
                Some(AufsFile::NameOf(path.clone()))
            }
            _ => None,
        };
        self.aufs_dir = Some(aufs_dir);
        Ok(found)
    }
}
