//! One run over everything that the file lists.

use std::process::ExitCode;
use std::sync::Arc;

use super::compare::compare;
use super::created::{Created, SourceKnowledge};
use super::delete::{Named, removals};
use super::deltas::DeltaMaker;
use super::ends::Ends;
use super::image::MirrorImage;
use super::images::{FileSelection, Selection};
use super::report::{ImagePrinter, Round};
use super::source_digests::SourceDigests;
use super::state::MirrorState;
use super::{deltas, images, plan, report};
use crate::cli::args::Mirror;
use crate::cli::run::ledger;
use crate::cli::run::removals::{Removals, Removed};
use crate::cli::run::transfer_run::{options, platforms_to_pass_on};
use crate::cli::settings::Settings;
use crate::cli::signals::or_cancelled;
use crate::error::Result;
use crate::mirror::MirrorFile;
use crate::transfer::{ImageResult, RunReport, Transfer, TransferOptions};

/// Mirrors what the file lists, or prints the plan.
pub(super) async fn round(args: &Mirror, file: MirrorFile, settings: &Settings) -> Result<Round> {
    for note in &file.notes {
        tracing::warn!("{note}");
    }
    let settings = &settings.with_jobs(args.moving.jobs());
    let options = options(&args.moving, settings)?;
    let platforms = platforms_to_pass_on(&args.moving)?;
    let cancel = settings.control.cancel.clone();
    let mut ends = Ends::new(&file.registries, &args.moving, settings)?;
    let selected = FileSelection { shard: args.shard, platforms };
    let mut state = MirrorState::open(args)?;
    let (digests, created) = (SourceDigests::default(), Created::default());
    let known = SourceKnowledge { state: &state, digests: &digests, created: &created };
    let finding = Box::pin(images::find(&file.entries, &selected, &known, &mut ends));
    let Selection { images, targets, layouts, pairs } =
        or_cancelled(&cancel, "mirror", finding).await??;
    let mut to_delete = Removals::new(args.max_delete);
    if args.delete {
        let named = Named { targets: &targets, layouts: &layouts };
        let listing = Box::pin(removals(named, &images, args.max_delete, &mut ends));
        to_delete = or_cancelled(&cancel, "mirror", listing).await?;
    }
    let targets = target_locations(&images);
    let comparing = Box::pin(compare(images, &state, &digests));
    let images = or_cancelled(&cancel, "mirror", comparing).await?;
    if args.moving.plan {
        let names_to_check = deltas::names_to_check(&pairs, &images, &state);
        let code =
            show_plan(&images, (&to_delete, &names_to_check), options, &ends, settings).await?;
        return Ok(Round { code, outcome: None });
    }
    state.set_created(created.into_times());
    let throttle = options.throttle.clone();
    let (run, printer) = transfer(&images, options, settings).await?;
    state.record(&images, &run.images);
    let digests = deltas::digests_at_targets(&images, &run);
    let failed = targets.into_iter().zip(digests).filter(|(_, digest)| digest.is_none());
    to_delete.skip(&failed.filter_map(|(location, _)| location).collect());
    let removed = delete(to_delete, &mut state, settings).await;
    state.save();
    let sent = images.iter().filter_map(MirrorImage::pending);
    let sent = sent.map(|one| (one.request.source.endpoint(), one.target.endpoint()));
    ledger::append("mirror", sent.zip(&run.images), settings);
    let maker = DeltaMaker { settings, throttle };
    let made = maker.make_all(&pairs, &images, &run, &mut state, &mut ends).await;
    state.save();
    report::finished(&images, &run, (&removed, &made), &printer, &ends, settings)
}

/// Prints what would be transferred.
async fn show_plan(
    images: &[MirrorImage],
    further: (&Removals, &[&str]),
    options: TransferOptions,
    ends: &Ends<'_>,
    settings: &Settings,
) -> Result<ExitCode> {
    let cancel = settings.control.cancel.clone();
    let transfer = changed(images, options);
    let planned = or_cancelled(&cancel, "plan", Box::pin(transfer.plan())).await?;
    plan::print(images, planned, further, ends, settings)
}

/// Where each image goes; `None` if that is not known.
fn target_locations(images: &[MirrorImage]) -> Vec<Option<String>> {
    let location = |image: &MirrorImage| Some(image.target()?.endpoint().location.clone());
    images.iter().map(location).collect()
}

/// Transfers what may have changed.
async fn transfer(
    images: &[MirrorImage],
    options: TransferOptions,
    settings: &Settings,
) -> Result<(RunReport, Arc<ImagePrinter>)> {
    report::unchanged(images, settings)?;
    let printer = Arc::new(ImagePrinter::new(settings));
    let observer = Arc::clone(&printer);
    let run = changed(images, options).on_image(move |image: &ImageResult| {
        if observer.print(image).is_err() {
            tracing::debug!("stdout is closed");
        }
    });
    Ok((Box::pin(run.run()).await, printer))
}

/// Deletes tags, unless the run was interrupted.
async fn delete(removals: Removals, state: &mut MirrorState, settings: &Settings) -> Removed {
    let cancel = &settings.control.cancel;
    let mut removed = Removed::default();
    if !cancel.is_cancelled() {
        let deleting = Box::pin(removals.delete(&mut removed));
        if cancel.run_until_cancelled(deleting).await.is_none() {
            removed.interrupt();
        }
    }
    removed.tags.iter().for_each(|(name, _)| state.forget(name));
    removed
}

/// The transfer of the images that may have changed.
fn changed(images: &[MirrorImage], options: TransferOptions) -> Transfer {
    let pending = images.iter().filter_map(MirrorImage::pending);
    pending.fold(Transfer::new(options), |run, one| run.image(one.request.clone(), &one.target))
}
