//! Images whose layers become files: opened where they are, and brought into the store where that lacks them.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::arriving::Arriving;
use super::destination::{Destination, open_to_write};
use super::moving::{options, progress};
use super::open::{Image, Opened, Stored, reason, registry};
use crate::cli::args::{Moving, Unpack};
use crate::cli::settings::{Settings, platform};
use crate::cli::{signals, words};
use crate::error::{Error, Result};
use crate::layout::LayoutOptions;
use crate::place::{Place, PlainMeans};
use crate::transfer::{Options, Platforms, Wanted};

/// An image that is wanted, and how it may come.
pub(super) struct Bring<'a> {
    pub(super) verb: &'static str,
    pub(super) image: &'a str,
    pub(super) platform: Option<&'a str>,
    /// How a pull is to bring it, whatever the store has under its name.
    pub(super) pull: Option<&'a Moving>,
    pub(super) keep: Keep,
    pub(super) sync: bool,
}

/// What of registries the store is to keep.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Nothing,
    /// What it lacks itself, but nothing that is asked of a registry by `docker://`.
    Lacking,
    Everything,
}

/// Where an image is.
enum Found {
    There(Box<Image>),
    /// At the registry; the store may have it damaged.
    ToPull(Opened, Option<Error>),
}

impl<'a> Bring<'a> {
    pub(super) fn to_unpack(args: &'a Unpack) -> Self {
        let keep = match &args.pull {
            _ if args.no_store => Keep::Nothing,
            None => Keep::Lacking,
            Some(_) => Keep::Everything,
        };
        Self {
            verb: "unpack",
            image: &args.image,
            platform: args.platform.platform.as_deref(),
            pull: args.pull.as_ref(),
            keep,
            sync: args.sync,
        }
    }

    /// Opens the image; what the store lacks begins to come into it.
    pub(super) async fn open(
        &self,
        settings: &Settings,
        cancel: &CancellationToken,
    ) -> Result<Image> {
        match signals::unless_cancelled(cancel, self.verb, self.find(settings)).await?? {
            Found::There(image) => Ok(*image),
            Found::ToPull(opened, damage) => {
                let pulled = self.pull(opened, settings, cancel).await;
                pulled.map_err(|error| reason(damage, error))
            }
        }
    }

    async fn find(&self, settings: &Settings) -> Result<Found> {
        let plain = if self.pull.is_some() { PlainMeans::Registry } else { PlainMeans::Either };
        let place = Place::parse(self.image, plain)?;
        let damage = match Image::in_store(&place, self.platform, settings).await? {
            Stored::There(image) => return Ok(Found::There(Box::new(image))),
            Stored::Absent => None,
            Stored::Damaged(error) => Some(error),
        };
        let to_pull = match &place {
            Place::Either(reference) => Some(reference).filter(|_| self.keep != Keep::Nothing),
            Place::Registry(reference) => Some(reference).filter(|_| self.keep == Keep::Everything),
            Place::Store(_) | Place::Id { .. } | Place::Layout { .. } | Place::Archive { .. } => {
                None
            }
        };
        if let Some(reference) = to_pull {
            return Ok(Found::ToPull(registry(reference, settings)?, damage));
        }
        let image = Image::at(&place, self.platform, settings).await;
        let image = image.map_err(|error| reason(damage, error))?;
        Ok(Found::There(Box::new(image)))
    }

    /// Begins to pull the image into the store.
    async fn pull(
        &self,
        opened: Opened,
        settings: &Settings,
        cancel: &CancellationToken,
    ) -> Result<Image> {
        let wanted = Wanted {
            source: Arc::clone(&opened.source),
            name: opened.name.clone(),
            reference: opened.reference.clone(),
            target_name: Destination::of_pull(None)?.name(&opened.full_name)?,
            platforms: Platforms::One(platform(self.platform)?),
        };
        let options = match self.pull {
            Some(moving) => options(moving, &words::PULL, settings, cancel)?,
            None => Options {
                retry: settings.retry,
                progress: progress(settings.show, &words::PULL),
                cancel: cancel.clone(),
                ..Options::default()
            },
        };
        // No layer can be missing from the files.
        let options = Options { foreign_layers: true, ..options };
        let private = LayoutOptions { private: true, sync: self.sync, ..LayoutOptions::default() };
        let store = open_to_write(settings.store()?, private, settings, cancel).await?;
        Image::arriving(opened, Arriving::begin(wanted, store, options)).await
    }
}
