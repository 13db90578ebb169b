//! What the commands that make images have in common: where they read, and where the result goes.

use std::process::ExitCode;
use std::sync::Arc;

use crate::cli::args::Writing;
use crate::cli::args::edit::NewImage;
use crate::cli::image::open::{OpenedLocation, store_else_registry};
use crate::cli::labels;
use crate::cli::run::destination::Destination;
use crate::cli::run::report::JsonShape;
use crate::cli::run::transfer_run::{TransferRun, interruptible};
use crate::cli::settings::{Settings, platform};
use crate::cli::signals::or_cancelled;
use crate::edit::{EditedImage, ImageEdit};
use crate::error::Result;
use crate::layer::Compression;
use crate::location::{DefaultLocation, Location};
use crate::name::ImageName;
use crate::reference::Reference;
use crate::transfer::{ImageRequest, PlatformRequest, PlatformSelection};

/// A command that makes one image.
pub(super) struct Edit {
    command: &'static str,
    destination: Destination,
    only_plan: bool,
    sync: bool,
    /// The settings with progress, which signals cancel.
    pub(super) settings: Settings,
}

impl Edit {
    pub(super) fn new(command: &'static str, new: &NewImage, settings: &Settings) -> Result<Self> {
        Self::parse(command, &new.name, &new.writing, settings)
    }

    /// Parses the name of the new image before anything else is done.
    pub(super) fn parse(
        command: &'static str,
        name: &str,
        writing: &Writing,
        settings: &Settings,
    ) -> Result<Self> {
        let destination = Destination::parse_new(name)?;
        let at_registry = destination.image().is_some();
        let labels = if at_registry { &labels::COPY_TO_REGISTRY } else { &labels::COPY };
        let settings = interruptible(labels, settings);
        let &Writing { plan: only_plan, sync } = writing;
        Ok(Self { command, destination, only_plan, sync, settings })
    }

    /// Rejects `--creds` that several registries would get.
    pub(super) fn check_creds(&self, images: &[&String]) -> Result<()> {
        let mut references: Vec<Reference> = Vec::new();
        for image in images {
            match Location::parse(image, DefaultLocation::StoreOrRegistry)? {
                Location::Registry(reference) | Location::StoreOrRegistry(reference) => {
                    references.push(reference);
                }
                _ => {}
            }
        }
        self.settings.check_creds(references.iter().chain(self.destination.image()))
    }

    /// Does what a signal ends.
    pub(super) async fn until_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        or_cancelled(&self.settings.control.cancel, self.command, work).await?
    }

    /// Opens an image to change.
    pub(super) async fn open(&self, text: &str, typed: Option<&str>) -> Result<OpenedEdit> {
        let choice = platform(typed)?;
        let read = async |opened| self.read(opened, &choice).await;
        let opening = Box::pin(store_else_registry(text, &self.settings, read));
        self.until_cancelled(opening).await
    }

    async fn read(&self, opened: OpenedLocation, choice: &PlatformRequest) -> Result<OpenedEdit> {
        let (source, retry) = (Arc::clone(&opened.source), self.settings.retry);
        let (name, reference) = (&opened.name, &opened.reference);
        let image = ImageEdit::open_with_retry(source, name, reference, choice, retry).await?;
        Ok(OpenedEdit { image, opened })
    }

    /// Writes the image. `full_name` is that of the image it was made of.
    pub(super) async fn write(self, edited: EditedImage, full_name: &str) -> Result<ExitCode> {
        let Self { command, destination, only_plan, sync, settings } = self;
        let target_name = destination.name(full_name)?;
        let reference = destination.reference().unwrap_or_else(|| target_name.to_string());
        let platforms = destination.platforms(None, PlatformSelection::All)?;
        let source = Arc::new(edited);
        let request = ImageRequest {
            reference,
            target_name,
            platforms,
            ..ImageRequest::new(source, ImageName::Only)
        };
        let run = TransferRun::with_defaults(command, only_plan, sync, &settings);
        let (code, _) = run.execute(&[request], &destination, JsonShape::Value, &settings).await?;
        Ok(code)
    }
}

/// An image to change, and where it is.
pub(super) struct OpenedEdit {
    pub(super) image: ImageEdit,
    pub(super) opened: OpenedLocation,
}

/// The compression with a name that clap has checked.
pub(super) fn compression(name: &str) -> Compression {
    if name == "zstd" { Compression::Zstd } else { Compression::Gzip }
}
