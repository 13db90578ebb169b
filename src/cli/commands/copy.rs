//! `copy`: an image from any place to any place.

use std::process::ExitCode;

use super::destination::Destination;
use super::moving::{Run, chunk_size, named_platforms};
use super::open::{Opened, open_place};
use crate::cli::args::Copy;
use crate::cli::settings::Settings;
use crate::cli::{signals, words};
use crate::error::Result;
use crate::place::{Place, PlainMeans};
use crate::transfer::{Platforms, Wanted};

pub(in crate::cli) async fn run(args: Copy, settings: &Settings) -> Result<ExitCode> {
    let place = Place::parse(&args.source, PlainMeans::Registry)?;
    let destination =
        Destination::parse(&args.destination, chunk_size(args.chunk_size.as_deref())?)?;
    let platforms = named_platforms(&args.moving, Platforms::Only)?.unwrap_or(Platforms::All);
    let cancel = signals::cancelled_by_signals();
    let run = Run::parse(&args.moving, &words::COPY, settings, &cancel)?;
    let sides = args.sides;
    let source_settings =
        settings.for_side(sides.src_creds, sides.src_authfile, sides.src_plain_http);
    let target_settings =
        settings.for_side(sides.dest_creds, sides.dest_authfile, sides.dest_plain_http);
    if source_settings.has_creds_of(&target_settings) {
        settings.check_creds(place.at_registry().into_iter().chain(destination.image()))?;
    }
    let Opened { source, name, reference, full_name, .. } = open_place(&place, &source_settings)?;
    let wanted = [Wanted {
        source,
        name,
        reference: destination.reference().unwrap_or(reference),
        target_name: destination.name(&full_name)?,
        platforms,
    }];
    let (code, _) = run.carry_out(&wanted, &destination, false, &target_settings).await?;
    Ok(code)
}
