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
    // Where the bytes are limited, the next run continues with a partial, which a rebuilt layer has not.
    let is_off = mode == DeltaMode::Never || run.has_byte_limit();
    let Some(directory) = destination.directory(settings).filter(|_| !is_off) else {
        return Ok(requests);
    };
    let throttle = run.throttle();
    let Some(layout) = existing_layout(&directory, &settings.control)? else { return Ok(requests) };
    let held = Arc::new(HeldLayers::new(layout, settings.control.clone()));
    let receiving = Receiving {
        retry: settings.retry,
        throttle: throttle.cloned(),
        control: settings.control.clone(),
    };
    let rebuilding = |request: ImageRequest| match delta_use(mode, &*request.source, throttle) {
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
