//! `digest`, `manifest`, `config`: prints what a registry returns, byte for byte.

use std::process::ExitCode;

use crate::cli::args::DocumentArgs;
use crate::cli::image::open::{OpenedLocation, open, with_subject};
use crate::cli::image::store_hint::StoreHint;
use crate::cli::output;
use crate::cli::settings::{Settings, explicit_platform, platform};
use crate::config::CONFIG_LIMIT;
use crate::content::Effort;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::Result;
use crate::layout::IndexEntry;
use crate::location::DefaultLocation;
use crate::transfer::{PlatformRequest, read_small, resolve_image};

pub(in crate::cli) async fn digest(args: DocumentArgs, settings: &Settings) -> Result<ExitCode> {
    let requested = typed(&args)?;
    let reading = async {
        let opened = open(&args.image, DefaultLocation::Registry, settings).await?;
        let digest = digest_of(&opened, requested.as_ref(), settings).await?;
        Ok((opened.reference, digest))
    };
    let (reference, digest) = StoreHint::new(&args.image, settings).around(reading).await?;
    if settings.json {
        output::json(&serde_json::json!({ "reference": reference, "digest": digest }))?;
    } else {
        output::line(digest.as_str())?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(in crate::cli) async fn manifest(args: DocumentArgs, settings: &Settings) -> Result<ExitCode> {
    let requested = typed(&args)?;
    let reading = async {
        let opened = open(&args.image, DefaultLocation::Registry, settings).await?;
        select_document(&opened, requested.as_ref(), settings).await
    };
    let document = StoreHint::new(&args.image, settings).around(reading).await?;
    output::document(document.bytes())?;
    Ok(ExitCode::SUCCESS)
}

pub(in crate::cli) async fn config(args: DocumentArgs, settings: &Settings) -> Result<ExitCode> {
    let requested = platform(args.platform.platform.as_deref())?;
    let reading = async {
        let opened = open(&args.image, DefaultLocation::Registry, settings).await?;
        let manifest = select_document(&opened, Some(&requested), settings).await?;
        let view = manifest.manifest().map_err(|error| with_subject(&opened.reference, &error))?;
        read_small(&*opened.source, &view.config, CONFIG_LIMIT, settings.retry).await
    };
    let bytes = StoreHint::new(&args.image, settings).around(reading).await?;
    output::document(&bytes)?;
    Ok(ExitCode::SUCCESS)
}

async fn digest_of(
    opened: &OpenedLocation,
    requested: Option<&PlatformRequest>,
    settings: &Settings,
) -> Result<Digest> {
    if requested.is_some() {
        return Ok(select_document(opened, requested, settings).await?.digest().clone());
    }
    // HEAD is enough, and Docker Hub does not count it as a pull.
    match opened.source.name(&opened.name, Effort::Request).await?.present() {
        // For an image in the store, print the digest that `pull` and `images` print.
        Some(descriptor) if opened.layout.is_some() => {
            Ok(IndexEntry::from_descriptor(descriptor).digest())
        }
        Some(descriptor) => Ok(descriptor.digest),
        None => Ok(opened.source.resolve(&opened.name).await?.digest().clone()),
    }
}

fn typed(args: &DocumentArgs) -> Result<Option<PlatformRequest>> {
    explicit_platform(args.platform.platform.as_deref())
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
