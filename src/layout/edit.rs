//! Changes several names in one step, decided by what is there at that moment.

use super::index::IndexFile;
use super::origins::{origins_of, with_origins};
use super::{IndexEntry, Layout, SUBJECT_ANNOTATION};
use crate::descriptor::Descriptor;
use crate::error::Result;

/// What is to become of one name.
#[derive(Clone, Debug, PartialEq)]
pub enum NameEdit {
    /// It stands for this from here on; a former holder of the name loses it.
    Set(String, Box<Descriptor>),
    /// Nothing has it any more.
    Remove(String),
}

impl Layout {
    /// Lets `plan` decide by the entries of index.json, and does what it says: no other process or task changes a name
    /// between the two. Entries that are damaged are left out with a warning.
    ///
    /// Waits for the disk and for other processes, so not on a thread that others need.
    pub fn edit_names(&self, plan: impl FnOnce(Vec<IndexEntry>) -> Vec<NameEdit>) -> Result<()> {
        self.0.change_index(|index| {
            let edits = plan(index.readable());
            edits.into_iter().try_fold(false, |changed, edit| Ok(apply(index, edit)? || changed))
        })
    }
}

fn apply(index: &mut IndexFile, edit: NameEdit) -> Result<bool> {
    match edit {
        NameEdit::Remove(name) => index.remove(&name),
        NameEdit::Set(name, mut descriptor) => {
            // Whoever names something wants it for itself, not because it came along with something.
            descriptor.annotations.remove(SUBJECT_ANNOTATION);
            let origins = origins_of(&descriptor);
            let descriptor = with_origins(index, &name, *descriptor, &origins)?;
            index.set(&name, descriptor)
        }
    }
}
