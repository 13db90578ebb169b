//! The images of an archive in the making.

use std::collections::BTreeMap;

use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::name::ImageName;

/// What the images that were put are called, in the order of their names.
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
        place: &str,
    ) -> Result<()> {
        for name in names {
            let (ImageName::Tag(name) | ImageName::Layout(name)) = name else {
                return Err(Error::new(ErrorKind::InvalidInput, "name")
                    .at(place)
                    .with_reason("an image in an archive needs a name"));
            };
            self.names.insert(name.clone(), document.clone());
        }
        Ok(())
    }

    /// Counts one of the images that the archive is for: it has its name, and all that belongs to it.
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

    /// Refuses an archive that lacks an image.
    pub(super) fn check(&self, images: usize, place: &str) -> Result<()> {
        if self.put >= images {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Store, "archive")
            .at(place)
            .with_reason("not written, because an image for it failed"))
    }
}
