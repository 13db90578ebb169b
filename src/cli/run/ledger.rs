//! The ledger: appends the receipts of runs, and opens it to be read.

use std::path::Path;

use crate::cli::cutoff::utc_now;
use crate::cli::output::redacted;
use crate::cli::settings::Settings;
use crate::content::Endpoint;
use crate::error::Result;
use crate::layout::ledger::{DamagedLine, Ledger, LedgerBytes, LedgerRecord, UtcTime};
use crate::transfer::{ImageReport, ImageResult, elapsed_ms};

/// Number of damaged lines that are named in warnings.
const MAX_WARNINGS: usize = 5;

/// Environment variable that turns the store's ledger off.
const VARIABLE: &str = "RPULL_LEDGER";

/// Source and target of an image.
type Ends<'a> = (&'a Endpoint, &'a Endpoint);

/// Appends the results of a run: to `--ledger`, else to the ledger of the store if the run used it. Results without a
/// resolved image are left out. A failure is only a warning.
pub(in crate::cli) fn append<'a>(
    command: &str,
    images: impl IntoIterator<Item = (Ends<'a>, &'a ImageResult)>,
    settings: &Settings,
) {
    let images: Vec<_> = images.into_iter().collect();
    let Some(ledger) = ledger_of(images.iter().map(|(ends, _)| *ends), settings) else { return };
    let (time, run) = (utc_now(), format!("{:016x}", fastrand::u64(..)));
    let moved = images.iter().filter(|(_, image)| image.report.summary.digest.is_some());
    let records: Vec<_> =
        moved.map(|(ends, image)| record(command, *ends, image, &time, &run)).collect();
    if let Err(error) = ledger.append(&records) {
        tracing::warn!("the receipt is not in the ledger: {}", error.chain());
    }
}

fn ledger_of<'a>(mut ends: impl Iterator<Item = Ends<'a>>, settings: &Settings) -> Option<Ledger> {
    if let Some(path) = &settings.ledger {
        return Some(Ledger::at(path));
    }
    if is_off() {
        return None;
    }
    let store = settings.store().ok()?;
    let uses_store = ends.any(|(from, to)| is_layout_at(from, &store) || is_layout_at(to, &store));
    uses_store.then(|| Ledger::in_store(&store))
}

fn is_off() -> bool {
    match std::env::var(VARIABLE) {
        Ok(value) if value == "off" => true,
        Ok(value) if !value.is_empty() => {
            tracing::warn!("ignoring {VARIABLE}: invalid value `{value}`, expected off");
            false
        }
        _ => false,
    }
}

fn is_layout_at(endpoint: &Endpoint, store: &Path) -> bool {
    endpoint.dir.as_deref().is_some_and(|dir| {
        dir == store
            || std::fs::canonicalize(dir)
                .is_ok_and(|dir| std::fs::canonicalize(store).is_ok_and(|store| dir == store))
    })
}

fn record(
    command: &str,
    (source, target): Ends<'_>,
    image: &ImageResult,
    time: &UtcTime,
    run: &str,
) -> LedgerRecord {
    let ImageReport { summary, bytes, requests, elapsed, .. } = &image.report;
    let repository = source.address.as_ref().or(target.address.as_ref());
    LedgerRecord {
        time: time.clone(),
        run: run.to_owned(),
        command: command.to_owned(),
        source: redacted(&summary.source),
        target: redacted(&summary.target),
        reference: redacted(&summary.reference),
        repository: repository.cloned(),
        digest: summary.digest.clone(),
        bytes: LedgerBytes {
            total: bytes.total,
            transferred: bytes.transferred,
            resumed: bytes.resumed,
            mounted: bytes.mounted,
            shared: bytes.shared,
            resent: bytes.resent,
            missing: bytes.missing,
            rebuilt: bytes.rebuilt,
            delta_bytes: bytes.delta_bytes,
            delta_wasted: bytes.delta_wasted,
        },
        requests: requests.total(),
        elapsed_ms: elapsed_ms(*elapsed),
        error: image.first_error().map(|error| error.kind().name().to_owned()),
    }
}

/// Returns the ledger of `--ledger`, else that of the store.
pub(in crate::cli) fn open_ledger(settings: &Settings) -> Result<Ledger> {
    Ok(match &settings.ledger {
        Some(path) => Ledger::at(path),
        None => Ledger::in_store(&settings.store()?),
    })
}

/// Warns of lines that cannot be read.
pub(in crate::cli) fn warn_of_damaged(damaged: &[DamagedLine]) {
    for DamagedLine { file, line, reason, .. } in damaged.iter().take(MAX_WARNINGS) {
        tracing::warn!("{}:{line}: {reason}; ignoring the line", file.display());
    }
    if damaged.len() > MAX_WARNINGS {
        tracing::warn!("ignoring {} more damaged lines", damaged.len() - MAX_WARNINGS);
    }
}
