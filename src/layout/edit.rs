//! Changes several names in one atomic step, based on the current entries.

use super::index::IndexFile;
use super::origins::{origins_of, with_origins};
use super::{IndexEntry, Layout, SUBJECT_ANNOTATION};
use crate::descriptor::Descriptor;
use crate::error::Result;

/// A change of one name.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum NameEdit {
    /// The name points to this content; a former entry of that name loses it.
    Set(String, Box<Descriptor>),
    /// The name is removed.
    Remove(String),
}

impl Layout {
    /// Calls `plan` with the entries of index.json and applies the changes it returns. No other process or task changes
    /// a name in between. Damaged entries are skipped with a warning.
    ///
    /// Blocks on the disk and on other processes: call it on a blocking thread.
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
            // A named image is kept for itself, no longer only for its subject.
            descriptor.annotations.remove(SUBJECT_ANNOTATION);
            let origins = origins_of(&descriptor);
            let descriptor = with_origins(index, &name, *descriptor, &origins)?;
            index.set(&name, descriptor)
        }
    }
}
