//! One image in `index.json`: its descriptor and its names.

use crate::annotation;
use crate::descriptor::Descriptor;
use crate::digest::Digest;

/// Digest of the index that a manifest was selected from.
pub const INDEX_ANNOTATION: &str = "rpull.index";

/// Each `registry/repository` that an image was pulled from or pushed to, latest first, separated by spaces.
pub const ORIGIN_ANNOTATION: &str = "rpull.origin";

/// One entry of `index.json`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IndexEntry {
    /// The descriptor, including annotations.
    pub descriptor: Descriptor,
    /// Its names, the full name first; empty if it has none and is known by its digest.
    pub names: Vec<String>,
}

impl IndexEntry {
    /// Parses an entry with its annotations.
    pub fn from_descriptor(descriptor: Descriptor) -> Self {
        let names = annotation::names(&descriptor);
        Self { descriptor, names }
    }

    /// The digest that its name resolved to at the source: that of the index, if the manifest was selected from one.
    pub fn digest(&self) -> Digest {
        index_digest(&self.descriptor).unwrap_or_else(|| self.descriptor.digest.clone())
    }

    /// Whether this is the digest of the entry, or of the index that it was selected from.
    pub fn has_digest(&self, digest: &Digest) -> bool {
        self.descriptor.digest == *digest || self.digest() == *digest
    }

    /// Returns the name of this entry that matches `wanted`: `NAME`, or `NAME@DIGEST` if the entry has that digest.
    ///
    /// A name that ends in another digest does not match.
    pub fn matching_name(&self, wanted: &str) -> Option<&str> {
        if self.names.is_empty() && self.descriptor.digest.as_str() == wanted {
            return Some(self.descriptor.digest.as_str());
        }
        let own = |name: &str| self.names.iter().find(|own| *own == name).map(String::as_str);
        match split_pinned(wanted) {
            None => own(wanted),
            Some((name, digest)) if self.has_digest(&digest) => own(wanted).or_else(|| own(name)),
            Some(_) => None,
        }
    }
}

/// Digest of the index that an entry was selected from.
pub(super) fn index_digest(entry: &Descriptor) -> Option<Digest> {
    entry.annotations.get(INDEX_ANNOTATION)?.parse().ok()
}

/// Splits `NAME@DIGEST`.
pub(super) fn split_pinned(name: &str) -> Option<(&str, Digest)> {
    let (name, digest) = name.rsplit_once('@')?;
    Some((name, digest.parse().ok()?))
}
