//! The run of each transfer builder: opens sources and targets, and reports what cannot be opened.

use std::sync::Arc;

use super::image_source::ImageSource;
use super::image_target::ImageTarget;
use super::open_source::SourceOpener;
use super::open_target::{OpenFor, OpenedTarget, TargetOpener};
use super::opened::OpenedLocation;
use super::settings::RunSettings;
use crate::content::{EndpointKind, Target};
use crate::error::{Error, ErrorKind, Result, Side};
use crate::location::DefaultLocation;
use crate::transfer::{
    ImageRequest, ImageResult, PlannedImage, PlatformRequest, PlatformSelection, RunReport,
    Transfer,
};

/// The kind of run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Pull,
    Push,
    Copy,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Copy => "copy",
        }
    }

    /// What a reference without a prefix means as a source.
    fn default_location(self) -> DefaultLocation {
        match self {
            Self::Push => DefaultLocation::Store,
            Self::Pull | Self::Copy => DefaultLocation::Registry,
        }
    }
}

/// Images, each with its targets.
#[derive(Clone)]
pub(super) struct Run {
    verb: Verb,
    images: Vec<(ImageSource, Vec<ImageTarget>)>,
    /// Whether a target was added before the first image.
    has_stray_target: bool,
    pub(super) settings: RunSettings,
}

/// An image with one of its targets.
type Opened = (ImageRequest, Arc<dyn Target>);

impl Run {
    pub(super) fn new(verb: Verb) -> Self {
        Self { verb, images: Vec::new(), has_stray_target: false, settings: RunSettings::default() }
    }

    pub(super) fn add_image(&mut self, source: ImageSource) {
        self.images.push((source, Vec::new()));
    }

    /// Adds a target to the last image.
    pub(super) fn add_target(&mut self, target: ImageTarget) {
        match self.images.last_mut() {
            Some((_, targets)) => targets.push(target),
            None => self.has_stray_target = true,
        }
    }

    pub(super) async fn execute(self) -> RunReport {
        let (transfer, failed) = self.transfer(OpenFor::Write).await;
        let mut report = Box::pin(transfer.run()).await;
        for (position, error) in failed {
            report.images.insert(position, ImageResult::failed(error));
        }
        report
    }

    pub(super) async fn plan(&self) -> Vec<PlannedImage> {
        let (transfer, failed) = self.transfer(OpenFor::Plan).await;
        let mut planned = Box::pin(transfer.plan()).await;
        for (position, error) in failed {
            planned.insert(position, PlannedImage::failed(error));
        }
        planned
    }

    /// The transfer of everything that could be opened, and the errors of the rest with their positions, in ascending order.
    async fn transfer(&self, purpose: OpenFor) -> (Transfer, Vec<(usize, Error)>) {
        let (mut transfer, mut failed) =
            (Transfer::new(self.settings.transfer_options()), Vec::new());
        let cancel = &self.settings.control.cancel;
        let opened = match cancel.run_until_cancelled(Box::pin(self.open(purpose))).await {
            Some(opened) => opened,
            None => self
                .images
                .iter()
                .flat_map(|(_, to)| to.iter().map(|_| Err(self.interrupted())))
                .collect(),
        };
        for (position, opened) in opened.into_iter().enumerate() {
            match opened {
                Ok((request, target)) => transfer = transfer.image(request, &target),
                Err(error) => failed.push((position, error)),
            }
        }
        (transfer, failed)
    }

    fn invalid(&self, reason: &str) -> Error {
        Error::new(ErrorKind::InvalidInput, self.verb.name()).with_reason(reason)
    }

    fn interrupted(&self) -> Error {
        Error::new(ErrorKind::Interrupted, self.verb.name()).with_reason("interrupted")
    }

    async fn open(&self, purpose: OpenFor) -> Vec<Result<Opened>> {
        let (client, control) = (self.settings.client(), &self.settings.control);
        let mut sources = SourceOpener::new(&client, self.verb.default_location(), control);
        let to = self.images.iter().flat_map(|(_, targets)| targets);
        let mut targets = TargetOpener::new(&client, purpose, control, to);
        let mut opened = Vec::new();
        if self.has_stray_target {
            opened.push(Err(self.invalid("the first target has no image")));
        }
        for (image, to) in &self.images {
            if to.is_empty() {
                opened.push(Err(self.invalid("an image has no target")));
                continue;
            }
            let source = sources.open(image).await.map_err(|error| error.with_side(Side::Source));
            if let (Verb::Push, Ok(source)) = (self.verb, &source) {
                targets.keep_uploads_in(source.layout.clone());
            }
            for target in to {
                opened.push(match &source {
                    Ok(source) => self.open_target(source, target, &mut targets).await,
                    Err(error) => Err(error.clone_for()),
                });
            }
        }
        opened
    }

    async fn open_target(
        &self,
        source: &OpenedLocation,
        target: &ImageTarget,
        targets: &mut TargetOpener<'_>,
    ) -> Result<Opened> {
        let opening = targets.open(target, source).await;
        let open = opening.map_err(|error| error.with_side(Side::Target))?;
        let platforms = self.platforms(source.source.endpoint().kind, &open)?;
        let request = ImageRequest {
            source: Arc::clone(&source.source),
            name: source.name.clone(),
            reference: open.reference,
            target_name: open.name,
            platforms,
        };
        Ok((request, open.target))
    }

    fn platforms(&self, from: EndpointKind, to: &OpenedTarget) -> Result<PlatformSelection> {
        let (named, usual) = match (self.verb, from) {
            (Verb::Pull, _) => (self.settings.platforms_to_keep(), None),
            // `docker save` writes the whole index of an image, but only the platforms that it has; engines keep it so.
            (Verb::Copy, EndpointKind::Archive | EndpointKind::Engine) => {
                (self.settings.platforms_to_pass_on(), Some(PlatformSelection::Available))
            }
            _ => (self.settings.platforms_to_pass_on(), Some(PlatformSelection::All)),
        };
        match named.or(usual.filter(|_| !to.is_single_platform)) {
            Some(platforms) => Ok(platforms),
            None => PlatformRequest::from_env().map(PlatformSelection::Single),
        }
    }
}
