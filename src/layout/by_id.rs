//! Finds images by the ids that rpull prints: digests of documents and configs, or a prefix of one.

use super::{IndexEntry, Layout};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Document, ParsedDocument};
use crate::error::Result;
use crate::image_id::ImageId;
use crate::name::ImageName;

/// An image with the requested id.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdMatch {
    /// Digest of its document.
    pub digest: Digest,
    /// The name to look it up by.
    pub name: ImageName,
    /// Its names; empty if it has none, or if it is a platform of an index.
    pub names: Vec<String>,
    /// Names of the indexes that list it, if it has no entry of its own.
    pub indexes: Vec<String>,
}

impl Layout {
    /// Finds every image with this id: the digest of an index, a manifest or a config. An unreadable document matches
    /// only by its own digest.
    pub fn by_id(&self, id: &ImageId) -> Result<Vec<IdMatch>> {
        let mut found = Vec::new();
        for entry in self.entries()? {
            let document = self.read_document(&entry.descriptor).ok();
            let own = id.matches(&entry.digest()) || id.matches(&entry.descriptor.digest);
            if own || document.as_ref().is_some_and(|document| has_config(document, id)) {
                add(&mut found, entry_image(&entry));
                continue;
            }
            for child in document.iter().flat_map(Document::entries) {
                let has_it = |document: Document| has_config(&document, id);
                if id.matches(&child.digest) || self.read_document(child).is_ok_and(has_it) {
                    add(&mut found, child_image(&entry, child));
                }
            }
        }
        Ok(found)
    }
}

fn entry_image(entry: &IndexEntry) -> IdMatch {
    let digest = entry.descriptor.digest.clone();
    let called = entry.names.first().cloned().unwrap_or_else(|| digest.to_string());
    IdMatch {
        digest,
        name: ImageName::Layout(called),
        names: entry.names.clone(),
        indexes: Vec::new(),
    }
}

fn child_image(entry: &IndexEntry, child: &Descriptor) -> IdMatch {
    let digest = child.digest.clone();
    let indexes = entry.names.first().cloned().into_iter().collect();
    IdMatch { name: ImageName::Digest(digest.clone()), digest, names: Vec::new(), indexes }
}

/// Adds an image, merged with the same one found before: it can have several names, or be listed by several indexes.
fn add(found: &mut Vec<IdMatch>, new: IdMatch) {
    let Some(existing) = found.iter_mut().find(|existing| existing.digest == new.digest) else {
        found.push(new);
        return;
    };
    let is_entry = |image: &IdMatch| matches!(image.name, ImageName::Layout(_));
    match (is_entry(existing), is_entry(&new)) {
        (true, false) => {}
        (false, true) => *existing = new,
        _ => {
            if existing.names.is_empty() {
                existing.name = new.name;
            }
            existing.names.extend(new.names);
            existing.indexes.extend(new.indexes);
        }
    }
}

fn has_config(document: &Document, id: &ImageId) -> bool {
    match document.parsed() {
        ParsedDocument::Manifest(manifest) => id.matches(&manifest.config.digest),
        _ => false,
    }
}
