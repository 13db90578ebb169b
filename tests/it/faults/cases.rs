//! Single faults of every kind, at every kind of request.

use std::time::Duration;

use rpull::error::ErrorKind;

use super::{Journey, Lab};
use crate::support::http::{Fault, Reply};

/// A name, and what becomes of a reply.
type Case = (&'static str, fn(Reply) -> Reply);

/// Faults that another attempt makes up for.
const PASSING: &[Case] = &[
    ("hang-up", |reply| reply.fault(Fault::HangUp)),
    ("500", |_| Reply::new(500, "")),
    ("503 with a page", |_| Reply::new(503, "<html>").header("Content-Type", "text/html")),
    ("429 with a time", |_| Reply::new(429, "").header("Retry-After", "0")),
    ("429 with a past date", |_| {
        Reply::new(429, "").header("Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT")
    }),
    ("429 with nonsense", |_| Reply::new(429, "").header("Retry-After", "soon")),
    ("408", |_| Reply::new(408, "")),
    ("an early end without a length", |mut reply| {
        reply.body = reply.body.slice(..reply.body.len() / 2);
        reply.fault(Fault::NoLength)
    }),
];

/// Those of a body; the rest of it is fetched.
const PASSING_IN_BODY: &[Case] = &[
    ("cut", |reply| reply.fault(Fault::Cut(100))),
    ("reset", |reply| reply.fault(Fault::Reset(100))),
    ("reset at the start", |reply| reply.fault(Fault::Reset(0))),
    ("unfinished chunks", |reply| reply.fault(Fault::ChunkedUnfinished(70))),
    ("stall", |reply| reply.fault(Fault::Stall(100))),
    ("silence", |reply| reply.fault(Fault::Silence)),
    ("one byte at a time", |reply| reply.fault(Fault::Slow(100, Duration::from_millis(1)))),
];

type Change = fn(Reply) -> Reply;

/// A name, what becomes of a reply, and the error.
const LASTING: &[(&str, Change, ErrorKind)] = &[
    ("other bytes", flipped, ErrorKind::Mismatch),
    ("too long", longer, ErrorKind::Mismatch),
    ("forbidden", |_| Reply::error(403, "DENIED", "no"), ErrorKind::Denied),
    ("gone", |_| Reply::error(404, "BLOB_UNKNOWN", "gone"), ErrorKind::NotFound),
    ("a long wait", |_| Reply::new(429, "").header("Retry-After", "99999"), ErrorKind::Registry),
    ("no HTTP", no_http, ErrorKind::Transport),
    ("a page", |_| Reply::new(200, "<html>login</html>"), ErrorKind::Mismatch),
];

fn flipped(mut reply: Reply) -> Reply {
    let mut bytes = reply.body.to_vec();
    bytes[0] ^= 1;
    reply.body = bytes.into();
    reply
}

fn no_http(reply: Reply) -> Reply {
    reply.fault(Fault::Raw("SSH-2.0-OpenSSH_9.2\r\n".into()))
}

fn longer(mut reply: Reply) -> Reply {
    reply.body = [&reply.body[..], b"x"].concat().into();
    reply
}

/// A lab in which the first reply whose request has this in its line is changed, or all such.
async fn lab(part_of_line: String, change: fn(Reply) -> Reply, is_lasting: bool) -> Lab {
    let mut lab = Lab::new().await;
    lab.idle = Duration::from_secs(1);
    let first = std::sync::atomic::AtomicBool::new(true);
    lab.disturb(move |request, reply| {
        let is_meant = request.line().contains(&part_of_line)
            && (first.swap(false, std::sync::atomic::Ordering::Relaxed) || is_lasting);
        is_meant.then(|| change(reply.clone()))
    });
    lab
}

async fn largest_layer() -> String {
    Lab::new().await.held.layers[0].digest().to_string()
}

#[tokio::test]
async fn passing_fault_of_any_request_does_not_fail_pull() {
    for part_of_line in ["GET /v2/app/manifests/1", "GET /v2/app/blobs/"] {
        for (name, change) in PASSING {
            let lab = lab(part_of_line.to_owned(), *change, false).await;
            let ended = lab.run(Journey::Pull).await;
            assert!(ended.error.is_none(), "{name}: {:?}", ended.error);
            lab.assert_arrived(Journey::Pull);
            assert_eq!(lab.faults(), 1, "{name}");
            assert_eq!(ended.bytes.transferred, lab.held.size(), "{name}");
        }
    }
}

#[tokio::test]
async fn passing_fault_of_body_is_continued() {
    let layer = largest_layer().await;
    for (name, change) in PASSING_IN_BODY {
        for journey in [Journey::Pull, Journey::Copy] {
            let lab = lab(format!("GET /v2/app/blobs/{layer}"), *change, false).await;
            let ended = lab.run(journey).await;
            assert!(ended.error.is_none(), "{name}: {:?}", ended.error);
            lab.assert_arrived(journey);
            assert_eq!(lab.faults(), 1, "{name}");
            assert_eq!(ended.bytes.resent, 0, "{name}");
        }
    }
}

#[tokio::test]
async fn passing_fault_of_any_write_does_not_fail_copy() {
    for part_of_line in ["POST /v2/", "PUT /v2/app/blobs/", "PUT /v2/app/manifests/"] {
        for (name, change) in PASSING {
            let lab = lab(part_of_line.to_owned(), *change, false).await;
            let ended = lab.run(Journey::Copy).await;
            assert!(ended.error.is_none(), "{part_of_line}, {name}: {:?}", ended.error);
            lab.assert_arrived(Journey::Copy);
            assert_eq!(lab.faults(), 1, "{name}");
        }
    }
}

#[tokio::test]
async fn lasting_fault_of_layer_fails_run_until_it_ends() {
    let layer = largest_layer().await;
    for (name, change, kind) in LASTING {
        for journey in [Journey::Pull, Journey::Unpack, Journey::Copy] {
            let lab = lab(format!("GET /v2/app/blobs/{layer}"), *change, true).await;
            let first = lab.run(journey).await;
            let found = first.error.map(|error| error.kind());
            // Wrong bytes are what unpacking fails by first.
            let is_unpacking = journey == Journey::Unpack && found == Some(ErrorKind::Unpack);
            assert!(is_unpacking || found == Some(*kind), "{name} {journey:?}: {found:?}");
            assert_eq!(lab.to.tagged("app", "1"), None, "{name}");
            lab.calm_down();
            let second = lab.run(journey).await;
            assert!(second.error.is_none(), "{name}: {:?}", second.error);
            lab.assert_arrived(journey);
        }
    }
}
