//! Images whose layers become files: opened where they are, and brought into the store where that lacks them.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::arriving::Arriving;
use super::destination::{Destination, open_to_write};
use super::moving::{options, progress};
use super::open::{Image, Opened};
use super::report::receipt;
use crate::cli::args::Moving;
use crate::cli::meter::Meter;
use crate::cli::output::note;
use crate::cli::settings::{Settings, Show, platform};
use crate::cli::{signals, words};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::LayoutOptions;
use crate::place::{Place, PlainMeans};
use crate::transfer::{Options, Platforms, Wanted, read_blob};

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

impl Bring<'_> {
    /// Opens the image; what the store lacks begins to come into it.
    pub(super) async fn open(
        &self,
        settings: &Settings,
        cancel: &CancellationToken,
    ) -> Result<Image> {
        let image = signals::unless_cancelled(cancel, self.verb, self.find(settings, cancel));
        let image = image.await??;
        if image.config.os == "windows" {
            return Err(Error::new(ErrorKind::Unsupported, &image.opened.reference)
                .because("is an image for Windows"));
        }
        Ok(image)
    }

    async fn find(&self, settings: &Settings, cancel: &CancellationToken) -> Result<Image> {
        let keeps = match Place::parse(self.image, PlainMeans::Either)? {
            Place::Either(_) => self.keep != Keep::Nothing,
            Place::Registry(_) => self.keep == Keep::Everything,
            Place::Store(_) | Place::Layout { .. } | Place::Archive { .. } => false,
        };
        let mut image = match &self.pull {
            None => Image::open(self.image, self.platform, settings).await?,
            Some(_) => Image::at_registry(self.image, self.platform, settings).await?,
        };
        if !keeps || image.opened.layout.is_some() {
            return Ok(image);
        }
        let wanted = Wanted {
            source: Arc::clone(&image.opened.source),
            name: image.opened.name.clone(),
            reference: image.opened.reference.clone(),
            target_name: Destination::of_pull(None)?.name(&image.opened.full_name)?,
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
        let private = LayoutOptions { private: true, sync: self.sync, ..LayoutOptions::default() };
        let store = open_to_write(settings.store.clone(), private, settings, cancel).await?;
        image.arriving = Some(Arriving::begin(wanted, store, options));
        Ok(image)
    }
}

/// Tells how far the layers of an image are; while it arrives the bars of the pull are shown.
pub(super) fn meter(image: &Image, words: &'static str, settings: &Settings) -> Result<Meter> {
    let total = image.manifest()?.layers.iter().map(|layer| layer.size).sum();
    let show = if image.arriving.is_some() { Show::Nothing } else { settings.show };
    Ok(Meter::new(show, words, total))
}

/// Waits for the pull that brought the image, where there was one; the store has it then.
///
/// # Errors
/// The pull's, where reading failed because bytes did not come: it knows why.
pub(super) async fn end_pull(
    image: &mut Image,
    failed: Option<&(usize, Error)>,
    settings: &Settings,
) -> Result<()> {
    let Some(arriving) = image.arriving.take() else { return Ok(()) };
    image.opened.layout = Some(arriving.layout());
    let pulled = arriving.end().await;
    if settings.show != Show::Nothing
        && let Ok(pulled) = &pulled
    {
        note(&receipt(&pulled.report));
    }
    if failed.is_none_or(|(_, error)| error.kind() == ErrorKind::Interrupted) {
        pulled?;
    }
    Ok(())
}

/// Tells a layer that is malformed from one whose bytes are not those that the manifest names.
pub(super) async fn blame(
    image: &Image,
    number: usize,
    error: Error,
    settings: &Settings,
) -> Error {
    let by_bytes = match error.kind() {
        ErrorKind::Unpack => error.matter().is_none(),
        ErrorKind::Mismatch => true,
        _ => false,
    };
    let layer = image.manifest().ok().and_then(|manifest| manifest.layers.get(number));
    let Some(layer) = layer.filter(|_| by_bytes) else { return error };
    let Opened { source, .. } = &image.opened;
    let reading = Options { retry: settings.retry, ..Options::default() };
    match read_blob(&**source, layer, reading, &mut |_| Ok(())).await {
        Err(wrong) if wrong.kind() == ErrorKind::Mismatch => wrong,
        _ => error,
    }
}
