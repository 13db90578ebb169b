//! `--watch`: mirrors again and again.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{Timestamp, Zoned};

use super::metrics::{self, Metrics};
use super::read;
use super::round::round;
use crate::cli::args::{Mirror, WatchTimes};
use crate::cli::exit;
use crate::cli::listen::listen;
use crate::cli::output::note;
use crate::cli::run::transfer_run::progress;
use crate::cli::settings::Settings;
use crate::cli::{labels, signals};
use crate::control::Control;
use crate::error::{Error, ErrorKind, Result};
use crate::mirror::Cron;

/// How long the clock is not looked at.
const MAX_SLEEP: Duration = Duration::from_secs(30);

/// Mirrors at these times until a signal ends it, which is success between two runs. The file is read again for each run; what is
/// wrong with it ends the command only the first time.
pub(super) async fn watch(
    args: &Mirror,
    times: WatchTimes,
    settings: &Settings,
) -> Result<ExitCode> {
    if args.file.as_deref().is_some_and(|file| file.as_os_str() == "-") {
        return Err(Error::new(ErrorKind::InvalidInput, "`--watch`")
            .with_reason("stdin cannot be read again, expected a file"));
    }
    let cancel = signals::cancelled_by_signals();
    let metrics = Arc::new(Metrics::default());
    let mut serving = None;
    if let Some(address) = &args.metrics {
        let (listener, address) = listen(address).await?;
        note(&format!("metrics on http://{address}/metrics"));
        serving = Some(tokio::spawn(metrics::serve(listener, Arc::clone(&metrics))));
    }
    let mut is_first = true;
    if let WatchTimes::Cron(cron) = times {
        // What is wrong with it is known at once, and not only at the first time.
        read::file(args)?;
        is_first = false;
        if cancel.run_until_cancelled(wait_for(cron, settings)).await.is_none() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let code = loop {
        let started = Instant::now();
        let control =
            Control { cancel: cancel.clone(), progress: progress(&labels::MIRROR, settings) };
        let of_run = settings.with_control(control);
        let round = async { round(args, read::file(args)?, &of_run).await };
        match Box::pin(round).await {
            Ok(round) if cancel.is_cancelled() => break round.code,
            Ok(round) => metrics.add(round.outcome, started.elapsed()),
            Err(error) if is_first || cancel.is_cancelled() => return Err(error),
            Err(error) => {
                exit::report(&error);
                metrics.add(None, started.elapsed());
            }
        }
        is_first = false;
        let wait = async {
            match times {
                WatchTimes::Interval(interval) => {
                    tokio::time::sleep(interval.saturating_sub(started.elapsed())).await;
                }
                WatchTimes::Cron(cron) => wait_for(cron, settings).await,
            }
        };
        if cancel.run_until_cancelled(wait).await.is_none() {
            break ExitCode::SUCCESS;
        }
    };
    if let Some(serving) = serving {
        serving.abort();
    }
    Ok(code)
}

/// Waits for the next of these times, by the clock of the machine, which may be set or suspended meanwhile.
async fn wait_for(cron: Cron, settings: &Settings) {
    let Some(next) = cron.next_after(&Zoned::now()) else { return };
    if !settings.quiet {
        note(&format!("next run at {}", next.strftime("%Y-%m-%dT%H:%M:%S%:z")));
    }
    loop {
        let left = next.timestamp().as_millisecond() - Timestamp::now().as_millisecond();
        let Ok(left @ 1..) = u64::try_from(left) else { return };
        tokio::time::sleep(Duration::from_millis(left).min(MAX_SLEEP)).await;
    }
}
