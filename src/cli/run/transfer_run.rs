//! Common parts of pull, push and copy: options, which are checked before the first request, and the run.

use std::process::ExitCode;
use std::sync::Arc;

use super::destination::Destination;
use super::ledger;
use super::report::{JsonShape, ReportOptions, print_reports};
use crate::cli::args::TransferArgs;
use crate::cli::image::store_hint::StoreHint;
use crate::cli::labels::ProgressLabels;
use crate::cli::plain_progress::PlainProgress;
use crate::cli::progress_bars::ProgressBars;
use crate::cli::settings::{ProgressMode, Settings};
use crate::cli::signals::{cancelled_by_signals, or_cancelled};
use crate::cli::size::{parse_rate, parse_size};
use crate::control::Control;
use crate::error::{Error, ErrorKind, Result};
use crate::platform::Platform;
use crate::progress::{NoProgress, Progress};
use crate::transfer::{
    ArtifactOptions, ImageRequest, ImageResult, PlatformRequest, PlatformSelection, Throttle,
    Transfer, TransferOptions,
};

/// Minimum chunk size in bytes; smaller ones cost more requests than they help.
const MIN_CHUNK_BYTES: u64 = 64_000;

/// A run with its options.
pub(in crate::cli) struct TransferRun {
    command: &'static str,
    options: TransferOptions,
    only_plan: bool,
    sync: bool,
    hint: Option<StoreHint>,
}

impl TransferRun {
    /// Parses the options of `command`, as the ledger names it.
    pub(in crate::cli) fn parse(
        command: &'static str,
        moving: &TransferArgs,
        settings: &Settings,
    ) -> Result<Self> {
        let options = options(moving, settings)?;
        Ok(Self { command, options, only_plan: moving.plan, sync: moving.sync, hint: None })
    }

    /// A run with the usual options.
    pub(in crate::cli) fn with_defaults(
        command: &'static str,
        only_plan: bool,
        sync: bool,
        settings: &Settings,
    ) -> Self {
        let options = TransferOptions {
            retry: settings.retry,
            control: settings.control.clone(),
            ..TransferOptions::default()
        };
        Self { command, options, only_plan, sync, hint: None }
    }

    /// Includes referrers and digest tags.
    pub(in crate::cli) fn with_artifacts(mut self, artifacts: ArtifactOptions) -> Self {
        self.options.artifacts = artifacts;
        self
    }

    /// Adds this hint to errors of images.
    pub(in crate::cli) fn with_hint(mut self, hint: StoreHint) -> Self {
        self.hint = Some(hint);
        self
    }

    /// The rate limit, if there is one.
    pub(in crate::cli) fn throttle(&self) -> Option<&Throttle> {
        self.options.throttle.as_ref()
    }

    /// Whether the run stops after some bytes.
    pub(in crate::cli) fn has_byte_limit(&self) -> bool {
        self.options.max_bytes.is_some()
    }

    /// Transfers the images, appends the receipts to the ledger, and prints nothing.
    pub(in crate::cli) async fn transfer(
        self,
        wanted: &[ImageRequest],
        destination: &Destination,
        settings: &Settings,
    ) -> Result<Vec<ImageResult>> {
        let target = destination.open(settings, wanted.len(), self.sync).await?;
        let transfer = Transfer::new(self.options).images(wanted, &target);
        let mut finished = Box::pin(transfer.run()).await.images;
        add_hint(self.hint.as_ref(), finished.iter_mut().map(|image| &mut image.error));
        let ends = wanted.iter().map(|image| (image.source.endpoint(), target.endpoint()));
        ledger::append(self.command, ends.zip(&finished), settings);
        Ok(finished)
    }

    /// Transfers the images or prints the plan. Returns the exit code and the results, which are empty for a plan.
    pub(in crate::cli) async fn execute(
        self,
        wanted: &[ImageRequest],
        destination: &Destination,
        shape: JsonShape,
        settings: &Settings,
    ) -> Result<(ExitCode, Vec<ImageResult>)> {
        let cancel = &settings.control.cancel;
        if self.options.max_bytes.is_some() {
            destination.check_continuable()?;
        }
        if self.only_plan {
            let target = destination.open_for_plan(settings).await?;
            let mut plans = or_cancelled(
                cancel,
                "plan",
                Box::pin(Transfer::new(self.options).images(wanted, &target).plan()),
            )
            .await?;
            add_hint(self.hint.as_ref(), plans.iter_mut().map(|plan| &mut plan.error));
            let directory = destination.directory(settings);
            let code = super::plan::show(&plans, directory.as_deref(), shape, settings)?;
            return Ok((code, Vec::new()));
        }
        let finished = self.transfer(wanted, destination, settings).await?;
        let report = ReportOptions {
            shape,
            names: !destination.is_stdout(),
            repeat_hint: destination.repeat_hint(),
        };
        let code = print_reports(&finished, report, settings)?;
        Ok((code, finished))
    }
}

