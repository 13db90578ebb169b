//! `rm` and `prune`: removes image names from the local store, and unreferenced content.

mod rm_selected;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use crate::cli::args::{Prune, Rm};
use crate::cli::cutoff::parse_cutoff;
use crate::cli::image::image_arg::{ImageArg, store_reference};
use crate::cli::image_filter::invalid;
use crate::cli::overlay_dirs::{known_directories, typed_directory};
use crate::cli::run::report::json_of;
use crate::cli::settings::{Settings, not_in_store};
use crate::cli::size::{parse_size, plural, size};
use crate::cli::{exit, output};
use crate::control::Control;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Layout, PruneFilter, PruneOptions, PruneReport};
use crate::unpack::overlay::OverlayPruneReport;

/// Removes the images. The first failure in the order of the arguments decides the exit code.
pub(in crate::cli) async fn rm(args: &Rm, settings: &Settings) -> Result<ExitCode> {
    if args.is_selection() {
        return rm_selected::run(args, settings).await;
    }
    let image = |text: &String| match args.overlay {
        Some(_) => Ok(ImageArg::Name(overlay_name(text))),
        None => ImageArg::parse(text),
    };
    let images = args.images.iter().map(image).collect::<Result<Vec<_>>>()?;
    if args.plan {
        let names = images.iter().map(|image| image.only_name(settings));
        let names = names.collect::<Result<Vec<_>>>()?;
        return rm_selected::plan_named(&names, settings).await;
    }
    let mut first_failure = None;
    let mut values = Vec::new();
    for image in &images {
        let found = image.only_name(settings);
        let name = found.as_ref().map_or_else(|_| image.to_string(), String::clone);
        let removed = found.and_then(|name| match &args.overlay {
            Some(path) => remove_unpacked(path, &name),
            None if settings.store_with(&name)?.remove(&name)? => Ok(true),
            None => Err(not_in_store(&name)),
        });
        if let Err(error) = &removed {
            let code = exit::report(error);
            first_failure.get_or_insert(code);
        }
        if settings.json {
            let value = json!({ "reference": name, "removed": removed.is_ok() });
            values.push(json_of(&value, removed.as_ref().err())?);
        } else if removed.is_ok() {
            output::line(&name)?;
        }
    }
    if settings.json {
        output::json(&values)?;
    }
    Ok(first_failure.unwrap_or(ExitCode::SUCCESS))
}

/// Returns the image's name in an overlay directory: its full name, or the location that it was read from.
fn overlay_name(text: &str) -> String {
    store_reference(text).map_or_else(|_| text.to_owned(), |reference| reference.store_name())
}

/// Removes an image from an overlay directory.
fn remove_unpacked(path: &Path, name: &str) -> Result<bool> {
    let directory = typed_directory(path)?;
    let lock = directory.lock(&Control::default())?;
    if directory.remove_image(&lock, name)? {
        return Ok(true);
    }
    Err(Error::new(ErrorKind::NotFound, name)
        .at(path.display().to_string())
        .with_reason("not in the overlay directory")
        .with_hint("run `rpull df` to list its images"))
}

pub(in crate::cli) fn prune(args: &Prune, settings: &Settings) -> Result<ExitCode> {
    let (mut report, mut layers) = (PruneReport::default(), OverlayPruneReport::default());
    let filter = prune_filter(args)?;
    if let Some(store) = settings.existing_store()? {
        // Unpacked layers have neither an age nor the digest of a blob.
        if filter.is_empty() {
            layers = prune_directories(&store, args.plan)?;
        }
        report = store.prune(PruneOptions { plan: args.plan, partials: args.partials, filter })?;
    }
    if settings.json {
        let mut value = json_of(&report, None)?;
        if let Some(object) = value.as_object_mut() {
            object.insert("layers".to_owned(), json!(layers.layers));
            object.insert("layer_bytes".to_owned(), json!(layers.bytes));
        }
        output::json(&value)?;
        return Ok(ExitCode::SUCCESS);
    }
    let verb = if args.plan { "would free" } else { "freed" };
    let freed = |bytes: u64, count: u64, noun: &str| {
        output::line(&format!("{verb} {} in {}", size(bytes), plural(count, noun)))
    };
    freed(report.bytes, report.blobs, "blob")?;
    if report.partials > 0 {
        freed(report.partial_bytes, report.partials, "partial")?;
    }
    if layers.layers > 0 {
        freed(layers.bytes, layers.layers, "unpacked layer")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Parses `--older-than` and `--filter`.
fn prune_filter(args: &Prune) -> Result<PruneFilter> {
    let now = Timestamp::now();
    let age = |option: &str, text: &str| {
        let since = parse_cutoff(option, text, now)?;
        Ok::<_, Error>(Duration::try_from(now.duration_since(since)).unwrap_or_default())
    };
    let mut filter = PruneFilter::default();
    let older_than = args.older_than.as_deref();
    filter.older_than = older_than.map(|text| age("--older-than", text)).transpose()?;
    for text in &args.filter {
        match text.split_once('=') {
            Some(("until", value)) => {
                // The stricter of two counts.
                filter.older_than = filter.older_than.max(Some(age("--filter until", value)?));
            }
            Some(("min-size", value)) => {
                let size = parse_size(value)
                    .ok_or_else(|| invalid(text, "expected a size such as 10MB"))?;
                filter.min_size = filter.min_size.max(size);
            }
            Some(("digest", value)) if !value.is_empty() => filter.digests.push(value.to_owned()),
            _ => {
                return Err(invalid(
                    text,
                    "expected `until=DUR`, `min-size=SIZE` or `digest=PREFIX`",
                ));
            }
        }
    }
    Ok(filter)
}

/// Deletes unreferenced layers in the overlay directories, and forgets directories that no longer exist.
fn prune_directories(store: &Arc<Layout>, plan: bool) -> Result<OverlayPruneReport> {
    let mut freed = OverlayPruneReport::default();
    let mut stale = store.overlays()?;
    for directory in known_directories(store)? {
        stale.remove(directory.path());
        let lock = if plan { None } else { Some(directory.lock(&Control::default())?) };
        let one = directory.prune(lock.as_ref())?;
        freed.layers += one.layers;
        freed.bytes += one.bytes;
    }
    for path in stale.iter().filter(|path| !plan && !path.exists()) {
        store.remove_overlay(path)?;
    }
    Ok(freed)
}
