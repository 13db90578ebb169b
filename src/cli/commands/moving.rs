//! What pulling, pushing and copying have in common: options that are judged before anything is asked of anybody, and
//! the run itself.

use std::process::ExitCode;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::destination::Destination;
use crate::cli::args::Moving;
use crate::cli::settings::{Settings, Show};
use crate::cli::signals::unless_cancelled;
use crate::cli::size::parse_rate;
use crate::cli::words::Words;
use crate::cli::{bars::Bars, lines::Lines};
use crate::error::{Error, ErrorKind, Result};
use crate::platform::Platform;
use crate::transfer::{
    Along, Choice, Finished, Options, Planned, Platforms, Progress, Silent, Throttle, Wanted, plan,
    transfer,
};

/// The least that is worth a request, in bytes.
const SMALLEST_CHUNK: u64 = 64_000;

/// A run as it was asked for.
pub(super) struct Run {
    options: Options,
    only_plan: bool,
    sync: bool,
}

impl Run {
    pub(super) fn parse(
        moving: &Moving,
        words: &'static Words,
        settings: &Settings,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let options = options(moving, words, settings, cancel)?;
        Ok(Self { options, only_plan: moving.plan, sync: moving.sync })
    }

    /// Takes along what belongs to the images.
    pub(super) fn with(mut self, along: Along) -> Self {
        self.options.along = along;
        self
    }

    /// What would move; touches nothing.
    async fn plan(
        &self,
        wanted: &[Wanted],
        destination: &Destination,
        settings: &Settings,
    ) -> Result<Vec<Planned>> {
        let cancel = &self.options.cancel;
        let target = destination.open_for_plan(settings, cancel).await?;
        unless_cancelled(cancel, "plan", plan(wanted, &*target, &self.options)).await
    }

    /// Moves the images, or tells what would move; gives the code, and what became of the images where they moved.
    pub(super) async fn carry_out(
        self,
        wanted: &[Wanted],
        destination: &Destination,
        several: bool,
        settings: &Settings,
    ) -> Result<(ExitCode, Vec<Finished>)> {
        let cancel = self.options.cancel.clone();
        if self.only_plan {
            let plans = self.plan(wanted, destination, settings).await?;
            return Ok((super::plan::show(&plans, several, settings)?, Vec::new()));
        }
        let target = destination.open(settings, wanted.len(), self.sync, &cancel).await?;
        let finished = transfer(wanted, &target, self.options).await;
        let names = !destination.is_stdout();
        Ok((super::report::tell(&finished, several, names, settings)?, finished))
    }
}

/// How a run goes, as it was typed.
pub(super) fn options(
    moving: &Moving,
    words: &'static Words,
    settings: &Settings,
    cancel: &CancellationToken,
) -> Result<Options> {
    let throttle = moving.limit_rate.as_deref().map(rate).transpose()?;
    Ok(Options {
        jobs: usize::from(moving.jobs),
        retry: settings.retry,
        throttle: throttle.map(Throttle::new),
        progress: progress(settings.show, words),
        cancel: cancel.clone(),
        foreign_layers: moving.foreign_layers,
        ..Options::default()
    })
}

/// The platforms that were named for a place that keeps images: of an index it keeps the rest in mind.
pub(super) fn named_to_keep(
    moving: &Moving,
    several: fn(Vec<Platform>) -> Platforms,
) -> Result<Option<Platforms>> {
    named(moving, Choice::demanded, several)
}

/// The platforms that were named of images that are passed on: what arrives is exactly that.
pub(super) fn named_to_pass_on(moving: &Moving) -> Result<Option<Platforms>> {
    named(moving, Choice::exact, Platforms::Only)
}

fn named(
    moving: &Moving,
    one: fn(Platform) -> Choice,
    several: fn(Vec<Platform>) -> Platforms,
) -> Result<Option<Platforms>> {
    if moving.all_platforms {
        return Ok(Some(Platforms::Whole));
    }
    Ok(match moving.platform.as_slice() {
        [] => None,
        [typed] => Some(Platforms::One(one(typed.parse()?))),
        more => Some(several(more.iter().map(|text| text.parse()).collect::<Result<_>>()?)),
    })
}

fn rate(text: &str) -> Result<u64> {
    parse_rate(text).ok_or_else(|| {
        Error::new(ErrorKind::Reference, format!("rate '{text}'"))
            .because("expected something like 500k or 2M")
    })
}

/// The size of chunks that was asked for.
pub(super) fn chunk_size(typed: Option<&str>) -> Result<Option<u64>> {
    let Some(text) = typed else { return Ok(None) };
    match parse_rate(text) {
        Some(bytes) if bytes >= SMALLEST_CHUNK => Ok(Some(bytes)),
        _ => Err(Error::new(ErrorKind::Reference, format!("chunk size '{text}'"))
            .because("expected something like 16M, and no less than 64k")),
    }
}

pub(super) fn progress(show: Show, words: &'static Words) -> Arc<dyn Progress> {
    match show {
        Show::Bars => Arc::new(Bars::new(words)),
        Show::Lines => Arc::new(Lines::new(words)),
        Show::Nothing => Arc::new(Silent),
    }
}
