//! The source of a builder.

use std::fmt;
use std::sync::Arc;

use crate::archive::Archive;
use crate::artifact::Artifact;
use crate::content::Source;
use crate::digest::Digest;
use crate::layout::Layout;
use crate::memory::Memory;
use crate::name::ImageName;
use crate::reference::Reference;
use crate::registry::Repository;

/// An image to read: text, a [`Reference`], or an open source with the name of an image in it.
///
/// Text is parsed as on the command line: `alpine:3.20`, `store:NAME`, `oci:PATH[:NAME]`, `oci-archive:FILE[:NAME]`,
/// `docker-archive:FILE[:NAME]`, `docker-root:DIR[:IMAGE]`, `containerd-root:DIR[:IMAGE]`, `docker-daemon:IMAGE` or
/// `docker://NAME`. It is opened when the run begins.
#[derive(Clone)]
pub struct ImageSource {
    pub(super) from: From,
    pub(super) name: ImageName,
}

#[derive(Clone)]
pub(super) enum From {
    Text(String),
    Registry(Reference),
    Layout(Arc<Layout>),
    Archive(Archive),
    Other(Arc<dyn Source>),
}

impl ImageSource {
    /// Selects an image of an open source by tag, name or digest. The default is its only image. Text already contains the
    /// name.
    ///
    /// ```
    /// use rpull::ImageSource;
    ///
    /// let memory = rpull::Memory::default();
    /// let image = ImageSource::from(memory).named("alpine:3.20");
    /// ```
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = match name.parse::<Digest>() {
            // `app:1` looks like a digest but is a name.
            Ok(digest) if digest.algorithm().is_ok() => ImageName::Digest(digest),
            _ => ImageName::Layout(name.to_owned()),
        };
        self
    }

    fn only(from: From) -> Self {
        Self { from, name: ImageName::Only }
    }
}

impl fmt::Debug for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from: &dyn fmt::Debug = match &self.from {
            From::Text(text) => text,
            From::Registry(reference) => reference,
            From::Layout(layout) => &layout.root(),
            From::Archive(archive) => archive,
            From::Other(source) => &source.endpoint().location,
        };
        f.debug_struct("ImageSource").field("from", from).field("name", &self.name).finish()
    }
}

macro_rules! from {
    ($($type:ty: $value:ident => $from:expr,)*) => {$(
        impl std::convert::From<$type> for ImageSource {
            fn from($value: $type) -> Self {
                Self::only($from)
            }
        }
    )*};
}

from! {
    &str: text => From::Text(text.to_owned()),
    String: text => From::Text(text),
    &String: text => From::Text(text.clone()),
    Reference: reference => From::Registry(reference),
    &Reference: reference => From::Registry(reference.clone()),
    Layout: layout => From::Layout(Arc::new(layout)),
    &Layout: layout => From::Layout(Arc::new(layout.clone())),
    Archive: archive => From::Archive(archive),
    Artifact: artifact => From::Other(Arc::new(artifact)),
    Memory: memory => From::Other(Arc::new(memory)),
    &Memory: memory => From::Other(Arc::new(memory.clone())),
    Repository: repository => From::Other(Arc::new(repository)),
    Arc<dyn Source>: source => From::Other(source),
}

impl<S: Source + 'static> std::convert::From<Arc<S>> for ImageSource {
    fn from(source: Arc<S>) -> Self {
        Self::only(From::Other(source))
    }
}
