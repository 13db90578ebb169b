//! Where images go: a registry, the store, or another layout.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::cli::settings::{Settings, existing_layout};
use crate::cli::signals::opened_unless_cancelled;
use crate::content::{Empty, Name, Target};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Layout, LayoutOptions};
use crate::place::{Place, PlainMeans};
use crate::reference::Reference;

/// Where the images go.
pub(super) enum Destination {
    Registry(Reference),
    /// Under this name, or each under its own.
    Store(Option<Reference>),
    Layout {
        path: PathBuf,
        name: Name,
    },
}

impl Destination {
    /// A place; one without a prefix is a registry's.
    pub(super) fn parse(text: &str) -> Result<Self> {
        match Place::parse(text, PlainMeans::Registry)? {
            Place::Registry(reference) | Place::Either(reference) => Self::at_registry(reference),
            Place::Store(reference) => match reference.digest() {
                Some(digest) => Err(decides(digest.as_str())),
                None => Ok(Self::Store(Some(reference))),
            },
            Place::Layout { name: name @ Name::Digest(_), .. } => Err(decides(&name.to_string())),
            Place::Layout { path, name } => {
                let text = name.to_string();
                match text.rsplit_once('@') {
                    Some((_, end)) if end.parse::<Digest>().is_ok() => Err(decides(end)),
                    _ => Ok(Self::Layout { path, name }),
                }
            }
        }
    }

    pub(super) fn at_registry(reference: Reference) -> Result<Self> {
        match (reference.tag(), reference.digest()) {
            (Some(_), Some(digest)) => Err(decides(digest.as_str())),
            _ => Ok(Self::Registry(reference)),
        }
    }

    /// `-o` of a pull, which keeps images on this machine.
    pub(super) fn of_pull(typed: Option<&str>) -> Result<Self> {
        let Some(text) = typed else { return Ok(Self::Store(None)) };
        match Self::parse(text)? {
            layout @ Self::Layout { .. } => Ok(layout),
            _ => Err(Error::new(ErrorKind::Reference, format!("output '{text}'"))
                .because("expected oci:PATH[:NAME]")),
        }
    }

    /// One name cannot stand for several images.
    pub(super) fn fits(&self, several: bool) -> Result<()> {
        match self {
            Self::Layout { name: Name::Ref(name), .. } if several => {
                Err(Error::new(ErrorKind::Reference, format!("output name '{name}'")).because(
                    "several images cannot have one name; leave it out, and each keeps its own",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Opens it, making it where it can be made and does not exist.
    pub(super) async fn open(
        &self,
        settings: &Settings,
        sync: bool,
        cancel: &CancellationToken,
    ) -> Result<Arc<dyn Target>> {
        let (path, private) = match self {
            Self::Registry(reference) => return registry(reference, settings),
            Self::Store(_) => (settings.store.clone(), true),
            Self::Layout { path, .. } => (path.clone(), false),
        };
        let options = LayoutOptions { private, sync, ..LayoutOptions::default() };
        let make = move || Layout::create(&path, options);
        Ok(Arc::new(opened_unless_cancelled(cancel, "open", make).await?))
    }

    /// Opens it for a plan, which must not even make a directory: what does not exist is looked at as if it were empty.
    pub(super) async fn open_for_plan(
        &self,
        settings: &Settings,
        cancel: &CancellationToken,
    ) -> Result<Arc<dyn Target>> {
        let path = match self {
            Self::Registry(reference) => return registry(reference, settings),
            Self::Store(_) => settings.store.clone(),
            Self::Layout { path, .. } => path.clone(),
        };
        let place = format!("oci:{}", path.display());
        match opened_unless_cancelled(cancel, "plan", move || existing_layout(&path)).await? {
            Some(layout) => Ok(layout),
            None => Ok(Arc::new(Empty { place })),
        }
    }

    /// What an image of this full name is called there.
    ///
    /// # Errors
    /// [`ErrorKind::Reference`] where neither end has a name for it.
    pub(super) fn name(&self, full: &str) -> Result<Name> {
        match self {
            Self::Registry(reference) => Ok(reference.name()),
            Self::Store(Some(reference)) => Ok(Name::Ref(reference.store_name())),
            Self::Layout { name: name @ Name::Ref(_), .. } => Ok(name.clone()),
            Self::Store(None) | Self::Layout { .. } if full.is_empty() => {
                Err(Error::new(ErrorKind::Reference, "name")
                    .because("the image has none; give it one there, oci:PATH:NAME"))
            }
            Self::Store(None) | Self::Layout { .. } => Ok(Name::Ref(full.to_owned())),
        }
    }

    /// The image of a registry, where it is one.
    pub(super) fn image(&self) -> Option<&Reference> {
        match self {
            Self::Registry(reference) => Some(reference),
            Self::Store(_) | Self::Layout { .. } => None,
        }
    }

    /// The full name for people, where the destination gives one.
    pub(super) fn reference(&self) -> Option<String> {
        match self {
            Self::Registry(reference) | Self::Store(Some(reference)) => Some(reference.to_string()),
            Self::Store(None) | Self::Layout { .. } => None,
        }
    }
}

fn registry(reference: &Reference, settings: &Settings) -> Result<Arc<dyn Target>> {
    Ok(Arc::new(settings.client(&reference.to_string(), false)?.writable(reference)?))
}

fn decides(digest: &str) -> Error {
    Error::new(ErrorKind::Reference, format!("name '{digest}'"))
        .because("the image decides its digest; give a tag or none")
}
