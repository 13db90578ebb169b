//! What all stores of engines can be asked.

use futures_util::future::BoxFuture;

use crate::content::{BlobPresence, Endpoint, Source};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::name::ImageName;
use crate::reference::full_name;

/// The images of an engine.
pub(crate) trait EngineStore: Source {
    /// The full name of the image that this name means; empty if it has none.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such image, [`InvalidInput`](crate::ErrorKind::InvalidInput)
    /// with the choices if there are several.
    fn full_name<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<String>>;

    /// Size of the blob with this digest.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the engine does not have it.
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "only `blob` has no descriptor"))]
    fn stat_blob<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<Descriptor>>;
}

/// The error for what the engine does not have.
pub(super) fn not_found(endpoint: &Endpoint, what: &str) -> Error {
    Error::new(ErrorKind::NotFound, what)
        .at(&endpoint.location)
        .with_reason("not in the engine's store")
}

/// How much there is of a blob of which this many bytes were found. One of another size is examined when it is read.
pub(super) fn presence(found: Option<u64>, expected: &Descriptor) -> BlobPresence {
    match found {
        Some(size) if size == expected.size => BlobPresence::Complete,
        Some(_) => BlobPresence::Unknown,
        None => BlobPresence::Absent,
    }
}

/// Returns the one of an image's names that was asked for, else the first; empty without names.
pub(super) fn full_name_among(names: &[String], asked: &ImageName) -> String {
    let asked = match asked {
        ImageName::Tag(text) | ImageName::Layout(text) => Some(full_name(text)),
        ImageName::Digest(_) | ImageName::Only => None,
    };
    let is_asked = |name: &&String| asked.as_ref() == Some(*name);
    names.iter().find(is_asked).or(names.first()).cloned().unwrap_or_default()
}
