//! The target of a builder.

use std::fmt;
use std::sync::Arc;

use crate::content::Target;
use crate::layout::Layout;
use crate::memory::Memory;
use crate::reference::Reference;
use crate::registry::Repository;

/// A target of an image: text, a [`Reference`], or an open target with the name of the image in it.
///
/// Text is parsed as a destination on the command line: `registry.example/app:1`, `store:NAME`, `oci:PATH[:NAME]`,
/// `oci-archive:FILE[:NAME]` or `docker-archive:FILE[:NAME]`. It is opened when the run begins; a missing layout is created.
/// Without a name the image keeps its own.
#[derive(Clone)]
pub struct ImageTarget {
    pub(super) to: To,
    pub(super) name: Option<String>,
}

#[derive(Clone)]
pub(super) enum To {
    Text(String),
    Registry(Reference),
    Open(Arc<dyn Target>),
}

impl ImageTarget {
    /// Sets the name of the image at an open target: the tag in a repository, else the whole name. Text already contains the
    /// name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    fn with_own_name(to: To) -> Self {
        Self { to, name: None }
    }
}

impl fmt::Debug for ImageTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to: &dyn fmt::Debug = match &self.to {
            To::Text(text) => text,
            To::Registry(reference) => reference,
            To::Open(target) => &target.endpoint().location,
        };
        f.debug_struct("ImageTarget").field("to", to).field("name", &self.name).finish()
    }
}

macro_rules! from {
    ($($type:ty: $value:ident => $to:expr,)*) => {$(
        impl From<$type> for ImageTarget {
            fn from($value: $type) -> Self {
                Self::with_own_name($to)
            }
        }
    )*};
}

from! {
    &str: text => To::Text(text.to_owned()),
    String: text => To::Text(text),
    &String: text => To::Text(text.clone()),
    Reference: reference => To::Registry(reference),
    &Reference: reference => To::Registry(reference.clone()),
    Layout: layout => To::Open(Arc::new(layout)),
    &Layout: layout => To::Open(Arc::new(layout.clone())),
    Memory: memory => To::Open(Arc::new(memory)),
    &Memory: memory => To::Open(Arc::new(memory.clone())),
    Repository: repository => To::Open(Arc::new(repository)),
    Arc<dyn Target>: target => To::Open(target),
    &Arc<dyn Target>: target => To::Open(Arc::clone(target)),
}

impl<T: Target + 'static> From<Arc<T>> for ImageTarget {
    fn from(target: Arc<T>) -> Self {
        Self::with_own_name(To::Open(target))
    }
}
