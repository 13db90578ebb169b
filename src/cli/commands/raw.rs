//! `digest`, `manifest`, `config`: prints what a registry returns, byte for byte.

use std::process::ExitCode;

use crate::cli::args::DocumentArgs;
use crate::cli::image::open::{OpenedLocation, open, with_subject};
use crate::cli::output;
use crate::cli::settings::{Settings, platform};
use crate::config::CONFIG_LIMIT;
use crate::content::Effort;
use crate::document::Document;
use crate::error::Result;
use crate::layout::IndexEntry;
use crate::location::DefaultLocation;
use crate::transfer::{PlatformRequest, read_small, resolve_image};

pub(in crate::cli) async fn digest(args: DocumentArgs, settings: &Settings) -> Result<ExitCode> {
    let requested = typed(&args)?;
    let opened = open(&args.image, DefaultLocation::Registry, settings).await?;
    let digest = match &requested {
        // HEAD is enough, and Docker Hub does not count it as a pull.
        None => match opened.source.name(&opened.name, Effort::Request).await?.present() {
            // For an image in the store, print the digest that `pull` and `images` print.
            Some(descriptor) if opened.layout.is_some() => {
                IndexEntry::from_descriptor(descriptor).digest()
            }
            Some(descriptor) => descriptor.digest,
            None => opened.source.resolve(&opened.name).await?.digest().clone(),
        },
        Some(choice) => select_document(&opened, Some(choice), settings).await?.digest().clone(),
    };
    if settings.json {
        output::json(&serde_json::json!({ "reference": opened.reference, "digest": digest }))?;
    } else {
        output::line(digest.as_str())?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(in crate::cli) async fn manifest(args: DocumentArgs, settings: &Settings) -> Result<ExitCode> {
    let requested = typed(&args)?;
    let opened = open(&args.image, DefaultLocation::Registry, settings).await?;
    output::document(select_document(&opened, requested.as_ref(), settings).await?.bytes())?;
    Ok(ExitCode::SUCCESS)
}

pub(in crate::cli) async fn config(args: DocumentArgs, settings: &Settings) -> Result<ExitCode> {
    let requested = platform(args.platform.platform.as_deref())?;
    let opened = open(&args.image, DefaultLocation::Registry, settings).await?;
    let manifest = select_document(&opened, Some(&requested), settings).await?;
    let view = manifest.manifest().map_err(|error| with_subject(&opened.reference, &error))?;
    let config = &view.config;
    let bytes = read_small(&*opened.source, config, CONFIG_LIMIT, settings.retry).await?;
    output::document(&bytes)?;
    Ok(ExitCode::SUCCESS)
}

fn typed(args: &DocumentArgs) -> Result<Option<PlatformRequest>> {
    args.platform
        .platform
        .as_deref()
        .map(|text| text.parse().map(PlatformRequest::explicit))
        .transpose()
}

async fn select_document(
    opened: &OpenedLocation,
    choice: Option<&PlatformRequest>,
    settings: &Settings,
) -> Result<Document> {
    Ok(resolve_image(&*opened.source, &opened.name, &opened.reference, choice, &settings.retry)
        .await?
        .manifest)
}
