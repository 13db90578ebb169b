//! `pull`: images from registries into the store or another layout.

use std::process::ExitCode;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::destination::Destination;
use crate::cli::args::Pull;
use crate::cli::settings::{Settings, Show, existing_layout, platform};
use crate::cli::signals::{self, opened_unless_cancelled, unless_cancelled};
use crate::cli::size::parse_rate;
use crate::cli::{bars::Bars, lines::Lines};
use crate::content::{Name, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::place::{Place, PlainMeans};
use crate::reference::Reference;
use crate::registry::Client;
use crate::transfer::{Options, Platforms, Progress, Silent, Throttle, Wanted, plan, transfer};

pub(in crate::cli) async fn run(args: Pull, settings: &Settings) -> Result<ExitCode> {
    // Everything that was typed is judged before anything is asked of anybody.
    let references = args
        .images
        .iter()
        .map(|text| reference(text, args.all_tags))
        .collect::<Result<Vec<_>>>()?;
    let platforms = platforms(&args)?;
    let throttle = args.limit_rate.as_deref().map(rate).transpose()?;
    let destination = Destination::parse(args.output.as_deref())?;
    destination.fits(&args)?;
    let cancel = signals::cancelled_by_signals();
    let wanted = if settings.offline && !args.all_tags {
        in_store(&references, &platforms, &destination, settings, &cancel).await?
    } else {
        let finding = at_registries(&args, &references, &platforms, &destination, settings);
        unless_cancelled(&cancel, "pull", finding).await??
    };
    let several = args.all_tags || args.images.len() > 1;
    let options = Options {
        jobs: usize::from(args.jobs),
        retry: settings.retry,
        foreign_layers: args.foreign_layers,
        throttle: throttle.map(Throttle::new),
        progress: progress(settings.show),
        cancel: cancel.clone(),
        ..Options::default()
    };
    if args.plan {
        let open = destination.open_for_plan(settings);
        let target = opened_unless_cancelled(&cancel, "plan", open).await?;
        let planning = plan(&wanted, &*target, &options);
        let plans = unless_cancelled(&cancel, "plan", planning).await?;
        return super::plan::show(&wanted, &plans, several, settings);
    }
    let open = destination.open(settings, args.sync);
    let target = opened_unless_cancelled(&cancel, "pull", open).await?;
    let finished = transfer(&wanted, &target, options).await;
    super::report::tell(&finished, several, settings)
}

fn reference(text: &str, all_tags: bool) -> Result<Reference> {
    match Place::parse(text, PlainMeans::Registry)? {
        Place::Registry(_) if all_tags => {
            Reference::repository_only(text.strip_prefix("docker://").unwrap_or(text))
        }
        Place::Registry(reference) => Ok(reference),
        _ => Err(Error::new(ErrorKind::Reference, format!("image '{text}'"))
            .because("pull takes images of registries")),
    }
}

fn platforms(args: &Pull) -> Result<Platforms> {
    if args.all_platforms {
        return Ok(Platforms::All);
    }
    match args.platform.as_slice() {
        [] => Ok(Platforms::One(platform(None)?)),
        [one] => Ok(Platforms::One(one.parse()?)),
        several => {
            Ok(Platforms::Several(several.iter().map(|text| text.parse()).collect::<Result<_>>()?))
        }
    }
}

fn rate(text: &str) -> Result<u64> {
    parse_rate(text).ok_or_else(|| {
        Error::new(ErrorKind::Reference, format!("rate '{text}'"))
            .because("expected something like 500k or 2M")
    })
}

/// The images to pull from the store, which asks nobody.
async fn in_store(
    references: &[Reference],
    platforms: &Platforms,
    destination: &Destination,
    settings: &Settings,
    cancel: &CancellationToken,
) -> Result<Vec<Wanted>> {
    let path = settings.store.clone();
    let store = opened_unless_cancelled(cancel, "pull", move || existing_layout(&path)).await?;
    let wanted = references.iter().map(|reference| {
        let name = reference.store_name();
        let missing = || Error::new(ErrorKind::NotFound, &name).because("not in the store");
        let source = store.clone().ok_or_else(missing)?;
        Ok(want(reference, source, Name::Ref(name), platforms, destination))
    });
    wanted.collect()
}

/// The images to pull, each with an end to read it from; `--all-tags` lists them first.
async fn at_registries(
    args: &Pull,
    references: &[Reference],
    platforms: &Platforms,
    destination: &Destination,
    settings: &Settings,
) -> Result<Vec<Wanted>> {
    let client: Client = settings.client("pull", args.foreign_layers)?;
    let mut wanted = Vec::new();
    let mut push = |reference: &Reference| {
        let source = Arc::new(client.repository(reference)?);
        wanted.push(want(reference, source, reference.name(), platforms, destination));
        Ok::<_, Error>(())
    };
    for reference in references {
        if !args.all_tags {
            push(reference)?;
            continue;
        }
        for tag in client.repository(reference)?.tags().await? {
            push(&reference.with_tag(&tag)?)?;
        }
    }
    Ok(wanted)
}

fn want(
    reference: &Reference,
    source: Arc<dyn Source>,
    name: Name,
    platforms: &Platforms,
    destination: &Destination,
) -> Wanted {
    Wanted {
        source,
        name,
        reference: reference.to_string(),
        target_name: destination.name(reference),
        platforms: platforms.clone(),
    }
}

fn progress(show: Show) -> Arc<dyn Progress> {
    match show {
        Show::Bars => Arc::new(Bars::new()),
        Show::Lines => Arc::new(Lines::default()),
        Show::Nothing => Arc::new(Silent),
    }
}
