//! Names of images at an endpoint.

use std::fmt;

use crate::digest::Digest;
use crate::error::{Error, ErrorKind};

/// The name of an image at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageName {
    /// A tag, in the repository of a registry endpoint.
    Tag(String),
    /// A digest of a manifest or index.
    Digest(Digest),
    /// A layout's own name for an entry: usually `registry/repository:tag`.
    Layout(String),
    /// The only entry.
    Only,
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(text) | Self::Layout(text) => f.write_str(text),
            Self::Digest(digest) => write!(f, "{digest}"),
            Self::Only => f.write_str("the only image"),
        }
    }
}

/// Maximum names listed in an error.
const MAX_CHOICES: usize = 20;

/// Returns the error for [`ImageName::Only`] if there are several images.
pub(crate) fn several_images(location: &str, choices: &[String]) -> Error {
    let listed = choices.get(..MAX_CHOICES).unwrap_or(choices).join(", ");
    let more = match choices.len().saturating_sub(MAX_CHOICES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Error::new(ErrorKind::InvalidInput, "image")
        .at(location)
        .with_reason(format!("contains several images: {listed}{more}"))
        .with_hint(format!("select one by name, e.g. `{location}:NAME`"))
}

/// Returns how to name an image with these names: by its digest if it has no name.
pub(crate) fn choice(names: &[String], digest: &Digest) -> String {
    names.first().cloned().unwrap_or_else(|| format!("@{digest}"))
}
