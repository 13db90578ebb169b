//! What the commands that make images have in common: where they read, and where the result goes.

use std::process::ExitCode;
use std::sync::Arc;

use crate::cli::args::edit::NewImage;
use crate::cli::args::{EditedPlatforms, Writing};
use crate::cli::image::open::{OpenedLocation, store_else_registry};
use crate::cli::labels;
use crate::cli::output::{self, note};
use crate::cli::run::destination::Destination;
use crate::cli::run::report::JsonShape;
use crate::cli::run::transfer_run::{TransferRun, interruptible};
use crate::cli::settings::{Settings, platform};
use crate::cli::signals::or_cancelled;
use crate::cli::size::plural;
use crate::content::Source;
use crate::descriptor::Descriptor;
use crate::document::{ParsedDocument, available_platforms};
use crate::edit::{EditedImage, ImageEdit, IndexEdit};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::Compression;
use crate::location::{DefaultLocation, Location};
use crate::name::ImageName;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::transfer::{
    ImageRequest, PlatformRequest, PlatformSelection, resolve_with_all_platforms,
};

/// A command that makes an image.
pub(super) struct Edit {
    command: &'static str,
    destination: Destination,
    /// The destination as it was typed.
    typed: String,
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
        Ok(Self { command, destination, typed: name.to_owned(), only_plan, sync, settings })
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

    /// Opens an image of one platform.
    pub(super) async fn open(&self, text: &str, typed: Option<&str>) -> Result<OpenedEdit> {
        let choice = platform(typed)?;
        let read = async |opened| {
            let image = self.read(&opened, &opened.name, &choice).await?;
            Ok(OpenedEdit { images: vec![image], index: None, opened })
        };
        let opening = Box::pin(store_else_registry(text, &self.settings, read));
        self.until_cancelled(opening).await
    }

    /// Opens the images of the requested platforms. One platform gives one image, several an index.
    pub(super) async fn open_all(
        &self,
        text: &str,
        platforms: &EditedPlatforms,
    ) -> Result<OpenedEdit> {
        match platforms.platform.as_slice() {
            [] if !platforms.all_platforms => return self.open(text, None).await,
            [one] => return self.open(text, Some(one)).await,
            _ => {}
        }
        let several = platforms.platform.iter().map(|typed| platform(Some(typed)));
        let several = several.collect::<Result<Vec<_>>>()?;
        let read = async |opened| self.read_index(opened, &several).await;
        let opening = Box::pin(store_else_registry(text, &self.settings, read));
        self.until_cancelled(opening).await
    }

    async fn read(
        &self,
        opened: &OpenedLocation,
        name: &ImageName,
        choice: &PlatformRequest,
    ) -> Result<ImageEdit> {
        let (source, retry) = (Arc::clone(&opened.source), self.settings.retry);
        ImageEdit::open_with_retry(source, name, &opened.reference, choice, retry).await
    }

    /// Reads the images of an index; all of them if no platform was requested. A manifest is its only image.
    async fn read_index(
        &self,
        opened: OpenedLocation,
        platforms: &[PlatformRequest],
    ) -> Result<OpenedEdit> {
        let (source, name, retry) = (&opened.source, &opened.name, self.settings.retry);
        let resolving = resolve_with_all_platforms(&**source, name, &opened.reference, &retry);
        let root = resolving.await?;
        let mut images: Vec<ImageEdit> = Vec::new();
        let root_name = ImageName::Digest(root.digest().clone());
        for choice in platforms {
            let image = self.read(&opened, &root_name, choice).await?;
            if images.iter().all(|known| known.document().digest() != image.document().digest()) {
                images.push(image);
            }
        }
        let ParsedDocument::Index(_) = root.parsed() else {
            if images.is_empty() {
                images.push(self.read(&opened, &root_name, &PlatformRequest::from_env()?).await?);
            }
            return Ok(OpenedEdit { images, index: None, opened });
        };
        if images.is_empty() {
            for child in root.children().filter(|child| !child.is_attestation()) {
                // The entry of the index says for which platform it is.
                let choice = PlatformRequest::implicit(Platform::host());
                let name = ImageName::Digest(child.digest.clone());
                images.push(self.read(&opened, &name, &choice).await?);
            }
        }
        let index = IndexEdit::open(Arc::clone(source), root, retry)?;
        Ok(OpenedEdit { images, index: Some(index), opened })
    }

    /// Writes the changed images.
    pub(super) async fn finish(self, opened: OpenedEdit) -> Result<ExitCode> {
        if let ([image], None, true) =
            (&*opened.images, &opened.index, self.destination.is(&opened.opened))
        {
            warn_of_lost_platforms(image, &opened.opened.reference);
        }
        let full_name = opened.opened.full_name.clone();
        let building = Box::pin(opened.build(&self.settings));
        let edited = self.until_cancelled(building).await?;
        self.write(edited, &full_name).await
    }

