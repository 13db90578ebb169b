//! Names of the images in a layout.

use super::entry::split_pinned;
use super::index::IndexFile;
use super::origins::with_origins;
use super::{IndexEntry, Layout, SUBJECT_ANNOTATION};
use crate::digest::Digest;
use crate::error::Result;

impl Layout {
    /// The entries of index.json, in order. Damaged ones are skipped with a warning.
    pub fn entries(&self) -> Result<Vec<IndexEntry>> {
        Ok(IndexFile::read(&self.0.root)?.readable())
    }

    /// The entries of index.json, in order.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Store`] if an entry is damaged.
    pub(super) fn all_entries(&self) -> Result<Vec<IndexEntry>> {
        IndexFile::read(&self.0.root)?.entries().collect()
    }

    /// The entry with this name. `NAME@DIGEST` matches an entry with that digest, or one selected from the index with
    /// that digest.
    pub fn entry(&self, name: &str) -> Result<Option<IndexEntry>> {
        let found = self.entries_of(name)?;
        let document = found.iter().position(|entry| entry.descriptor.media_type.is_document());
        Ok(found.into_iter().nth(document.unwrap_or(0)))
    }

    /// Like [`Layout::entry`], but returns all matches: other tools may give several entries the same name.
    pub(super) fn entries_of(&self, name: &str) -> Result<Vec<IndexEntry>> {
        let mut found =
            IndexFile::read(&self.0.root)?.matching(name).collect::<Result<Vec<_>>>()?;
        found.retain(|entry| match split_pinned(name) {
            Some((_, pin)) if pin != entry.descriptor.digest => {
                self.index_listing(&pin, &entry.descriptor.digest).is_some()
            }
            _ => true,
        });
        Ok(found)
    }

    /// Adds a name to an image. Another image with that name loses it.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::NotFound`] if there is no such image.
    pub fn tag(&self, name: &str, new: &str) -> Result<()> {
        self.0.change_index(|index| {
            let mut entry = index.find(name)?.ok_or_else(|| self.0.not_found(name))?;
            entry.descriptor.annotations.remove(SUBJECT_ANNOTATION);
            index.set(new, entry.descriptor)
        })
    }

    /// Records that this `registry/repository` has the image, if the name still has this digest.
    pub fn add_origin(&self, name: &str, digest: &Digest, origin: &str) -> Result<()> {
        self.0.change_index(|index| {
            let Some(entry) = index.find(name)? else { return Ok(false) };
            let Some(name) = entry.matching_name(name).map(str::to_owned) else { return Ok(false) };
            if entry.descriptor.digest != *digest {
                return Ok(false);
            }
            let entry = with_origins(index, &name, entry.descriptor, &[origin.to_owned()])?;
            index.set(&name, entry)
        })
    }
}
