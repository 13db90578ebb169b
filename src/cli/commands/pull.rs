//! `pull`: images from registries into the store or another layout.

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::Value;

use crate::cli::args::Pull;
use crate::cli::exit;
use crate::cli::output::{self, note};
use crate::cli::settings::{Settings, Show, platform};
use crate::cli::size::{parse_rate, percent, size};
use crate::cli::{bars::Bars, lines::Lines, signals};
use crate::content::{Name, Source, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Layout, LayoutOptions};
use crate::place::{Place, PlainMeans};
use crate::reference::Reference;
use crate::registry::Client;
use crate::transfer::{
    Finished, Options, Platforms, Progress, Report, Silent, Throttle, Wanted, plan, transfer,
};

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
        return super::plan::show(&plans, settings);
    }
    let target = destination.open(settings, args.sync)?;
    let finished = transfer(&wanted, &target, options).await;
    tell(&finished, settings)
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

/// Where the images go.
enum Destination {
    Store,
    Layout { path: std::path::PathBuf, name: Name },
}

impl Destination {
    fn parse(typed: Option<&str>) -> Result<Self> {
        let Some(text) = typed else { return Ok(Self::Store) };
        let refuse =
            |why| Error::new(ErrorKind::Reference, format!("output '{text}'")).because(why);
        match Place::parse(text, PlainMeans::Registry)? {
            Place::Layout { name: Name::Digest(_), .. } => {
                Err(refuse("the image decides its digest; give a name or none"))
            }
            Place::Layout { path, name } => Ok(Self::Layout { path, name }),
            _ => Err(refuse("expected oci:PATH[:NAME]")),
        }
    }

    /// One name cannot stand for several images.
    fn fits(&self, args: &Pull) -> Result<()> {
        match self {
            Self::Layout { name: Name::Ref(name), .. }
                if args.all_tags || args.images.len() > 1 =>
            {
                Err(Error::new(ErrorKind::Reference, format!("output name '{name}'")).because(
                    "several images cannot have one name; leave it out, and each keeps its own",
                ))
            }
            _ => Ok(()),
        }
    }

    fn open(&self, settings: &Settings, sync: bool) -> Result<Arc<dyn Target>> {
        match self {
            Self::Store => Ok(settings.create_store(sync)?),
            Self::Layout { path, .. } => Ok(Arc::new(Layout::create(
                path,
                LayoutOptions { sync, ..LayoutOptions::default() },
            )?)),
        }
    }

    /// A plan must not even make a directory: what does not exist is looked at as if it were empty.
    fn open_for_plan(&self, settings: &Settings) -> Result<Arc<dyn Target>> {
        let opened = match self {
            Self::Store => Layout::open(&settings.store),
            Self::Layout { path, .. } => Layout::open(path),
        };
        match opened {
            Ok(layout) => Ok(Arc::new(layout)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ok(Arc::new(crate::content::Empty))
            }
            Err(error) => Err(error),
        }
    }

    fn name(&self, reference: &Reference) -> Name {
        match self {
            Self::Layout { name: name @ Name::Ref(_), .. } => name.clone(),
            _ => Name::Ref(reference.store_name()),
        }
    }
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

fn tell(finished: &[Finished], settings: &Settings) -> Result<ExitCode> {
    for one in finished {
        if let Some(error) = &one.error {
            exit::report(error);
        }
        if settings.show != Show::Nothing && (one.error.is_none() || !one.report.blobs.is_empty()) {
            note(&receipt(&one.report));
        }
        if one.error.is_none() && !settings.json {
            output::line(&full_name(&one.report))?;
        }
    }
    if settings.json {
        let values: Vec<Value> = finished.iter().map(json).collect::<Result<_>>()?;
        match values.as_slice() {
            [one] => output::json(one)?,
            several => output::json(&several)?,
        }
    }
    let first_failure = finished.iter().find_map(|one| one.error.as_ref());
    Ok(first_failure.map_or(ExitCode::SUCCESS, |error| ExitCode::from(exit::code(error))))
}

/// `registry/repo:tag@digest`, the digest always there.
fn full_name(report: &Report) -> String {
    let name = report.head.reference.split('@').next().unwrap_or_default();
    match &report.head.digest {
        Some(digest) => format!("{name}@{digest}"),
        None => name.to_owned(),
    }
}

fn json(one: &Finished) -> Result<Value> {
    let fail = |error| Error::new(ErrorKind::Unsupported, "report").caused_by(error);
    let mut value = serde_json::to_value(&one.report).map_err(fail)?;
    if let (Some(error), Some(object)) = (&one.error, value.as_object_mut()) {
        let error = serde_json::json!({ "kind": error.kind().name(), "message": error.chain() });
        object.insert("error".to_owned(), error);
    }
    Ok(value)
}

/// `transferred 3.2 MB of 61.5 MB, 58.3 MB shared (95 %), 4 requests, 0.4 s`
fn receipt(report: &Report) -> String {
    let bytes = &report.bytes;
    let mut parts =
        vec![format!("transferred {} of {}", size(bytes.transferred), size(bytes.total))];
    if bytes.resumed > 0 {
        parts.push(format!("{} resumed", size(bytes.resumed)));
    }
    parts.push(format!("{} shared ({})", size(bytes.shared), percent(bytes.shared, bytes.total)));
    if bytes.resent > 0 {
        parts.push(format!("{} sent again", size(bytes.resent)));
    }
    if bytes.missing > 0 {
        parts.push(format!("{} missing", size(bytes.missing)));
    }
    let requests = report.requests.total();
    parts.push(format!("{requests} request{}", if requests == 1 { "" } else { "s" }));
    parts.push(format!("{:.1} s", report.elapsed.as_secs_f64()));
    parts.join(", ")
}
