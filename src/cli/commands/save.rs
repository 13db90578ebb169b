//! `save`: images into an archive that `rpull load`, `docker load` and readers of image layouts take.

use std::collections::HashSet;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use super::archive::NewArchive;
use super::destination::Destination;
use super::moving::{Run, named_to_pass_on};
use super::open::{Opened, open_place};
use super::since;
use crate::archive::Output;
use crate::cli::args::Save;
use crate::cli::settings::Settings;
use crate::cli::signals::unless_cancelled;
use crate::cli::{signals, words};
use crate::content::Name;
use crate::error::{Error, ErrorKind, Result};
use crate::place::{Place, PlainMeans};
use crate::transfer::{Platforms, Wanted};

pub(in crate::cli) async fn run(args: Save, settings: &Settings) -> Result<ExitCode> {
    let parse = |text: &String| Place::parse(text, PlainMeans::Store);
    let places = args.images.iter().map(parse).collect::<Result<Vec<_>>>()?;
    let output = output(&args.output, args.moving.plan, settings)?;
    let platforms = named_to_pass_on(&args.moving)?.unwrap_or(Platforms::All);
    // Before signals are caught: whoever writes the inventory into a pipe may never come.
    let left_out = match &args.since {
        Some(path) => since::held(path, settings).await?,
        None => HashSet::new(),
    };
    let cancel = signals::cancelled_by_signals();
    let run = Run::parse(&args.moving, &words::SAVE, settings, &cancel)?;
    let destination = Destination::Archive(NewArchive::hybrid(output, left_out)?, Name::Sole);
    let finding = find(&places, &destination, &platforms, settings);
    let wanted = unless_cancelled(&cancel, "save", finding).await??;
    let several = wanted.len() > 1;
    let (code, _) = run.carry_out(&wanted, &destination, several, settings).await?;
    Ok(code)
}

/// The images, each with a name of its own.
async fn find(
    places: &[Place],
    destination: &Destination,
    platforms: &Platforms,
    settings: &Settings,
) -> Result<Vec<Wanted>> {
    let mut wanted: Vec<Wanted> = Vec::new();
    for place in places {
        let Opened { source, name, reference, full_name, .. } = open_place(place, settings).await?;
        // An archive holds all of its images or does not come to be: what is missing is told before anything moves.
        if source.head(&name).await?.is_none() {
            source.resolve(&name).await?;
        }
        let target_name = destination.name(&full_name)?;
        if wanted.iter().any(|other| other.target_name == target_name) {
            return Err(Error::new(ErrorKind::Reference, format!("name '{target_name}'")).because(
                "two images would have it in the archive; `rpull tag` gives one another",
            ));
        }
        wanted.push(Wanted { source, name, reference, target_name, platforms: platforms.clone() });
    }
    Ok(wanted)
}

/// Where an archive goes that is to be at this path; `-` is standard output.
pub(super) fn output(path: &Path, plan: bool, settings: &Settings) -> Result<Output> {
    let refuse = |why: &str| Err(Error::new(ErrorKind::Reference, "output '-'").because(why));
    if path.as_os_str() != "-" {
        return Ok(Output::File(path.to_owned()));
    }
    if settings.json && !plan {
        return refuse("the archive and the JSON cannot both go to standard output");
    }
    if std::io::stdout().is_terminal() && !plan {
        return refuse("an archive is nothing for a terminal; give a file, or redirect it");
    }
    Ok(Output::Stdout)
}
