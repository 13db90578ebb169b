//! Rebuilding layers from deltas, for commands that write to a layout.

use std::sync::Arc;

use super::destination::Destination;
use super::transfer_run::TransferRun;
use crate::cli::args::DeltaMode;
use crate::cli::settings::{Settings, existing_layout};
use crate::content::Source;
use crate::error::Result;
use crate::image_delta::{DeltaRebuilder, DeltaUse, HeldLayers, Receiving};
use crate::transfer::{ImageRequest, Throttle};

/// Bytes per second of a network whose rate is not known.
const USUAL_RATE: u64 = 12_500_000;

/// Lets images be rebuilt from deltas if they go to a layout that exists.
pub(in crate::cli) fn with_deltas(
    requests: Vec<ImageRequest>,
    mode: DeltaMode,
    run: &TransferRun,
    destination: &Destination,
    settings: &Settings,
) -> Result<Vec<ImageRequest>> {
    let warn_if_wanted = |reason: &str| {
        if mode == DeltaMode::Always {
            tracing::warn!("no deltas are used: {reason}");
        }
    };
    if mode == DeltaMode::Never {
        return Ok(requests);
    }
    let Some(directory) = destination.directory(settings) else {
        warn_if_wanted("they need a store or layout with layers of an earlier image as the target");
        return Ok(requests);
    };
    // Where the bytes are limited, the next run continues with a partial, which a rebuilt layer has not.
    let is_limited = run.has_byte_limit();
    if is_limited {
        warn_if_wanted("`--max-bytes` is set");
    }
    let throttle = run.throttle();
    let Some(layout) = existing_layout(&directory, &settings.control)? else { return Ok(requests) };
    let held = Arc::new(HeldLayers::new(layout, settings.control.clone()));
    let receiving = Receiving {
        retry: settings.retry,
        throttle: throttle.cloned(),
        control: settings.control.clone(),
    };
    let use_of = |source: &dyn Source| {
        let is_off = is_limited && !source.endpoint().kind.is_local();
        delta_use(mode, source, throttle).filter(|_| !is_off)
    };
    let rebuilding = |request: ImageRequest| match use_of(&*request.source) {
        Some(when) => {
            let (source, held) = (Arc::clone(&request.source), Arc::clone(&held));
            request.rebuilder(Arc::new(DeltaRebuilder::new(source, held, when, receiving.clone())))
        }
        None => request,
    };
    Ok(requests.into_iter().map(rebuilding).collect())
}

/// `None` where deltas are never faster: no request is spent on looking for them.
fn delta_use(
    mode: DeltaMode,
    source: &dyn Source,
    throttle: Option<&Throttle>,
) -> Option<DeltaUse> {
    let endpoint = source.endpoint();
    let rate = match (endpoint.is_loopback, throttle) {
        (_, Some(throttle)) => Some(throttle.bytes_per_second()),
        (true, None) => None,
        (false, None) => Some(USUAL_RATE),
    };
    match (mode, rate) {
        (DeltaMode::Never, _) => None,
        (DeltaMode::Always, _) => Some(DeltaUse::IfSmaller),
        // An archive has either the layer or the delta.
        (DeltaMode::Auto, _) if endpoint.kind.is_local() => Some(DeltaUse::IfSmaller),
        (DeltaMode::Auto, rate) => rate.map(|rate| DeltaUse::IfFaster { rate }),
    }
}
