//! One blob over several connections of a registry.

use std::time::Duration;

use rpull::error::ErrorKind;

use super::Scenario;
use crate::support::http::{Fault, Reply};

/// Slow enough that one connection would take seconds.
pub(super) async fn slow() -> Scenario {
    let scenario = Scenario::new(12 << 20).await;
    scenario.override_response(0..100, |reply| {
        let fault = Fault::Slow(64 << 10, Duration::from_millis(20));
        if reply.fault.is_some() { reply } else { reply.fault(fault) }
    });
    scenario
}

#[tokio::test]
async fn ranges_of_slow_registry_are_requested_concurrently() {
    let scenario = slow().await;
    let finished = scenario.pull().await;
    scenario.assert_arrived(&finished);
    let ranges = scenario.ranges();
    assert_eq!(ranges[0], None, "the first request is as it always was");
    assert!(ranges.len() > 1 && ranges[1..].iter().all(Option::is_some), "{ranges:?}");
    assert!(ranges.len() < 8, "{ranges:?}");
    assert_eq!(finished.report.bytes.transferred, finished.report.bytes.total);
}

#[tokio::test]
async fn ranges_refused_for_good_are_requested_no_more() {
    let scenario = slow().await;
    scenario.override_response(3..1000, |_| Reply::new(403, ""));
    let finished = scenario.pull().await;
    scenario.assert_arrived(&finished);
    // One for each connection, and each once more without a range.
    assert!(scenario.ranges().len() <= 3 + 2 * 16, "{}", scenario.ranges().len());
}

#[tokio::test]
async fn ranges_with_wrong_answer_leave_one_stream() {
    let size = slow().await.size();
    let whole = |scenario: &Scenario| scenario.held.layers[0].bytes.clone();
    let answers: [fn(Reply, bytes::Bytes, u64) -> Reply; 4] = [
        |_, bytes, _| Reply::new(200, bytes),
        |reply, _, size| {
            let reply = reply.without("content-range");
            reply.header("Content-Range", format!("bytes 0-{}/{size}", size - 1))
        },
        |_, _, _| Reply::new(416, ""),
        |_, _, _| Reply::new(500, ""),
    ];
    for answer in answers {
        let scenario = slow().await;
        let bytes = whole(&scenario);
        scenario.override_response(1..100, move |reply| answer(reply, bytes.clone(), size));
        let finished = scenario.pull().await;
        scenario.assert_arrived(&finished);
        assert_eq!(finished.report.bytes.transferred, finished.report.bytes.total);
        assert!(scenario.ranges().len() < 8, "{:?}", scenario.ranges());
    }
}

#[tokio::test]
async fn ranges_reset_or_cut_are_continued() {
    for fault in [Fault::Reset(300_000), Fault::Cut(300_000), Fault::Cut(1)] {
        let scenario = slow().await;
        scenario.override_response(1..3, move |reply| reply.fault(fault.clone()));
        scenario.assert_arrived(&scenario.pull().await);
    }
}

#[tokio::test]
async fn ranges_of_other_bytes_restart_in_one_stream() {
    let scenario = slow().await;
    scenario.override_response(1..2, |mut reply| {
        let mut bytes = reply.body.to_vec();
        bytes[0] ^= 1;
        reply.body = bytes.into();
        reply.header("ETag", "\"other\"")
    });
    let finished = scenario.pull().await;
    scenario.assert_arrived(&finished);
    assert!(finished.report.bytes.resent >= scenario.size());
    assert_eq!(scenario.ranges().last(), Some(&None));

    let scenario = slow().await;
    scenario.override_response(0..100, |mut reply| {
        let mut bytes = reply.body.to_vec();
        bytes[0] ^= 1;
        reply.body = bytes.into();
        reply
    });
    assert_eq!(scenario.pull().await.error.unwrap().kind(), ErrorKind::Mismatch);
}
