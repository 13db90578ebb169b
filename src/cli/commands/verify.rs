//! `verify`: hashes the blobs in the local store or in another location.

use std::process::ExitCode;
use std::sync::Arc;

use super::store::ImageArg;
use crate::blocking::run_blocking;
use crate::cli::args::Verify;
use crate::cli::image::open::{OpenedLocation, open_location};
use crate::cli::run::transfer_run::interruptible;
use crate::cli::settings::{Settings, not_in_store};
use crate::cli::size::{plural, size};
use crate::cli::{labels, output, signals};
use crate::content::{EmptyTarget, Target};
use crate::control::{Control, PhaseCounter};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{BadBlob, Layout, VerifyReport};
use crate::location::{DefaultLocation, Location};
use crate::name::ImageName;
use crate::progress::Phase;
use crate::transfer::{ImageRequest, PlatformSelection, TransferOptions, read_blob, resolve};

pub(in crate::cli) async fn run(args: Verify, settings: &Settings) -> Result<ExitCode> {
    let (others, names) = split_arguments(&args.images, settings)?;
    let settings = &interruptible(&labels::PULL, settings);
    let control = &settings.control;
    let mut report = VerifyReport::default();
    if others.is_empty() || !names.is_empty() {
        match (settings.existing_store()?, names.first()) {
            (Some(store), _) => report = hash(store, names, control).await?,
            (None, Some(name)) => {
                return Err(not_in_store(name));
            }
            (None, None) => {}
        }
    }
    let of_store = || settings.store().map(|path| format!("store: {}", path.display()));
    let mut bad = if report.bad.is_empty() { None } else { Some(of_store()?) };
    for location in others {
        let checking = check_location(&location, settings);
        let found = signals::or_cancelled(&control.cancel, "verify", checking).await??;
        if !found.bad.is_empty() {
            bad.get_or_insert_with(|| location.to_string());
        }
        report.blobs += found.blobs;
        report.bytes += found.bytes;
        report.bad.extend(found.bad);
    }
    print_result(&report, settings)?;
    let Some(location) = bad else { return Ok(ExitCode::SUCCESS) };
    let reason = plural(report.bad.len() as u64, "corrupt or missing blob");
    Err(Error::new(ErrorKind::Mismatch, location).with_reason(reason))
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

/// Hashes a layout in place; of other locations it reads all blobs.
async fn check_location(location: &Location, settings: &Settings) -> Result<VerifyReport> {
    let control = &settings.control;
    if let Location::Layout { path, name: ImageName::Only } = location {
        return hash(Arc::new(Layout::open_with_control(path, control)?), Vec::new(), control)
            .await;
    }
    let OpenedLocation { source, name, reference, layout, .. } =
        open_location(location, settings).await?;
    if let (Some(layout), ImageName::Layout(name)) = (layout, &name) {
        return hash(layout, vec![name.clone()], control).await;
    }
    let request = ImageRequest {
        source: Arc::clone(&source),
        name,
        target_name: ImageName::Layout(reference.clone()),
        reference,
        platforms: PlatformSelection::All,
    };
    let nowhere: Arc<dyn Target> = Arc::new(EmptyTarget::new(String::new()));
    let graph = resolve(&request, &nowhere, &settings.retry).await?;
    let blobs: Vec<_> = graph.blobs.iter().filter(|blob| !blob.is_foreign()).collect();
    let total = blobs.iter().map(|blob| blob.size).sum();
    let counter = PhaseCounter::new(control, Phase::Verify, total);
    let mut report = VerifyReport {
        blobs: graph.documents.len() as u64,
        bytes: graph.documents.iter().map(|document| document.bytes().len() as u64).sum(),
        bad: Vec::new(),
    };
    for blob in blobs {
        let options = TransferOptions { retry: settings.retry, ..TransferOptions::default() };
        let mut count = |bytes: &[u8]| counter.add(bytes.len() as u64);
        match read_blob(&*source, blob, options, &mut count).await {
            Ok(()) => {
                report.blobs += 1;
                report.bytes += blob.size;
            }
            Err(error) if is_blob_error(&error) => report.bad.push(BadBlob {
                digest: blob.digest.clone(),
                reason: error.reason().to_owned(),
                images: vec![request.reference.clone()],
                repaired: false,
            }),
            Err(error) => return Err(error),
        }
    }
    Ok(report)
}

/// Whether the blob is missing or damaged. The other blobs can still be checked.
fn is_blob_error(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Mismatch)
}

async fn hash(store: Arc<Layout>, names: Vec<String>, control: &Control) -> Result<VerifyReport> {
    let control = control.clone();
    run_blocking("verify", move || store.verify(&names, &control)).await
}

fn print_result(report: &VerifyReport, settings: &Settings) -> Result<()> {
    if settings.json {
        return output::json(report);
    }
    for bad in &report.bad {
        let images =
            if bad.images.is_empty() { "no image".to_owned() } else { bad.images.join(", ") };
        output::line(&crate::escape(&format!(
            "{}: {} (needed by {images})",
            bad.digest, bad.reason
        )))?;
    }
    output::line(&format!(
        "{}, {}, {} bad",
        plural(report.blobs, "blob"),
        size(report.bytes),
        report.bad.len()
    ))
}
