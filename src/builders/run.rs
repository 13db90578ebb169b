//! The run of each transfer builder: opens sources and targets, and reports what cannot be opened.

use std::sync::Arc;

use super::image_source::ImageSource;
use super::image_target::ImageTarget;
use super::open_source::SourceOpener;
use super::open_target::{OpenFor, OpenedTarget, TargetOpener};
use super::opened::OpenedLocation;
use super::push_origin::remember_push;
use super::settings::RunSettings;
use crate::content::{EndpointKind, Target};
use crate::error::{Error, ErrorKind, Result, Side};
use crate::layout::Layout;
use crate::location::DefaultLocation;
use crate::name::ImageName;
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
struct Opened {
    request: ImageRequest,
    target: Arc<dyn Target>,
    /// The layout to remember a push in, and the image's name there.
    pushed_from: Option<(Arc<Layout>, ImageName)>,
}

/// The transfer of what could be opened. Positions are those of the images and targets, in ascending order.
struct OpenedRun {
    transfer: Transfer,
    failed: Vec<(usize, Error)>,
    pushed_from: Vec<(usize, Arc<Layout>, ImageName)>,
}

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
        let OpenedRun { transfer, failed, pushed_from } = self.transfer(OpenFor::Write).await;
        let mut report = Box::pin(transfer.run()).await;
        for (position, error) in failed {
            report.images.insert(position, ImageResult::failed(error));
        }
        for (position, layout, name) in pushed_from {
            if let Some(image) = report.images.get(position).filter(|image| image.error.is_none()) {
                remember_push(layout, &name, &image.report.summary).await;
            }
        }
        report
    }

    pub(super) async fn plan(&self) -> Vec<PlannedImage> {
        let OpenedRun { transfer, failed, .. } = self.transfer(OpenFor::Plan).await;
        let mut planned = Box::pin(transfer.plan()).await;
        for (position, error) in failed {
            planned.insert(position, PlannedImage::failed(error));
        }
        planned
    }

    /// The transfer of everything that could be opened, and the errors of the rest with their positions, in ascending order.
    async fn transfer(&self, purpose: OpenFor) -> OpenedRun {
        let mut transfer = Transfer::new(self.settings.transfer_options());
        let (mut failed, mut pushed_from) = (Vec::new(), Vec::new());
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
                Ok(opened) => {
                    transfer = transfer.image(opened.request, &opened.target);
                    let from = opened.pushed_from;
                    pushed_from.extend(from.map(|(layout, name)| (position, layout, name)));
                }
                Err(error) => failed.push((position, error)),
            }
        }
        OpenedRun { transfer, failed, pushed_from }
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
            reference: open.reference,
            target_name: open.name,
            platforms,
            ..ImageRequest::new(Arc::clone(&source.source), source.name.clone())
        };
        let is_push = self.verb == Verb::Push && open.target.endpoint().address.is_some();
        let layout = source.layout.clone().filter(|_| is_push);
        let pushed_from = layout.map(|layout| (layout, source.name.clone()));
        Ok(Opened { request, target: open.target, pushed_from })
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
