//! Where pulled images go: the store, or another layout.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::args::Pull;
use crate::cli::settings::{Settings, existing_layout};
use crate::content::{Empty, Name, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Layout, LayoutOptions};
use crate::place::{Place, PlainMeans};
use crate::reference::Reference;

/// Where the images go.
pub(super) enum Destination {
    Store,
    Layout { path: PathBuf, name: Name },
}

impl Destination {
    pub(super) fn parse(typed: Option<&str>) -> Result<Self> {
        let Some(text) = typed else { return Ok(Self::Store) };
        let refuse =
            |why| Error::new(ErrorKind::Reference, format!("output '{text}'")).because(why);
        match Place::parse(text, PlainMeans::Registry)? {
            Place::Layout { name: Name::Digest(_), .. } => {
                Err(refuse("the image decides its digest; give a name or none"))
            }
            Place::Layout { path, name } => Ok(Self::Layout { path, name }),
            _ => Err(refuse("expected oci:PATH[:NAME]")),
        }
    }

    /// One name cannot stand for several images.
    pub(super) fn fits(&self, args: &Pull) -> Result<()> {
        match self {
            Self::Layout { name: Name::Ref(name), .. }
                if args.all_tags || args.images.len() > 1 =>
            {
                Err(Error::new(ErrorKind::Reference, format!("output name '{name}'")).because(
                    "several images cannot have one name; leave it out, and each keeps its own",
                ))
            }
            _ => Ok(()),
        }
    }

    fn path(&self, settings: &Settings) -> PathBuf {
        match self {
            Self::Store => settings.store.clone(),
            Self::Layout { path, .. } => path.clone(),
        }
    }

    /// What opens it; making it where it does not exist.
    pub(super) fn open(
        &self,
        settings: &Settings,
        sync: bool,
    ) -> impl FnOnce() -> Result<Arc<dyn Target>> + Send + use<> {
        let private = matches!(self, Self::Store);
        let options = LayoutOptions { private, sync, ..LayoutOptions::default() };
        let path = self.path(settings);
        move || Ok(Arc::new(Layout::create(&path, options)?))
    }

    /// What opens it for a plan, which must not even make a directory: what does not exist is looked at as if it were
    /// empty.
    pub(super) fn open_for_plan(
        &self,
        settings: &Settings,
    ) -> impl FnOnce() -> Result<Arc<dyn Target>> + Send + use<> {
        let path = self.path(settings);
        move || match existing_layout(&path)? {
            Some(layout) => Ok(layout),
            None => Ok(Arc::new(Empty)),
        }
    }

    pub(super) fn name(&self, reference: &Reference) -> Name {
        match self {
            Self::Layout { name: name @ Name::Ref(_), .. } => name.clone(),
            _ => Name::Ref(reference.store_name()),
        }
    }
}
