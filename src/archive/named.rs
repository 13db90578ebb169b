//! The images of an archive in the making.

use std::collections::BTreeMap;

use crate::content::{Label, Name};
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};

/// What the images that were put are called, in the order of their names.
#[derive(Debug, Default)]
pub(super) struct Named {
    names: BTreeMap<String, Document>,
    put: usize,
}

impl Named {
    pub(super) fn add(&mut self, document: &Document, label: &Label, place: &str) -> Result<()> {
        let (Name::Tag(name) | Name::Ref(name)) = &label.name else {
            return Err(Error::new(ErrorKind::Reference, "name")
                .at(place)
                .because("an image in an archive needs a name"));
        };
        self.names.insert(name.clone(), document.clone());
        Ok(())
    }

    /// Counts one of the images that the archive is for: it has its name, and all that belongs to it.
    pub(super) fn count(&mut self) {
        self.put += 1;
    }

    pub(super) fn get(&self, name: &Name) -> Option<&Document> {
        match name {
            Name::Tag(name) | Name::Ref(name) => self.names.get(name),
            Name::Digest(digest) => self.names.values().find(|own| own.digest() == digest),
            Name::Sole => self.names.values().next().filter(|_| self.names.len() == 1),
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
            .because("is not written, because an image that it should hold failed"))
    }
}
