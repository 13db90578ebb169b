//! `diff`: what two images share, how they differ, and what a pull of one costs a host that has the other.

mod compared;
mod files;
mod page;
mod text;

use std::process::ExitCode;

use self::compared::{ComparedImage, ImageDiff};
use self::files::DiffHead;
use self::page::DiffPage;
use super::files::PathFilter;
use crate::cli::args::Diff;
use crate::cli::image::open::check_creds_of;
use crate::cli::output;
use crate::cli::page::output::{PageOutput, page_written};
use crate::cli::settings::Settings;
use crate::cli::signals::cancelled_by_signals;
use crate::error::Result;

pub(in crate::cli) async fn run(args: Diff, settings: &Settings) -> Result<ExitCode> {
    check_creds_of([&args.a, &args.b], settings)?;
    let output = args.output.as_deref().map(|path| PageOutput::open(Some(path), settings));
    let output = output.transpose()?;
    let platform = args.platform.platform.as_deref();
    let filter = PathFilter::parse(&args.paths)?;
    let a = ComparedImage::open(&args.a, platform, args.files, settings).await?;
    let b = ComparedImage::open(&args.b, platform, args.files, settings).await?;
    let mut settings = settings.clone();
    settings.control.cancel = cancelled_by_signals();
    let settings = &settings;
    let diff = ImageDiff::new(&a, &b)?;
    let head = if settings.json {
        DiffHead::Json(diff.json())
    } else {
        DiffHead::Text(text::text_of(&diff, args.no_trunc))
    };
    let page = output.is_some().then(|| DiffPage::new(&diff));
    let mut lists = None;
    if args.files {
        let images = [a, b].map(ComparedImage::into_image);
        lists = Some(Box::pin(files::read(images, filter, settings)).await?);
    }
    let written = match output.zip(page) {
        Some((output, page)) => {
            let files = lists.as_ref().map(files::ComparedFiles::by_size).transpose()?;
            Some(output.write(&page.with_files(files.as_ref()).document()?, settings).await?)
        }
        None => None,
    };
    match (head, written, lists) {
        (DiffHead::Text(_), Some(written), _) => page_written(written.as_deref())?,
        (head, _, Some(lists)) => return lists.print(head).await,
        (DiffHead::Text(head), None, None) => output::text(&head)?,
        (DiffHead::Json(head), _, None) => output::json(&head)?,
    }
    Ok(ExitCode::SUCCESS)
}
