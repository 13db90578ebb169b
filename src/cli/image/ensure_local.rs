//! Opens images for unpacking. Images that are not in the store are pulled into it.

use std::sync::Arc;

use super::image_download::ImageDownload;
use crate::cli::args::{TransferArgs, Unpack};
use crate::cli::image::open::{
    OpenedImage, OpenedLocation, Stored, error_after_fallback, registry,
};
use crate::cli::run::destination::Destination;
use crate::cli::run::new_layout::open_to_write;
use crate::cli::run::transfer_run::options;
use crate::cli::settings::{Settings, platform};
use crate::cli::signals;
use crate::error::{Error, Result};
use crate::layout::LayoutOptions;
use crate::location::{DefaultLocation, Location};
use crate::transfer::{ImageRequest, PlatformSelection, TransferOptions};
use crate::unpack;

/// A request for an image to unpack.
pub(in crate::cli) struct EnsureLocal<'a> {
    pub(in crate::cli) verb: &'static str,
    pub(in crate::cli) image: &'a str,
    pub(in crate::cli) platform: Option<&'a str>,
    /// Options of a pull that runs even if the store has the image.
    pub(in crate::cli) pull: Option<&'a TransferArgs>,
    pub(in crate::cli) keep: StorePolicy,
    pub(in crate::cli) sync: bool,
}

/// Which images from registries are kept in the store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum StorePolicy {
    Never,
    /// Images that are missing in the store, except for those requested with `docker://`.
    IfMissing,
    Always,
}

/// Where an image was found.
enum Located {
    Available(Box<OpenedImage>),
    /// In a registry. The error is set if the store has a damaged copy.
    MustPull(OpenedLocation, Option<Error>),
}

impl<'a> EnsureLocal<'a> {
    pub(in crate::cli) fn to_unpack(args: &'a Unpack) -> Self {
        let keep = match &args.pull {
            _ if args.no_store => StorePolicy::Never,
            None => StorePolicy::IfMissing,
            Some(_) => StorePolicy::Always,
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

    /// Opens the image. A missing one is opened as soon as its config has been pulled.
    pub(in crate::cli) async fn open(&self, settings: &Settings) -> Result<OpenedImage> {
        let settings = &match self.pull {
            Some(moving) => settings.with_jobs(moving.jobs()),
            None => settings.clone(),
        };
        let found = self.find(settings);
        let image =
            match signals::or_cancelled(&settings.control.cancel, self.verb, found).await?? {
                Located::Available(image) => *image,
                Located::MustPull(opened, damage) => {
                    let pulled = self.pull(opened, settings).await;
                    pulled.map_err(|error| error_after_fallback(damage, error))?
                }
            };
        image.warn_of_other_platform(self.platform)?;
        Ok(image)
    }

    async fn find(&self, settings: &Settings) -> Result<Located> {
        let plain = if self.pull.is_some() {
            DefaultLocation::Registry
        } else {
            DefaultLocation::StoreOrRegistry
        };
        let location = Location::parse(self.image, plain)?;
        let damage = match OpenedImage::in_store(&location, self.platform, settings).await? {
            Stored::Present(image) => return Ok(Located::Available(Box::new(image))),
            Stored::Absent => None,
            Stored::Incomplete(error) | Stored::Damaged(error) => Some(error),
        };
        let to_pull = match &location {
            Location::StoreOrRegistry(reference) => {
                Some(reference).filter(|_| self.keep != StorePolicy::Never)
            }
            Location::Registry(reference) => {
                Some(reference).filter(|_| self.keep == StorePolicy::Always)
            }
            Location::Store(_)
            | Location::Id { .. }
            | Location::Layout { .. }
            | Location::Archive { .. }
            | Location::Engine { .. } => None,
        };
        if let Some(reference) = to_pull {
            return Ok(Located::MustPull(registry(reference, settings)?, damage));
        }
        let image = OpenedImage::open_at(&location, self.platform, settings).await;
        let image = image.map_err(|error| error_after_fallback(damage, error))?;
        Ok(Located::Available(Box::new(image)))
    }

    /// Starts to pull the image into the store.
    async fn pull(&self, opened: OpenedLocation, settings: &Settings) -> Result<OpenedImage> {
        let request = ImageRequest {
            reference: opened.reference.clone(),
            target_name: Destination::for_pull(None)?.name(&opened.full_name)?,
            platforms: PlatformSelection::Single(platform(self.platform)?),
            ..ImageRequest::new(Arc::clone(&opened.source), opened.name.clone())
        };
        let options = match self.pull {
            Some(moving) => options(moving, settings)?,
            None => TransferOptions {
                retry: settings.retry,
                control: settings.control.clone(),
                ..TransferOptions::default()
            },
        };
        // Unpacking needs every layer, and memory of its own.
        let window = options.window.saturating_sub(unpack::WAITING_BYTES);
        let options = TransferOptions { foreign_layers: true, window, ..options };
        let private = LayoutOptions { private: true, sync: self.sync, ..LayoutOptions::default() };
        let store = open_to_write(settings.store()?, private, &settings.control).await?;
        OpenedImage::download(opened, ImageDownload::begin(request, store, options)).await
    }
}
