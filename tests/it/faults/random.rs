//! Every request may fail in a random way.

use std::sync::Mutex;
use std::time::Duration;

use super::seeds::each_seed;
use super::{Journey, Lab};
use crate::support::http::{Fault, Reply, Request};

/// Share of the requests that fail.
const PROBABILITY: f64 = 0.3;

/// How long a stalled connection is waited for.
const IDLE: Duration = Duration::from_millis(400);

/// What may happen to a reply beside errors and broken bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stalls {
    None,
    /// The server reads a request and does not answer it.
    BeforeBody,
    /// Or it stops within the body.
    Anywhere,
}

impl Stalls {
    /// Every fourth run has stalls, since they cost time.
    fn of(seed: u64, journey: Journey) -> Self {
        match journey {
            _ if seed % 4 < 3 => Self::None,
            // Unpacking waits for a body as long as it always does: 30 s.
            Journey::Unpack => Self::BeforeBody,
            _ => Self::Anywhere,
        }
    }
}

/// A reply that another attempt makes up for.
pub(super) fn mishap(
    random: &mut fastrand::Rng,
    stalls: Stalls,
    request: &Request,
    reply: &Reply,
) -> Option<Reply> {
    if random.f64() >= PROBABILITY {
        return None;
    }
    let length = reply.body.len();
    let has_body = request.method == "GET" && length > 0;
    let faulty = |fault| Some(reply.clone().fault(fault));
    if stalls != Stalls::None && random.u8(..5) == 0 {
        let in_body = has_body && stalls == Stalls::Anywhere && random.bool();
        return faulty(if in_body { Fault::Stall(random.usize(..length)) } else { Fault::Silence });
    }
    match random.u8(..if has_body { 8 } else { 4 }) {
        0 => faulty(Fault::HangUp),
        1 => Some(Reply::error(503, "UNAVAILABLE", "the database is away")),
        2 => {
            let busy = Reply::error(429, "TOOMANYREQUESTS", "slow down");
            Some(busy.header("Retry-After", "0"))
        }
        3 => Some(Reply::new(502, "<html>bad gateway</html>").header("Content-Type", "text/html")),
        4 => faulty(Fault::Cut(random.usize(..length))),
        5 => faulty(Fault::Reset(random.usize(..length))),
        6 => faulty(Fault::ChunkedUnfinished(random.usize(1..=length))),
        _ => faulty(Fault::NoLength).map(|mut cut| {
            cut.body = cut.body.slice(..random.usize(..length));
            cut
        }),
    }
}

async fn disturbed_lab(seed: u64, stalls: Stalls) -> Lab {
    let mut lab = Lab::new().await;
    if stalls != Stalls::None {
        lab.idle = IDLE;
    }
    let random = Mutex::new(fastrand::Rng::with_seed(seed));
    lab.disturb(move |request, reply| mishap(&mut random.lock().unwrap(), stalls, request, reply));
    lab
}

/// A run that must succeed in spite of the faults, and then find everything there.
async fn survive(journey: Journey, seed: u64) {
    let stalls = Stalls::of(seed, journey);
    let lab = disturbed_lab(seed, stalls).await;
    if journey == Journey::Push {
        lab.calm_down();
        lab.run(Journey::Pull).await;
        lab.disturb_again();
    }
    let ended = lab.run(journey).await;
    assert!(ended.error.is_none(), "{:?}", ended.error);
    lab.assert_arrived(journey);
    let faults = lab.faults();
    lab.calm_down();
    match journey {
        Journey::Unpack => return,
        // Two for the token; the manifest, and four blobs. A fault costs no more than another attempt; a stall is told by
        // the clock, so that a busy machine may see more of them.
        Journey::Pull if stalls == Stalls::None => {
            assert!(ended.requests <= 7 + faults, "{} {faults}", ended.requests);
        }
        _ => {}
    }
    let second = lab.run(journey).await;
    assert!(second.error.is_none(), "{:?}", second.error);
    assert_eq!(second.bytes.transferred, 0, "all of it is there");
}

#[tokio::test]
async fn random_faults_do_not_fail_pull() {
    each_seed(|seed| Box::pin(survive(Journey::Pull, seed))).await;
}

#[tokio::test]
async fn random_faults_do_not_fail_unpack() {
    each_seed(|seed| Box::pin(survive(Journey::Unpack, seed))).await;
}

#[tokio::test]
async fn random_faults_do_not_fail_push() {
    each_seed(|seed| Box::pin(survive(Journey::Push, seed))).await;
}

#[tokio::test]
async fn random_faults_do_not_fail_copy() {
    each_seed(|seed| Box::pin(survive(Journey::Copy, seed))).await;
}

/// A run that may fail, since nothing is tried again; the next one gets what is missing. Returns whether it failed.
async fn fail_once(seed: u64) -> bool {
    let mut lab = disturbed_lab(seed, Stalls::None).await;
    lab.attempts = 1;
    let first = lab.run(Journey::Pull).await;
    lab.calm_down();
    let second = lab.run(Journey::Pull).await;
    assert!(second.error.is_none(), "{:?}", second.error);
    lab.assert_arrived(Journey::Pull);
    let moved = first.bytes.transferred + second.bytes.transferred;
    assert_eq!(moved, lab.held.size(), "nothing is fetched twice");
    first.error.is_some()
}

#[tokio::test]
async fn random_faults_without_retries_leave_rest_to_next_pull() {
    let failed = each_seed(|seed| Box::pin(fail_once(seed))).await;
    assert!(failed.contains(&true), "a fault without a retry is an error");
}
