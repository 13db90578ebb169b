//! What the images of a layout need, for [`Layout::verify`].

use std::collections::{BTreeMap, BTreeSet};

use super::origins::origins_of;
use super::reach::Reachable;
use super::{IndexEntry, Layout};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::ParsedDocument;
use crate::error::Result;

/// Everything that images need.
#[derive(Default)]
pub(super) struct NeededContent {
    /// Blobs and documents that must exist.
    pub(super) blobs: BTreeMap<Digest, NeededBlob>,
    /// Existing documents that cannot be read, each with the reason.
    pub(super) unreadable: Vec<(Digest, String)>,
    /// Config and layers of each image.
    pub(super) images: BTreeMap<Digest, ImageBlobs>,
}

/// A blob or document that an image needs.
pub(super) struct NeededBlob {
    /// One of the descriptors.
    pub(super) descriptor: Descriptor,
    /// The sizes of all descriptors.
    pub(super) sizes: BTreeSet<u64>,
    /// Names of the images.
    pub(super) images: BTreeSet<String>,
    /// Repositories that have it, latest first.
    pub(super) origins: Vec<String>,
}

/// Config and layers of one image.
pub(super) struct ImageBlobs {
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

impl NeededContent {
    pub(super) fn read(layout: &Layout, entries: &[IndexEntry]) -> Self {
        let mut needed = Self::default();
        for entry in entries {
            let name = entry.names.first().map_or("<none>", String::as_str);
            let origins = origins_of(&entry.descriptor);
            let reach = Reachable::from_entry(layout.root(), entry);
            for descriptor in &reach.required {
                needed.add(descriptor, name, &origins);
            }
            needed.unreadable.extend(reach.unreadable);
            for document in &reach.documents {
                if let ParsedDocument::Manifest(manifest) = document.parsed()
                    && manifest.has_diff_ids()
                {
                    let (config, layers) = (manifest.config.clone(), manifest.layers.clone());
                    let image = ImageBlobs { config, layers };
                    needed.images.insert(document.digest().clone(), image);
                }
            }
        }
        needed
    }

    fn add(&mut self, descriptor: &Descriptor, name: &str, origins: &[String]) {
        let blob = self.blobs.entry(descriptor.digest.clone()).or_insert_with(|| NeededBlob {
            descriptor: Descriptor { data: None, ..descriptor.clone() },
            sizes: BTreeSet::new(),
            images: BTreeSet::new(),
            origins: Vec::new(),
        });
        blob.sizes.insert(descriptor.size);
        blob.images.insert(name.to_owned());
        let new = origins.iter().filter(|origin| !blob.origins.contains(origin)).cloned();
        blob.origins.extend(new.collect::<Vec<_>>());
    }
}

impl Layout {
    /// The entries with these names; all if there is no name.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::NotFound`] for an unknown name.
    pub(super) fn chosen_entries(&self, names: &[String]) -> Result<Vec<IndexEntry>> {
        let mut entries = self.all_entries()?;
        for name in names {
            if !entries.iter().any(|entry| entry.matching_name(name).is_some()) {
                return Err(self.0.not_found(name));
            }
        }
        let is_meant =
            |entry: &IndexEntry| names.iter().any(|name| entry.matching_name(name).is_some());
        entries.retain(|entry| names.is_empty() || is_meant(entry));
        Ok(entries)
    }
}
