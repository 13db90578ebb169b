//! The named images of an archive that is being written.

use std::collections::BTreeMap;

use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::name::ImageName;

/// The manifests by name, in the order of the names.
#[derive(Debug, Default)]
pub(super) struct ImageNames {
    names: BTreeMap<String, Document>,
    put: usize,
}

impl ImageNames {
    pub(super) fn add(
        &mut self,
        document: &Document,
        names: &[ImageName],
        location: &str,
    ) -> Result<()> {
        for name in names {
            let (ImageName::Tag(name) | ImageName::Layout(name)) = name else {
                return Err(Error::new(ErrorKind::InvalidInput, "name")
                    .at(location)
                    .with_reason("an image in an archive needs a name"));
            };
            self.names.insert(name.clone(), document.clone());
        }
        Ok(())
    }

    /// Counts an expected image whose name and content are written.
    pub(super) fn count(&mut self) {
        self.put += 1;
    }

    pub(super) fn get(&self, name: &ImageName) -> Option<&Document> {
        match name {
            ImageName::Tag(name) | ImageName::Layout(name) => self.names.get(name),
            ImageName::Digest(digest) => self.names.values().find(|own| own.digest() == digest),
            ImageName::Only => self.names.values().next().filter(|_| self.names.len() == 1),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Document)> {
        self.names.iter().map(|(name, document)| (name.as_str(), document))
    }

    /// Fails if an expected image is missing.
    pub(super) fn check(&self, images: usize, location: &str) -> Result<()> {
        if self.put >= images {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Store, "archive")
            .at(location)
            .with_reason("not written, because an image for it failed"))
    }
}
