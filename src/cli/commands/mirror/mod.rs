//! `mirror`: keeps registries, layouts and archives in step with a file.
//!
//! ```text
//! watch    one round after the other; `metrics` serves them to Prometheus
//! round    one run
//! read     the file, or lines of stdin
//! images   which images go where: opens sources and targets
//!   sources  which images there are: lists tags and names; `created` looks at their age
//!   ends     opens each registry, layout and archive once
//! compare  which images have not changed, by one HEAD at each end (`source_digests`)
//!   state    what earlier runs have copied
//! delete   tags that are no longer selected
//! deltas   deltas between consecutive tags (`pairs`), beside their images
//! report   names, JSON and summary; `plan` instead of a run
//! ```

mod compare;
mod created;
mod delete;
mod deltas;
mod ends;
mod image;
mod images;
mod metrics;
mod pairs;
mod plan;
mod read;
mod report;
mod round;
mod source_digests;
mod sources;
mod state;
mod watch;

use std::process::ExitCode;

use crate::cli::args::Mirror;
use crate::cli::run::transfer_run::interruptible;
use crate::cli::settings::Settings;
use crate::cli::{labels, output};
use crate::error::Result;
use crate::mirror::SCHEMA;

pub(in crate::cli) async fn run(args: Mirror, settings: &Settings) -> Result<ExitCode> {
    if args.schema {
        return output::raw(SCHEMA.as_bytes()).map(|()| ExitCode::SUCCESS);
    }
    if let Some(times) = args.watch {
        return Box::pin(watch::watch(&args, times, settings)).await;
    }
    let file = read::file(&args)?;
    let settings = interruptible(&labels::MIRROR, settings);
    Ok(Box::pin(round::round(&args, file, &settings)).await?.code)
}
