//! Files of a layer under names reserved by AUFS. They are kept in a hidden directory until the layer ends, for hard
//! links to them.

use std::io;

use rustix::fs::{AtFlags, linkat};

use super::aside::{Aside, AsideFile};
use super::changeset::Changeset;
use super::directories::OpenDir;
use super::unpacker::Unpacker;
use crate::layer::{EntryKind, LayerEntry, Leftover, is_leftover};

impl Unpacker {
    /// Keeps an AUFS file until the layer ends.
    pub(super) fn put_aside(
        &mut self,
        entry: &LayerEntry,
        layer: &mut impl Changeset,
    ) -> io::Result<()> {
        let mut aside = if let Some(aside) = self.aside.take() {
            aside
        } else {
            // It remembers when the root was changed last.
            self.parent(b"")?;
            Aside::begin(&self.root)?
        };
        let number = aside.stage.next();
        let name = number.to_string();
        let mut file = AsideFile { number, uncounted: None };
        match entry.kind {
            EntryKind::File => {
                layer.make_file(self, &aside.directory, name.as_bytes(), entry)?;
                file.uncounted = Some(entry.size);
                aside.files.keep(&entry.path, file);
            }
            EntryKind::Symlink => {
                self.symlink(&aside.directory, name.as_bytes(), entry)?;
                aside.files.keep(&entry.path, file);
            }
            _ => drop(aside.files.keep_link(&entry.path, &entry.link)),
        }
        self.aside = Some(aside);
        Ok(())
    }

    /// Links to a kept AUFS file, or returns the path that it is another name of; `None` if there is no such file.
    pub(super) fn link_to_leftover(
        &mut self,
        parent: &OpenDir,
        name: &[u8],
        link: &[u8],
    ) -> io::Result<Option<Leftover<()>>> {
        let Some(mut aside) = self.aside.take() else { return Ok(None) };
        let found = match aside.files.get_mut(link) {
            Some(Leftover::Own(file)) => {
                if let Some(size) = file.uncounted.take() {
                    self.done.files += 1;
                    self.done.bytes += size;
                }
                let (from, number) = (&aside.directory.handle, file.number.to_string());
                let make = || linkat(from, &number, &parent.handle, name, AtFlags::empty());
                self.replace_existing(parent, name, make)?;
                Some(Leftover::Own(()))
            }
            Some(Leftover::NameOf(path)) if !is_leftover(path) => {
                Some(Leftover::NameOf(path.clone()))
            }
            _ => None,
        };
        self.aside = Some(aside);
        Ok(found)
    }
}
