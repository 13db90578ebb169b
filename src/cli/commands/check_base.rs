//! `check-base`: whether an image is built on what the name of its base stands for today.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::args::CheckBase;
use crate::cli::image::base::{BaseCheck, BaseOptions, BuiltImage, UNNAMED};
use crate::cli::image::open::{OpenedLocation, store_else_registry};
use crate::cli::output;
use crate::cli::settings::{Settings, platform};
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::transfer::{ResolvedImage, resolve_image};

pub(in crate::cli) async fn run(args: CheckBase, settings: &Settings) -> Result<ExitCode> {
    let options = BaseOptions {
        base: args.base.as_deref(),
        digest: args.digest.as_ref(),
        platform: platform(args.platform.platform.as_deref())?,
    };
    options.check()?;
    let read = async |opened: OpenedLocation| {
        let (source, name) = (&*opened.source, &opened.name);
        let platform = Some(&options.platform);
        let found = resolve_image(source, name, &opened.reference, platform, &settings.retry);
        let ResolvedImage { root, manifest } = found.await?;
        Ok((opened, root, manifest))
    };
    let (opened, root, manifest) = store_else_registry(&args.image, settings, read).await?;
    let image = BuiltImage { opened: &opened, root: &root, manifest: &manifest };
    let Some(check) = image.check_base(&options, settings).await? else {
        return Err(Error::new(ErrorKind::Unsupported, &opened.reference)
            .with_reason(UNNAMED)
            .with_hint("name it with `--base NAME`"));
    };
    if settings.json {
        let named = opened.named_document(&root).await;
        output::json(&json_of(&opened, &named, &manifest, &check))?;
    } else if !settings.quiet {
        output::text(&check.text())?;
    }
    if let Some(message) = check.message() {
        output::error_line(&format!("{}: {message}", opened.reference));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn json_of(
    opened: &OpenedLocation,
    named: &Document,
    manifest: &Document,
    check: &BaseCheck,
) -> Value {
    json!({
        "reference": opened.reference,
        "digest": named.digest(),
        "manifest": manifest.digest(),
        "base": check,
    })
}
