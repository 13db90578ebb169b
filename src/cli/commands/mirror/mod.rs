//! `mirror`: keeps registries, layouts and archives in step with a file.
//!
//! ```text
//! read     the file, or lines of stdin
//! images   which images go where: lists tags, opens sources and targets
//!   ends     opens each registry, layout and archive once
//! compare  which images have not changed, by one HEAD at each end
//!   state    what earlier runs have copied
//! report   names, JSON, plan and summary
//! ```

mod compare;
mod ends;
mod images;
mod read;
mod report;
mod state;

use std::process::ExitCode;
use std::sync::Arc;

use self::compare::compare;
use self::ends::Ends;
use self::images::{MirrorImage, Part};
use self::report::FinishedNames;
use self::state::State;
use crate::cli::args::Mirror;
use crate::cli::run::ledger;
use crate::cli::run::transfer_run::{interruptible, options, platforms_to_pass_on};
use crate::cli::settings::{ProgressMode, Settings};
use crate::cli::signals::or_cancelled;
use crate::cli::{labels, output};
use crate::control::Control;
use crate::error::Result;
use crate::mirror::SCHEMA;
use crate::transfer::{Transfer, TransferOptions};

pub(in crate::cli) async fn run(args: Mirror, settings: &Settings) -> Result<ExitCode> {
    if args.schema {
        return output::raw(SCHEMA.as_bytes()).map(|()| ExitCode::SUCCESS);
    }
    let file = read::file(&args)?;
    let settings = &interruptible(&labels::MIRROR, settings).with_jobs(args.moving.jobs());
    let options = options(&args.moving, settings)?;
    let platforms = platforms_to_pass_on(&args.moving)?;
    let cancel = settings.control.cancel.clone();
    let mut ends = Ends::new(&file.registries, &args.moving, settings)?;
    let part = Part { shard: args.shard, platforms };
    let finding = Box::pin(images::find(&file.entries, &part, &mut ends));
    let images = or_cancelled(&cancel, "mirror", finding).await??;
    let mut state = State::open(&args);
    let comparing = Box::pin(compare(images, &state));
    let images = or_cancelled(&cancel, "mirror", comparing).await?;
    if args.moving.plan {
        return plan(&images, options, &ends, settings).await;
    }
    transfer(&images, options, &mut state, &ends, settings).await
}

/// Prints what would be transferred.
async fn plan(
    images: &[MirrorImage],
    options: TransferOptions,
    ends: &Ends<'_>,
    settings: &Settings,
) -> Result<ExitCode> {
    let cancel = settings.control.cancel.clone();
    let transfer = changed(images, options);
    let planned = or_cancelled(&cancel, "plan", Box::pin(transfer.plan())).await?;
    report::plan(images, planned, ends, settings)
}

async fn transfer(
    images: &[MirrorImage],
    options: TransferOptions,
    state: &mut State,
    ends: &Ends<'_>,
    settings: &Settings,
) -> Result<ExitCode> {
    // Bars would be drawn over what is printed meanwhile.
    let names_at_end = settings.json || settings.progress == ProgressMode::Bars;
    let names = Arc::new(FinishedNames::new(images, Arc::clone(&settings.control.progress)));
    let control =
        Control { progress: Arc::<FinishedNames>::clone(&names), ..settings.control.clone() };
    let options = if names_at_end { options } else { TransferOptions { control, ..options } };
    report::unchanged(images, settings)?;
    let run = Box::pin(changed(images, options).run()).await;
    state.record(images, &run.images);
    state.save();
    let sent = images.iter().filter_map(MirrorImage::pending);
    let sent = sent.map(|one| (one.request.source.endpoint(), one.target.endpoint()));
    ledger::append("mirror", sent.zip(&run.images), settings);
    report::finished(images, &run, &names, ends, settings)
}

/// The transfer of the images that may have changed.
fn changed(images: &[MirrorImage], options: TransferOptions) -> Transfer {
    let pending = images.iter().filter_map(MirrorImage::pending);
    pending.fold(Transfer::new(options), |run, one| run.image(one.request.clone(), &one.target))
}