    /// Writes the image. `full_name` is that of the image it was made of.
    pub(super) async fn write(self, edited: EditedImage, full_name: &str) -> Result<ExitCode> {
        let Self { command, destination, typed, only_plan, sync, settings } = self;
        let target_name = destination.name(full_name)?;
        if let (ImageName::Layout(name), false) = (&target_name, full_name.is_empty())
            && name == full_name
            && destination.is_unnamed()
        {
            tracing::warn!("the new image has the same name as the original: {name}");
            let typed = typed.trim_end_matches(':');
            output::warning_hint(&format!("name it in the destination: `{typed}:NAME`"));
        }
        let reference = destination.reference().unwrap_or_else(|| target_name.to_string());
        let is_index = matches!(edited.document().parsed(), ParsedDocument::Index(_));
        let all = PlatformSelection::All;
        let platforms = destination.platforms(is_index.then_some(all.clone()), all)?;
        let source = Arc::new(edited);
        let wanted = [ImageRequest {
            reference,
            target_name,
            platforms,
            ..ImageRequest::new(source, ImageName::Only)
        }];
        let run = TransferRun::with_defaults(command, only_plan, sync, &settings);
        let running = run.execute(&wanted, &destination, JsonShape::Value, &settings);
        let (code, finished) = running.await?;
        let is_written = finished.iter().any(|image| image.error.is_none());
        if let (Destination::Store(Some(name)), true, false) =
            (&destination, is_written, settings.quiet)
        {
            note(&stored(name, &typed));
        }
        Ok(code)
    }
}

/// Images to change, and where they are.
pub(super) struct OpenedEdit {
    /// One for each platform.
    pub(super) images: Vec<ImageEdit>,
    /// The index that lists them; `None` for one image.
    index: Option<IndexEdit>,
    pub(super) opened: OpenedLocation,
}

impl OpenedEdit {
    /// The only image, of [`Edit::open`].
    pub(super) fn image(&self) -> Result<&ImageEdit> {
        self.images.first().ok_or_else(|| no_images(&self.opened.reference))
    }

    /// Ends the edit: the image, or the index of the images.
    pub(super) async fn build(self, settings: &Settings) -> Result<EditedImage> {
        let Self { images, index, opened } = self;
        let reference = opened.reference;
        let Some(mut index) = index else {
            let image = images.into_iter().next().ok_or_else(|| no_images(&reference))?;
            return image.build();
        };
        let kept = images.iter().map(|image| image.document().digest().clone()).collect();
        index.retain(&kept)?;
        let mut attestations = 0;
        for image in images {
            let (old, base_changed) = (image.document().digest().clone(), image.is_base_changed());
            let edited = Arc::new(image.build()?);
            let (source, new): (Arc<dyn Source>, _) = (Arc::clone(&edited) as _, edited.document());
            attestations += index.replace(&old, &source, new).await?;
            if base_changed {
                index.remove_base(new.digest())?;
            }
        }
        if attestations > 0 && !settings.quiet {
            let attestations = plural(attestations as u64, "attestation");
            note(&format!(
                "{reference}: left out {attestations}, which are about the images before the change"
            ));
        }
        index.build()
    }
}

/// The new image takes the name of an index from which it was selected.
fn warn_of_lost_platforms(image: &ImageEdit, reference: &str) {
    let Some(index) = image.selected_from() else { return };
    let entries: Vec<Descriptor> = index.children().cloned().collect();
    let lost = available_platforms(&entries);
    if lost.len() > 1 {
        tracing::warn!(
            "{reference}: was an index of {}, and the new image is only for {}",
            plural(lost.len() as u64, "platform"),
            image.config().platform()
        );
        output::warning_hint("`--all-platforms` changes all of them");
    }
}

/// Says that the image is in the store, because a name with a registry looks like an image there.
fn stored(name: &Reference, typed: &str) -> String {
    let tagged = format!("tagged {name} in the store");
    if typed.starts_with(&format!("{}/", name.registry())) {
        format!("{tagged}; `rpull push {name}` sends it to the registry")
    } else {
        tagged
    }
}

fn no_images(reference: &str) -> Error {
    Error::new(ErrorKind::NotFound, reference).with_reason("the index lists no images")
}

/// The compression with a name that clap has checked.
pub(super) fn compression(name: &str) -> Compression {
    if name == "zstd" { Compression::Zstd } else { Compression::Gzip }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_name_with_registry_can_be_pushed() {
        let line = |typed: &str| match Destination::parse_new(typed).unwrap() {
            Destination::Store(Some(name)) => stored(&name, typed),
            _ => panic!("{typed}"),
        };
        assert_eq!(line("app:1"), "tagged docker.io/library/app:1 in the store");
        assert_eq!(line("store:r.io/app:1"), "tagged r.io/app:1 in the store");
        assert_eq!(
            line("r.io/app:1"),
            "tagged r.io/app:1 in the store; `rpull push r.io/app:1` sends it to the registry"
        );
    }
}
