//! Arguments for images in the store.

use std::fmt;

use super::ids;
use crate::cli::settings::Settings;
use crate::error::{Error, ErrorKind, Result};
use crate::image_id::ImageId;
use crate::location::{DefaultLocation, Location};
use crate::name::ImageName;
use crate::reference::Reference;

/// Parses the name of an image in the store.
pub(in crate::cli) fn store_reference(text: &str) -> Result<Reference> {
    match Location::parse(text, DefaultLocation::Store)? {
        Location::Store(reference) | Location::Id { name: Some(reference), .. } => Ok(reference),
        _ => Err(Error::new(ErrorKind::InvalidInput, format!("image `{text}`"))
            .with_reason("expected the name of an image in the store")),
    }
}

/// An argument for an image in the store. An id is looked up in the store.
pub(in crate::cli) enum ImageArg {
    /// The name, with the digest if one was given.
    Name(String),
    Id(ImageId, Option<Reference>),
}

impl ImageArg {
    pub(in crate::cli) fn parse(text: &str) -> Result<Self> {
        match Location::parse(text, DefaultLocation::Store)? {
            Location::Id { id, name } => Ok(Self::Id(id, name)),
            _ => store_reference(text).map(|reference| Self::Name(reference.to_string())),
        }
    }

    /// Returns the image's name, if it has exactly one.
    pub(in crate::cli) fn only_name(&self, settings: &Settings) -> Result<String> {
        match self {
            Self::Name(name) => Ok(name.clone()),
            Self::Id(id, name) => ids::only_name(id, name.as_ref(), settings),
        }
    }

    /// Returns a name of the image, or of the index that it is a part of.
    pub(in crate::cli) fn name_or_parent(&self, settings: &Settings) -> Result<String> {
        let (id, name) = match self {
            Self::Name(name) => return Ok(name.clone()),
            Self::Id(id, name) => (id, name.as_ref()),
        };
        let (_, image) = ids::find(id, name, settings)?;
        Ok(match (image.name, image.indexes.into_iter().next()) {
            (ImageName::Digest(_), Some(whole)) => whole,
            (name, _) => name.to_string(),
        })
    }
}

impl fmt::Display for ImageArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Id(id, _) => id.fmt(f),
        }
    }
}
