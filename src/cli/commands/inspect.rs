//! `inspect`: what an image is, in one look.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::json;

use super::open::Image;
use crate::cli::args::Look;
use crate::cli::output;
use crate::cli::settings::Settings;
use crate::cli::size::size;
use crate::document::Content;
use crate::error::Result;
use crate::platform::available;

pub(in crate::cli) async fn run(args: Look, settings: &Settings) -> Result<ExitCode> {
    let image = Image::open(&args.image, args.platform.platform.as_deref(), settings).await?;
    let manifest = image.manifest()?;
    let platforms = match image.root.content() {
        Content::Index(index) => available(&index.manifests),
        Content::Manifest(_) | Content::Artifact(_) => vec![image.config.platform().to_string()],
    };
    let chosen_from = image.opened.source.chosen_from(&image.root).await;
    let root = chosen_from.as_ref().unwrap_or(&image.root);
    let mut seen = HashSet::new();
    let once = manifest.blobs().filter(|blob| seen.insert(&blob.digest));
    let total: u64 = once.map(|blob| blob.size).sum();
    if settings.json {
        output::json(&json!({
            "reference": image.opened.reference,
            "source": image.opened.source.place(),
            "digest": root.digest(),
            "manifest": image.chosen.digest(),
            "media_type": root.descriptor().media_type,
            "platform": image.config.platform().to_string(),
            "platforms": platforms,
            "created": image.config.created,
            "author": image.config.author,
            "size": total,
            "layers": manifest.layers,
            "config": image.config.config,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    let mut row = |name: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a String cannot fail.
            _ = writeln!(text, "{name:<12}{}", crate::escape(value));
        }
    };
    row("image", &image.opened.reference);
    row("from", &image.opened.source.place());
    row("digest", root.digest().as_str());
    if image.chosen.digest() != root.digest() {
        row("manifest", image.chosen.digest().as_str());
    }
    row("type", root.descriptor().media_type.as_str());
    row("platform", &image.config.platform().to_string());
    row("platforms", &platforms.join(", "));
    row("created", image.config.created.as_deref().unwrap_or_default());
    row("size", &format!("{} in {} layers", size(total), manifest.layers.len()));
    if let Some(config) = image.config.config.as_ref().and_then(|config| config.as_object()) {
        for (key, value) in config.iter().filter(|(_, value)| !value.is_null()) {
            row(&key.to_lowercase(), &value.to_string());
        }
    }
    output::text(&text)?;
    Ok(ExitCode::SUCCESS)
}
