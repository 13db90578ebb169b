//! Where pulled images go: the store, or another layout.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::args::Pull;
use crate::cli::settings::Settings;
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

    pub(super) fn open(&self, settings: &Settings, sync: bool) -> Result<Arc<dyn Target>> {
        match self {
            Self::Store => Ok(settings.create_store(sync)?),
            Self::Layout { path, .. } => Ok(Arc::new(Layout::create(
                path,
                LayoutOptions { sync, ..LayoutOptions::default() },
            )?)),
        }
    }

    /// A plan must not even make a directory: what does not exist is looked at as if it were empty.
    pub(super) fn open_for_plan(&self, settings: &Settings) -> Result<Arc<dyn Target>> {
        let opened = match self {
            Self::Store => Layout::open(&settings.store),
            Self::Layout { path, .. } => Layout::open(path),
        };
        match opened {
            Ok(layout) => Ok(Arc::new(layout)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Arc::new(Empty)),
            Err(error) => Err(error),
        }
    }

    pub(super) fn name(&self, reference: &Reference) -> Name {
        match self {
            Self::Layout { name: name @ Name::Ref(_), .. } => name.clone(),
            _ => Name::Ref(reference.store_name()),
        }
    }
}
