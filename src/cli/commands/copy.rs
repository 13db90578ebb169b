//! `copy`: an image from any place to any place.

use std::process::ExitCode;
use std::sync::Arc;

use super::destination::Destination;
use super::moving::{Run, chunk_size, named_to_pass_on};
use super::open::{Opened, open_place};
use crate::cli::args::Copy;
use crate::cli::settings::Settings;
use crate::cli::signals::{self, unless_cancelled};
use crate::cli::words;
use crate::error::Result;
use crate::place::{Place, PlainMeans};
use crate::reference::Reference;
use crate::transfer::{Along, Platforms, Wanted};

pub(in crate::cli) async fn run(args: Copy, settings: &Settings) -> Result<ExitCode> {
    let place = Place::parse(&args.source, PlainMeans::Registry)?;
    let repository = args.all_tags.then(|| repository(&args.source)).transpose()?;
    if args.all_tags
        && Place::parse(&args.destination, PlainMeans::Registry)?.at_registry().is_some()
    {
        self::repository(&args.destination)?;
    }
    let destination =
        Destination::parse(&args.destination, chunk_size(args.chunk_size.as_deref())?)?;
    destination.fits(args.all_tags)?;
    let along = Along { referrers: args.referrers, digest_tags: args.digest_tags };
    destination.takes(along)?;
    let named = named_to_pass_on(&args.moving)?;
    let usual = match place {
        // docker saves the whole index of an image, and of its platforms those that it has.
        Place::Archive { .. } => Platforms::Present,
        _ => Platforms::All,
    };
    let platforms = destination.platforms(named, usual)?;
    let cancel = signals::cancelled_by_signals();
    let run = Run::parse(&args.moving, &words::COPY, settings, &cancel)?.with(along);
    let sides = args.sides;
    let source_settings =
        settings.for_side(sides.src_creds, sides.src_authfile, sides.src_plain_http);
    let target_settings =
        settings.for_side(sides.dest_creds, sides.dest_authfile, sides.dest_plain_http);
    if source_settings.has_creds_of(&target_settings) {
        settings.check_creds(place.at_registry().into_iter().chain(destination.image()))?;
    }
    let wanted = if let Some(repository) = repository {
        let finding = tags(&repository, &destination, &platforms, &source_settings);
        unless_cancelled(&cancel, "copy", finding).await??
    } else {
        let opening = one(&place, &destination, platforms, &source_settings);
        vec![unless_cancelled(&cancel, "copy", opening).await??]
    };
    let (code, _) = run.carry_out(&wanted, &destination, args.all_tags, &target_settings).await?;
    Ok(code)
}

/// A registry's repository, named without a tag.
fn repository(text: &str) -> Result<Reference> {
    Reference::repository_only(text.strip_prefix("docker://").unwrap_or(text))
}

async fn one(
    place: &Place,
    destination: &Destination,
    platforms: Platforms,
    settings: &Settings,
) -> Result<Wanted> {
    let Opened { source, name, reference, full_name, .. } = open_place(place, settings).await?;
    Ok(Wanted {
        source,
        name,
        reference: destination.reference().unwrap_or(reference),
        target_name: destination.name(&full_name)?,
        platforms,
    })
}

/// Every tag of the repository, each under its own name there.
async fn tags(
    repository: &Reference,
    destination: &Destination,
    platforms: &Platforms,
    settings: &Settings,
) -> Result<Vec<Wanted>> {
    let client = settings.client("copy", true)?;
    let mut wanted = Vec::new();
    for tag in client.repository(repository)?.tags().await? {
        let reference = repository.with_tag(&tag)?;
        let (there, target_name) = destination.name_of_tag(&reference, &tag)?;
        wanted.push(Wanted {
            source: Arc::new(client.repository(&reference)?),
            name: reference.name(),
            reference: there,
            target_name,
            platforms: platforms.clone(),
        });
    }
    Ok(wanted)
}