fn add_hint<'a>(hint: Option<&StoreHint>, errors: impl Iterator<Item = &'a mut Option<Error>>) {
    let Some(hint) = hint else { return };
    for error in errors {
        *error = error.take().map(|error| hint.add_to(error));
    }
}

/// Returns the transfer options from the command line.
pub(in crate::cli) fn options(
    moving: &TransferArgs,
    settings: &Settings,
) -> Result<TransferOptions> {
    let throttle = moving.limit_rate.as_deref().map(rate).transpose()?;
    let usual = TransferOptions::default();
    Ok(TransferOptions {
        jobs: moving.jobs(),
        small_jobs: moving.jobs.map_or(usual.small_jobs, usize::from),
        connections: moving.connections.map(usize::from),
        window: window(&moving.window)?,
        retry: settings.retry,
        throttle: throttle.map(Throttle::new),
        max_bytes: moving.max_bytes.as_deref().map(max_bytes).transpose()?,
        control: settings.control.clone(),
        foreign_layers: moving.foreign_layers,
        ..usual
    })
}

/// Returns the platforms from the command line for a destination that keeps images: a selected manifest keeps its index
/// for later pulls.
pub(in crate::cli) fn platforms_to_keep(
    moving: &TransferArgs,
    several: fn(Vec<Platform>) -> PlatformSelection,
) -> Result<Option<PlatformSelection>> {
    selected_platforms(moving, PlatformRequest::explicit, several)
}

/// Returns the platforms from the command line for images that are passed on: exactly these arrive.
pub(in crate::cli) fn platforms_to_pass_on(
    moving: &TransferArgs,
) -> Result<Option<PlatformSelection>> {
    selected_platforms(moving, PlatformRequest::exact, PlatformSelection::FilteredIndex)
}

fn selected_platforms(
    moving: &TransferArgs,
    one: fn(Platform) -> PlatformRequest,
    several: fn(Vec<Platform>) -> PlatformSelection,
) -> Result<Option<PlatformSelection>> {
    if moving.all_platforms {
        return Ok(Some(PlatformSelection::OriginalIndex));
    }
    Ok(match moving.platform.as_slice() {
        [] => None,
        [typed] => Some(PlatformSelection::Single(one(typed.parse()?))),
        more => Some(several(more.iter().map(|text| text.parse()).collect::<Result<_>>()?)),
    })
}

fn rate(text: &str) -> Result<u64> {
    parse_rate(text).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, format!("rate `{text}`"))
            .with_reason("expected a rate such as 500k or 2M")
    })
}

fn max_bytes(text: &str) -> Result<u64> {
    parse_size(text).filter(|bytes| *bytes > 0).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, format!("number of bytes `{text}`"))
            .with_reason("expected a size such as 500MB or 2G")
    })
}

/// Parses `--window`.
fn window(text: &str) -> Result<u64> {
    parse_size(text).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, format!("window `{text}`"))
            .with_reason("expected a size such as 64M")
    })
}

/// Parses `--chunk-size`.
pub(in crate::cli) fn chunk_size(typed: Option<&str>) -> Result<Option<u64>> {
    let Some(text) = typed else { return Ok(None) };
    match parse_rate(text) {
        Some(bytes) if bytes >= MIN_CHUNK_BYTES => Ok(Some(bytes)),
        _ => Err(Error::new(ErrorKind::InvalidInput, format!("chunk size `{text}`"))
            .with_reason("expected a size such as 16M, at least 64k")),
    }
}

/// Returns the settings of a command that signals cancel and that shows its progress.
pub(in crate::cli) fn interruptible(
    labels: &'static ProgressLabels,
    settings: &Settings,
) -> Settings {
    let (cancel, progress) = (cancelled_by_signals(), progress(labels, settings));
    settings.with_control(Control { cancel, progress })
}

/// Returns what shows the progress of a command.
pub(in crate::cli) fn progress(
    labels: &'static ProgressLabels,
    settings: &Settings,
) -> Arc<dyn Progress> {
    match settings.progress {
        ProgressMode::Bars => Arc::new(ProgressBars::new(labels)),
        ProgressMode::Lines => Arc::new(PlainProgress::new(labels)),
        ProgressMode::Nothing => Arc::new(NoProgress),
    }
}
