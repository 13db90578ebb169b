//! Names of images that only a registry can have.

use crate::error::{Error, ErrorKind, Result};
use crate::place::{Place, PlainMeans};
use crate::reference::Reference;

/// The image of a registry that a word means.
pub(super) fn reference(text: &str) -> Result<Reference> {
    match Place::parse(text, PlainMeans::Registry)? {
        Place::Registry(reference) => Ok(reference),
        _ => Err(Error::new(ErrorKind::Reference, format!("image '{text}'"))
            .because("expected an image of a registry")),
    }
}
