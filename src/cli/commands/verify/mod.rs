//! `verify`: checks the blobs in the local store or in another location.

mod repair;
mod stream;

use std::process::ExitCode;
use std::sync::Arc;

use crate::blocking::run_blocking;
use crate::cli::args::Verify;
use crate::cli::image::image_arg::ImageArg;
use crate::cli::image::open::{OpenedLocation, open_location};
use crate::cli::run::transfer_run::interruptible;
use crate::cli::settings::{Settings, not_in_store};
use crate::cli::signals::or_cancelled;
use crate::cli::size::{plural, size};
use crate::cli::{labels, output};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{BadBlob, BlobFault, Layout, VerifyOptions, VerifyReport};
use crate::limits::MAX_INDEX_DEPTH;
use crate::location::{DefaultLocation, Location};
use crate::name::ImageName;

/// Maximum rounds of a repair, each of which finds what the repaired documents list: nested indexes, manifests, blobs.
const MAX_ROUNDS: usize = MAX_INDEX_DEPTH + 2;

pub(in crate::cli) async fn run(args: Verify, settings: &Settings) -> Result<ExitCode> {
    let (others, names) = split_arguments(&args.images, settings)?;
    let settings = &interruptible(&labels::PULL, settings);
    let mut report = VerifyReport::default();
    if others.is_empty() || !names.is_empty() {
        match (settings.existing_store()?, names.first()) {
            (Some(store), _) => {
                let options = VerifyOptions::default().names(names).record_diff_ids();
                report = in_layout(&store, options, args.repair, settings).await?;
            }
            (None, Some(name)) => return Err(not_in_store(name)),
            (None, None) => {}
        }
    }
    let of_store = || settings.store().map(|path| format!("store: {}", path.display()));
    let is_left = |bad: &[BadBlob]| bad.iter().any(|bad| !bad.repaired);
    let mut bad = if is_left(&report.bad) { Some(of_store()?) } else { None };
    for location in others {
        let checking = check_location(&location, args.repair, settings);
        let found = or_cancelled(&settings.control.cancel, "verify", Box::pin(checking)).await??;
        if is_left(&found.bad) {
            bad.get_or_insert_with(|| location.to_string());
        }
        report.blobs += found.blobs;
        report.bytes += found.bytes;
        report.bad.extend(found.bad);
    }
    print_result(&report, settings)?;
    let Some(location) = bad else { return Ok(ExitCode::SUCCESS) };
    let left = report.bad.iter().filter(|bad| !bad.repaired).count();
    let reason = plural(left as u64, "corrupt or missing blob");
    let error = Error::new(ErrorKind::Mismatch, location).with_reason(reason);
    let can_repair = |bad: &BadBlob| bad.fault != BlobFault::Invalid && bad.descriptor.is_some();
    if args.repair || !report.bad.iter().any(can_repair) {
        return Err(error);
    }
    Err(error.with_hint("pass `--repair` to fetch them again from where the images came"))
}

/// Separates locations outside the store from names of images in it.
fn split_arguments(images: &[String], settings: &Settings) -> Result<(Vec<Location>, Vec<String>)> {
    let (mut locations, mut names) = (Vec::new(), Vec::new());
    for text in images {
        match Location::parse(text, DefaultLocation::Store)? {
            Location::Store(_) | Location::Id { .. } => {
                names.push(ImageArg::parse(text)?.name_or_parent(settings)?);
            }
            location => locations.push(location),
        }
    }
    Ok((locations, names))
}

/// Checks a layout in place; of other locations it reads all blobs.
async fn check_location(
    location: &Location,
    repair: bool,
    settings: &Settings,
) -> Result<VerifyReport> {
    if let Location::Layout { path, name: ImageName::Only } = location {
        let layout = Arc::new(Layout::open(path)?);
        return in_layout(&layout, VerifyOptions::default(), repair, settings).await;
    }
    let OpenedLocation { source, name, reference, layout, .. } =
        open_location(location, settings).await?;
    if let (Some(layout), ImageName::Layout(name)) = (layout, &name) {
        let options = VerifyOptions::default().names(vec![name.clone()]);
        return in_layout(&layout, options, repair, settings).await;
    }
    if repair {
        return Err(Error::new(ErrorKind::InvalidInput, location.to_string())
            .with_reason("only the store and image layouts can be repaired"));
    }
    stream::check(&source, name, reference, settings).await
}

/// Checks a layout, and repairs it if that was asked for.
async fn in_layout(
    layout: &Arc<Layout>,
    options: VerifyOptions,
    repair: bool,
    settings: &Settings,
) -> Result<VerifyReport> {
    let mut report = hash(layout, &options, settings).await?;
    for _ in 0..MAX_ROUNDS {
        if !repair || report.bad.is_empty() {
            break;
        }
        let has_new_document = repair::repair(layout, &mut report.bad, settings).await?;
        if !has_new_document {
            break;
        }
        let next = hash(layout, &options, settings).await?;
        (report.blobs, report.bytes) = (next.blobs, next.bytes);
        for found in next.bad {
            match report.bad.iter_mut().find(|known| known.digest == found.digest) {
                None => report.bad.push(found),
                // The manifests of other images that need it are back.
                Some(known) if !known.repaired && known.images != found.images => *known = found,
                Some(_) => {}
            }
        }
    }
    Ok(report)
}

async fn hash(
    layout: &Arc<Layout>,
    options: &VerifyOptions,
    settings: &Settings,
) -> Result<VerifyReport> {
    let (layout, options) = (Arc::clone(layout), options.clone());
    let control = settings.control.clone();
    run_blocking("verify", move || layout.verify_with(&options, &control)).await
}

fn print_result(report: &VerifyReport, settings: &Settings) -> Result<()> {
    if settings.json {
        return output::json(report);
    }
    for bad in &report.bad {
        output::line(&bad_line(bad))?;
    }
    let (blobs, bytes) = (plural(report.blobs, "blob"), size(report.bytes));
    let repaired = match report.bad.iter().filter(|bad| bad.repaired).count() {
        0 => String::new(),
        count => format!(", {count} repaired"),
    };
    output::line(&format!("{blobs}, {bytes}, {} bad{repaired}", report.bad.len()))
}

fn bad_line(bad: &BadBlob) -> String {
    let images = if bad.images.is_empty() { "no image".to_owned() } else { bad.images.join(", ") };
    let line = format!("{}: {} (needed by {images})", bad.digest, bad.reason);
    match &bad.not_repaired {
        _ if bad.repaired => format!("{line}; repaired"),
        Some(reason) => format!("{line}; not repaired: {reason}"),
        None => line,
    }
}
