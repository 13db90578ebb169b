//! `digest`, `manifest`, `config`: what a registry says, byte for byte.

use std::process::ExitCode;

use super::open::{Opened, open, under};
use crate::cli::args::Look;
use crate::cli::output;
use crate::cli::settings::{Settings, platform};
use crate::config::CONFIG_LIMIT;
use crate::document::Document;
use crate::error::Result;
use crate::layout::Entry;
use crate::place::PlainMeans;
use crate::transfer::{Choice, pick, read_small};

pub(in crate::cli) async fn digest(args: Look, settings: &Settings) -> Result<ExitCode> {
    let wanted = typed(&args)?;
    let opened = open(&args.image, PlainMeans::Registry, settings).await?;
    let digest = match &wanted {
        // HEAD is enough, and Docker Hub does not count it as a pull.
        None => match opened.source.head(&opened.name).await? {
            // Of the store's images it is the one that `pull` and `images` tell.
            Some(descriptor) if opened.layout.is_some() => Entry::of(descriptor).digest(),
            Some(descriptor) => descriptor.digest,
            None => opened.source.resolve(&opened.name).await?.digest().clone(),
        },
        Some(choice) => chosen(&opened, Some(choice), settings).await?.digest().clone(),
    };
    if settings.json {
        output::json(&serde_json::json!({ "reference": opened.reference, "digest": digest }))?;
    } else {
        output::line(digest.as_str())?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(in crate::cli) async fn manifest(args: Look, settings: &Settings) -> Result<ExitCode> {
    let wanted = typed(&args)?;
    let opened = open(&args.image, PlainMeans::Registry, settings).await?;
    output::raw(chosen(&opened, wanted.as_ref(), settings).await?.bytes())?;
    Ok(ExitCode::SUCCESS)
}

pub(in crate::cli) async fn config(args: Look, settings: &Settings) -> Result<ExitCode> {
    let wanted = platform(args.platform.platform.as_deref())?;
    let opened = open(&args.image, PlainMeans::Registry, settings).await?;
    let manifest = chosen(&opened, Some(&wanted), settings).await?;
    let view = manifest.manifest().map_err(|error| under(&opened.reference, &error))?;
    let config = &view.config;
    let bytes = read_small(&*opened.source, config, CONFIG_LIMIT, settings.retry).await?;
    output::raw(&bytes)?;
    Ok(ExitCode::SUCCESS)
}

fn typed(args: &Look) -> Result<Option<Choice>> {
    args.platform.platform.as_deref().map(|text| text.parse().map(Choice::demanded)).transpose()
}

async fn chosen(opened: &Opened, choice: Option<&Choice>, settings: &Settings) -> Result<Document> {
    Ok(pick(&*opened.source, &opened.name, &opened.reference, choice, &settings.retry)
        .await?
        .chosen)
}
