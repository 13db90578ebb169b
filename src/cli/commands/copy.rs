//! `copy`: an image from any place to any place.

use std::process::ExitCode;

use super::destination::Destination;
use super::moving::{Run, named_platforms};
use super::open::{Opened, open_place};
use crate::cli::args::Copy;
use crate::cli::settings::Settings;
use crate::cli::{signals, words};
use crate::error::Result;
use crate::place::{Place, PlainMeans};
use crate::transfer::{Platforms, Wanted};

pub(in crate::cli) async fn run(args: Copy, settings: &Settings) -> Result<ExitCode> {
    let place = Place::parse(&args.source, PlainMeans::Registry)?;
    let destination = Destination::parse(&args.destination)?;
    let named = named_platforms(&args.moving, Platforms::Only)?;
    let platforms = destination.platforms(named, Platforms::All)?;
    let cancel = signals::cancelled_by_signals();
    let run = Run::parse(&args.moving, &words::COPY, settings, &cancel)?;
    let opening = open_place(&place, settings);
    let Opened { source, name, reference, full_name, .. } =
        signals::unless_cancelled(&cancel, "copy", opening).await??;
    let wanted = [Wanted {
        source,
        name,
        reference: destination.reference().unwrap_or(reference),
        target_name: destination.name(&full_name)?,
        platforms,
    }];
    let (code, _) = run.carry_out(&wanted, &destination, false, settings).await?;
    Ok(code)
}
