//! Every request may fail in a random way. `RPULL_SEEDS` sets the number of runs of each test.

use std::io::Write as _;
use std::sync::Mutex;

use super::{Journey, Lab};
use crate::support::http::{Fault, Reply, Request};

/// Share of the requests that fail.
const PROBABILITY: f64 = 0.3;

/// 200 by default, over all tests.
fn seeds() -> u64 {
    std::env::var("RPULL_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(40)
}

/// Says which run failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(writeln!(std::io::stderr(), "seed {}", self.0));
        }
    }
}

/// A reply that another attempt makes up for.
fn mishap(random: &mut fastrand::Rng, request: &Request, reply: &Reply) -> Option<Reply> {
    if random.f64() >= PROBABILITY {
        return None;
    }
    let length = reply.body.len();
    let has_body = request.method == "GET" && length > 0;
    let faulty = |fault| Some(reply.clone().fault(fault));
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

async fn disturbed_lab(seed: u64) -> Lab {
    let lab = Lab::new().await;
    let random = Mutex::new(fastrand::Rng::with_seed(seed));
    lab.disturb(move |request, reply| mishap(&mut random.lock().unwrap(), request, reply));
    lab
}

/// Runs that must succeed in spite of the faults, and then find everything there.
async fn survive(journey: Journey) {
    for seed in 0..seeds() {
        let _shown = Seed(seed);
        let lab = disturbed_lab(seed).await;
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
            Journey::Unpack => continue,
            // Two for the token; the manifest, and four blobs. A fault costs no more than another attempt.
            Journey::Pull => assert!(ended.requests <= 7 + faults, "{} {faults}", ended.requests),
            _ => {}
        }
        let second = lab.run(journey).await;
        assert!(second.error.is_none(), "{:?}", second.error);
        assert_eq!(second.bytes.transferred, 0, "all of it is there");
    }
}

#[tokio::test]
async fn random_faults_do_not_fail_pull() {
    survive(Journey::Pull).await;
}

#[tokio::test]
async fn random_faults_do_not_fail_unpack() {
    survive(Journey::Unpack).await;
}

#[tokio::test]
async fn random_faults_do_not_fail_push() {
    survive(Journey::Push).await;
}

#[tokio::test]
async fn random_faults_do_not_fail_copy() {
    survive(Journey::Copy).await;
}

/// Runs that may fail, since nothing is tried again; the next one gets what is missing.
#[tokio::test]
async fn random_faults_without_retries_leave_rest_to_next_pull() {
    let mut failed = 0;
    for seed in 0..seeds() {
        let _shown = Seed(seed);
        let mut lab = disturbed_lab(seed).await;
        lab.attempts = 1;
        let first = lab.run(Journey::Pull).await;
        failed += u64::from(first.error.is_some());
        lab.calm_down();
        let second = lab.run(Journey::Pull).await;
        assert!(second.error.is_none(), "{:?}", second.error);
        lab.assert_arrived(Journey::Pull);
        let moved = first.bytes.transferred + second.bytes.transferred;
        assert_eq!(moved, lab.held.size(), "nothing is fetched twice");
    }
    assert!(failed > 0, "a fault without a retry is an error");
}
