//! Names of images that only a registry can have.

use crate::error::{Error, ErrorKind, Result};
use crate::location::{DefaultLocation, Location};
use crate::reference::Reference;

/// The image of a registry that a word means.
pub(super) fn reference(text: &str) -> Result<Reference> {
    match Location::parse(text, DefaultLocation::Registry)? {
        Location::Registry(reference) => Ok(reference),
        _ => Err(Error::new(ErrorKind::InvalidInput, format!("image '{text}'"))
            .with_reason("expected an image of a registry")),
    }
}
