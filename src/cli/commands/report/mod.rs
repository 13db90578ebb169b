//! `report`: a page about images, the store and its ledger.

mod files;
mod findings;
mod image;
mod overview;
mod stats;
mod store;

use std::path::Path;
use std::process::ExitCode;

use maud::{Markup, html};
use serde_json::json;

use self::image::ReportedImage;
use self::stats::LedgerSums;
use crate::cli::age::day;
use crate::cli::args::Report;
use crate::cli::image::open::{OpenedImage, check_creds_of};
use crate::cli::page::output::{PageOutput, page_written};
use crate::cli::page::{Page, heading, shown};
use crate::cli::run::transfer_run::interruptible;
use crate::cli::settings::Settings;
use crate::cli::signals::or_cancelled;
use crate::cli::store_usage::warn_of_unreadable;
use crate::cli::{labels, output};
use crate::error::Result;
use crate::layout::LayoutUsage;

/// What a page can be about.
struct Contents {
    images: Vec<ReportedImage>,
    /// Usage of the store, and its path.
    store: Option<(LayoutUsage, String)>,
    ledger: Option<LedgerSums>,
}

pub(in crate::cli) async fn run(args: Report, settings: &Settings) -> Result<ExitCode> {
    check_creds_of(&args.images, settings)?;
    let output = PageOutput::open(args.output.as_deref(), settings)?;
    let settings = &interruptible(&labels::PULL, settings);
    let reading = Box::pin(read(&args, settings));
    let images = or_cancelled(&settings.control.cancel, "report", reading).await??;
    let store = if args.is_about_store() { Some(store_usage(settings)?) } else { None };
    let ledger = if args.stats { Some(LedgerSums::read(settings)?) } else { None };
    let contents = Contents { images, store, ledger };
    let written = output.write(&page(&contents).document()?, settings).await?;
    print_result(written.as_deref(), &contents.images, settings)
}

fn store_usage(settings: &Settings) -> Result<(LayoutUsage, String)> {
    let path = settings.store()?.display().to_string();
    let usage = settings.existing_store()?.map(|store| store.usage()).transpose()?;
    let usage = usage.unwrap_or_default();
    warn_of_unreadable(&usage);
    Ok((usage, path))
}

/// Opens all images before the layers of the first are read, so that a wrong name is reported early.
async fn read(args: &Report, settings: &Settings) -> Result<Vec<ReportedImage>> {
    let platform = args.platform.platform.as_deref();
    let (mut opened, mut all_layers) = (Vec::new(), 0);
    for text in &args.images {
        let image = OpenedImage::open_with_layers(text, platform, settings).await?;
        all_layers += image.manifest()?.layers.len();
        opened.push(image);
    }
    let mut images = Vec::new();
    for image in opened {
        images.push(ReportedImage::read(image, all_layers, settings).await?);
    }
    Ok(images)
}

fn page(contents: &Contents) -> Page {
    let Contents { images, store, ledger } = contents;
    let (title, figures) = match (images.as_slice(), store) {
        ([], Some((usage, _))) => ("Store".to_owned(), store::store_numbers(usage)),
        ([], None) => ("Transfers".to_owned(), html! {}),
        ([image], _) => (image.reference.clone(), overview::image_numbers(image)),
        (images, _) => (format!("{} images", images.len()), overview::total_numbers(images)),
    };
    let lines = match images.as_slice() {
        [image] => about(image),
        _ => Vec::new(),
    };
    let body = html! {
        (heading(&title, &lines, &figures))
        main {
            @if !images.is_empty() { (overview::shared_layers(images)) }
            @for (at, image) in images.iter().enumerate() { (section(at, image, images.len())) }
            @if let Some((usage, path)) = store { (store::section(usage, path, !images.is_empty())) }
            @if let Some(ledger) = ledger { (ledger.section()) }
        }
    };
    let data = images.iter().map(files::data).collect::<Vec<_>>();
    Page { title: format!("{title} - rpull report"), body, data: json!({"images": data}) }
}

fn about(image: &ReportedImage) -> Vec<String> {
    let created = image.created.as_deref().and_then(day);
    let created = created.map(|created| format!(", created {created}")).unwrap_or_default();
    vec![format!("{}{created}", image.platform), image.digest.to_string()]
}

fn section(at: usize, image: &ReportedImage, count: usize) -> Markup {
    if count == 1 {
        return html! {
            section aria-labelledby="files" {
                h2 #files { "History and files" }
                (files::layers_and_files(at, image))
            }
            section aria-labelledby="findings" {
                h2 #findings { "Findings" }
                (findings::findings(at, image))
            }
        };
    }
    html! {
        details.card open[at == 0] {
            summary { h2 { (shown(&image.reference)) } }
            @for line in about(image) { p.about { (shown(&line)) } }
            (overview::image_numbers(image))
            (files::layers_and_files(at, image))
            h3 { "Findings" }
            (findings::findings(at, image))
        }
    }
}

fn print_result(
    path: Option<&Path>,
    images: &[ReportedImage],
    settings: &Settings,
) -> Result<ExitCode> {
    if !settings.json {
        page_written(path)?;
        return Ok(ExitCode::SUCCESS);
    }
    let images = images.iter();
    let images = images.map(|image| json!({"reference": image.reference, "digest": image.digest}));
    let path = path.map(|path| path.display().to_string());
    output::json(&json!({"file": path, "images": images.collect::<Vec<_>>()}))?;
    Ok(ExitCode::SUCCESS)
}
