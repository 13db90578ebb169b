//! `diff`: what two images share, how they differ, and what a pull of one costs a host that has the other.

mod compared;
mod files;
mod page;
mod text;

use std::process::ExitCode;

use self::compared::{ComparedImage, ImageDiff};
use self::files::DiffHead;
use self::page::DiffPage;
use crate::cli::args::Diff;
use crate::cli::image::open::check_creds_of;
use crate::cli::output;
use crate::cli::page::output::{PageOutput, page_written};
use crate::cli::path_filter::PathFilter;
use crate::cli::run::report::json_of;
use crate::cli::settings::Settings;
use crate::cli::signals::cancelled_by_signals;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};

pub(in crate::cli) async fn run(args: Diff, settings: &Settings) -> Result<ExitCode> {
    check_creds_of([&args.a, &args.b], settings)?;
    let output = args.output.as_deref().map(|path| PageOutput::open(Some(path), settings));
    let output = output.transpose()?;
    let platform = args.platform.platform.as_deref();
    let filter = PathFilter::parse(&args.paths)?;
    let mut a = ComparedImage::open(&args.a, platform, args.files, settings).await?;
    let mut b = ComparedImage::open(&args.b, platform, args.files, settings).await?;
    let unreadable = [&mut a, &mut b].into_iter().find_map(|image| image.unreadable.take());
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
        let read = match unreadable {
            Some(error) => Err(error),
            None => Box::pin(files::read(images, filter, settings)).await,
        };
        match read {
            Ok(found) => lists = Some(found),
            Err(error) if page.is_none() && is_unavailable(&error) => {
                return Err(layers_only(head, &error)?);
            }
            Err(error) => return Err(error),
        }
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

/// Whether a layer is missing, or its registry does not give it.
fn is_unavailable(error: &Error) -> bool {
    use ErrorKind::{Denied, NotFound, Registry, Transport};
    matches!(error.kind(), Denied | NotFound | Registry | Transport)
        || error.detail() == Some(ErrorDetail::DamagedBlob)
}

/// Prints what is known without the layers, and returns the error to report.
fn layers_only(head: DiffHead, error: &Error) -> Result<Error> {
    let reason = format!("{}; only the layers are compared", error.chain());
    let failed = Error::new(error.kind(), "compare files").with_reason(reason).with_data_of(error);
    match head {
        DiffHead::Text(head) => output::text(&head)?,
        DiffHead::Json(head) => output::json(&json_of(&head, Some(&failed))?)?,
    }
    Ok(failed)
}
