//! `diff`: what two images share, how they differ, and what a pull of one costs a host that has the other.

mod compared;
mod files;
mod page;
mod text;

use std::process::ExitCode;

use self::compared::{ComparedImage, ImageDiff};
use self::files::DiffHead;
use super::files::PathFilter;
use crate::cli::args::Diff;
use crate::cli::image::open::check_creds_of;
use crate::cli::output;
use crate::cli::page::output::{PageOutput, page_written};
use crate::cli::settings::Settings;
use crate::error::Result;

pub(in crate::cli) async fn run(args: Diff, settings: &Settings) -> Result<ExitCode> {
    check_creds_of([&args.a, &args.b], settings)?;
    let output = args.output.as_deref().map(|path| PageOutput::open(Some(path), settings));
    let output = output.transpose()?;
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
    let written = match output {
        Some(output) => Some(output.write(&page::page(&diff).document()?)?),
        None => None,
    };
    if settings.json {
        output::json(&diff.json())?;
    } else if let Some(written) = written {
        page_written(written.as_deref())?;
    } else {
        output::text(&text::text_of(&diff, args.no_trunc))?;
    }
    Ok(ExitCode::SUCCESS)
}
