//! `verify`: hashes the local store again.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::store::Word;
use crate::cli::args::Verify;
use crate::cli::meter::Meter;
use crate::cli::output;
use crate::cli::settings::{Settings, not_in_store};
use crate::cli::signals;
use crate::cli::size::{plural, size};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Layout, VerifyReport};

pub(in crate::cli) async fn run(args: Verify, settings: &Settings) -> Result<ExitCode> {
    let words = args.images.iter().map(|text| Word::parse(text)).collect::<Result<Vec<_>>>()?;
    let names = words.iter().map(|word| word.a_name(settings)).collect::<Result<Vec<_>>>()?;
    let report = match (settings.existing_store()?, names.first()) {
        (Some(store), _) => hash(store, names, settings).await?,
        (None, Some(name)) => {
            return Err(not_in_store(name));
        }
        (None, None) => VerifyReport::default(),
    };
    tell(&report, settings)?;
    if report.bad.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let why = plural(report.bad.len() as u64, "damaged or missing blob");
    Err(Error::new(ErrorKind::Mismatch, "store")
        .at(settings.store()?.display().to_string())
        .because(why))
}

async fn hash(store: Arc<Layout>, names: Vec<String>, settings: &Settings) -> Result<VerifyReport> {
    let cancel = signals::cancelled_by_signals();
    let meter = Meter::new(settings.show, "verifying", store.verify_size(&names)?);
    let done = AtomicU64::new(0);
    let work = move || {
        store.verify(&names, &|bytes| {
            meter.set(done.fetch_add(bytes, Ordering::Relaxed) + bytes);
            !cancel.is_cancelled()
        })
    };
    let finished = tokio::task::spawn_blocking(work).await;
    finished.unwrap_or_else(|error| Err(Error::new(ErrorKind::Store, "verify").caused_by(error)))
}

fn tell(report: &VerifyReport, settings: &Settings) -> Result<()> {
    if settings.json {
        return output::json(report);
    }
    for bad in &report.bad {
        let images =
            if bad.images.is_empty() { "no image".to_owned() } else { bad.images.join(", ") };
        output::line(&crate::escape(&format!("{}: {} (needed by {images})", bad.digest, bad.why)))?;
    }
    output::line(&format!(
        "{}, {}, {} bad",
        plural(report.blobs, "blob"),
        size(report.bytes),
        report.bad.len()
    ))
}
