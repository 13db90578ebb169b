//! `pull`: images from registries into the store or another layout.

use std::process::ExitCode;
use std::sync::Arc;

use super::destination::Destination;
use crate::cli::args::Pull;
use crate::cli::settings::{Settings, Show, platform};
use crate::cli::size::parse_rate;
use crate::cli::{bars::Bars, lines::Lines, signals};
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
    let finding = find(&args, &references, &platforms, &destination, settings);
    let Some(wanted) = cancel.run_until_cancelled(finding).await else {
        return Err(Error::new(ErrorKind::Interrupted, "pull").because("interrupted"));
    };
    let wanted = wanted?;
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
        let target = destination.open_for_plan(settings)?;
        let planning = plan(&wanted, &*target, &options);
        let Some(plans) = cancel.run_until_cancelled(planning).await else {
            return Err(Error::new(ErrorKind::Interrupted, "plan").because("interrupted"));
        };
        return super::plan::show(&wanted, &plans, several, settings);
    }
    let target = destination.open(settings, args.sync)?;
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

/// The images to pull, each with an end to read it from; `--all-tags` lists them first.
async fn find(
    args: &Pull,
    references: &[Reference],
    platforms: &Platforms,
    destination: &Destination,
    settings: &Settings,
) -> Result<Vec<Wanted>> {
    let mut wanted = Vec::new();
    let mut push = |reference: &Reference, source: Arc<dyn Source>, name: Name| {
        wanted.push(Wanted {
            source,
            name,
            reference: reference.to_string(),
            target_name: destination.name(reference),
            platforms: platforms.clone(),
        });
    };
    if settings.offline {
        for reference in references {
            let name = reference.store_name();
            push(reference, settings.store_with(&name)?, Name::Ref(name));
        }
        return Ok(wanted);
    }
    let client: Client = settings.client("pull", args.foreign_layers)?;
    for reference in references {
        if !args.all_tags {
            push(reference, Arc::new(client.repository(reference)?), reference.name());
            continue;
        }
        for tag in client.repository(reference)?.tags().await? {
            let tagged = reference.with_tag(&tag)?;
            push(&tagged, Arc::new(client.repository(&tagged)?), tagged.name());
        }
    }
    Ok(wanted)
}

fn progress(show: Show) -> Arc<dyn Progress> {
    match show {
        Show::Bars => Arc::new(Bars::new()),
        Show::Lines => Arc::new(Lines::default()),
        Show::Nothing => Arc::new(Silent),
    }
}
