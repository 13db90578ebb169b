//! `diff`: what two images share, how they differ, and what a pull of one costs a host that has the other.

mod compared;
mod files;
mod text;

use std::process::ExitCode;

use self::compared::{ComparedImage, ImageDiff};
use self::files::DiffHead;
use super::files::PathFilter;
use crate::cli::args::Diff;
use crate::cli::output;
use crate::cli::settings::Settings;
use crate::error::Result;
use crate::location::{DefaultLocation, Location};

pub(in crate::cli) async fn run(args: Diff, settings: &Settings) -> Result<ExitCode> {
    check_creds(&args, settings)?;
    let platform = args.platform.platform.as_deref();
    let filter = PathFilter::parse(&args.paths)?;
    let a = ComparedImage::open(&args.a, platform, args.files, settings).await?;
    let b = ComparedImage::open(&args.b, platform, args.files, settings).await?;
    let diff = ImageDiff::new(&a, &b)?;
    if args.files {
        let head = if settings.json {
            DiffHead::Json(diff.json())
        } else {
            DiffHead::Text(text::text_of(&diff, args.no_trunc))
        };
        return Box::pin(files::run([a, b].map(ComparedImage::into_image), head, filter, settings))
            .await;
    }
    if settings.json {
        output::json(&diff.json())?;
    } else {
        output::text(&text::text_of(&diff, args.no_trunc))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Rejects `--creds` for images of two registries.
fn check_creds(args: &Diff, settings: &Settings) -> Result<()> {
    let mut references = Vec::new();
    for text in [&args.a, &args.b] {
        match Location::parse(text, DefaultLocation::StoreOrRegistry)? {
            Location::Registry(reference) | Location::StoreOrRegistry(reference) => {
                references.push(reference);
            }
            _ => {}
        }
    }
    settings.check_creds(&references)
}
