//! Broken downloads: every blob is completed by requesting no more than is missing.

use rpull::error::ErrorKind;

use super::Scenario;
use crate::support::assertions::assert_nothing_visible;
use crate::support::http::{Fault, Reply};

#[tokio::test]
async fn resume_truncated_body_continues_at_offset() {
    let whole = Scenario::new(40).await.size();
    for at in (0..whole).step_by(7) {
        for fault in [Fault::Cut, Fault::Reset, Fault::ChunkedUnfinished] {
            let scenario = Scenario::new(40).await;
            let at = usize::try_from(at).unwrap();
            let fault = fault(at.max(1));
            let unfinished = matches!(fault, Fault::ChunkedUnfinished(_));
            scenario.override_response(0..1, move |reply| reply.fault(fault.clone()));
            let finished = scenario.pull().await;
            scenario.assert_arrived(&finished);
            // All chunks but the last came: there is nothing left to ask for.
            assert_eq!(scenario.ranges().len(), if unfinished { 1 } else { 2 });
            assert_eq!(finished.report.bytes.resent, 0);
        }
    }
}

#[tokio::test]
async fn resume_body_without_length_ends_at_descriptor_size() {
    let scenario = Scenario::new(5000).await;
    scenario.override_response(0..1, |mut reply| {
        reply.body = reply.body.slice(..1000);
        reply.fault(Fault::NoLength)
    });
    scenario.assert_arrived(&scenario.pull().await);
    let end = scenario.size() - 1;
    assert_eq!(scenario.ranges(), [None, Some(format!("bytes=1000-{end}"))]);
}

#[tokio::test]
async fn resume_range_ignored_skips_prefix() {
    let scenario = Scenario::new(5000).await;
    let whole = scenario.held.layers[0].bytes.clone();
    scenario.override_response(0..1, |reply| reply.fault(Fault::Cut(1000)));
    scenario.override_response(1..2, move |_| Reply::new(200, whole.clone()));
    let finished = scenario.pull().await;
    scenario.assert_arrived(&finished);
    assert_eq!(finished.report.bytes.resent, 1000);
    assert_eq!(scenario.ranges().len(), 2);
}

#[tokio::test]
async fn resume_wrong_content_range_restarts_without_range() {
    let size = Scenario::new(5000).await.size();
    let odd = |header: String| {
        move |mut reply: Reply| {
            reply = reply.without("content-range");
            if header.is_empty() { reply } else { reply.header("Content-Range", header.clone()) }
        }
    };
    for header in [
        format!("bytes 999-{}/{size}", size - 1),
        format!("bytes 1000-{}/{}", size - 1, size + 1),
        format!("bytes 1000-{size}/*"),
        "bytes */5000".to_owned(),
        "items 1000-2000/5000".to_owned(),
        String::new(),
    ] {
        let scenario = Scenario::new(5000).await;
        scenario.override_response(0..1, |reply| reply.fault(Fault::Cut(1000)));
        scenario.override_response(1..2, odd(header.clone()));
        let finished = scenario.pull().await;
        scenario.assert_arrived(&finished);
        assert_eq!(scenario.ranges()[2], None, "{header}: without a range the third time");
        assert_eq!(finished.report.bytes.resent, 1000, "{header}");
    }
    for status in [416, 400, 501, 403, 404, 405] {
        let scenario = Scenario::new(5000).await;
        scenario.override_response(0..1, |reply| reply.fault(Fault::Cut(1000)));
        scenario.override_response(1..2, move |_| Reply::new(status, ""));
        scenario.assert_arrived(&scenario.pull().await);
        assert_eq!(scenario.ranges().len(), 3, "{status}");
    }
    let scenario = Scenario::new(5000).await;
    scenario.override_response(0..1, |reply| reply.fault(Fault::Cut(1000)));
    scenario.override_response(1..2, |reply| {
        reply.without("content-type").header("Content-Type", "multipart/byteranges; boundary=x")
    });
    scenario.assert_arrived(&scenario.pull().await);
}

#[tokio::test]
async fn resume_range_with_server_errors_requests_the_whole() {
    let scenario = Scenario::new(5000).await;
    scenario.override_response(0..1, |reply| reply.fault(Fault::Cut(2000)));
    scenario.override_response(1..4, |_| Reply::new(500, ""));
    scenario.assert_arrived(&scenario.pull().await);
    let ranges = scenario.ranges();
    assert_eq!((ranges.len(), &ranges[4]), (5, &None), "{ranges:?}");
    assert!(ranges[1..4].iter().all(Option::is_some), "more often any request fails: {ranges:?}");
}

#[tokio::test]
async fn resume_blob_refused_without_range_too_keeps_range() {
    let scenario = Scenario::new(5000).await;
    scenario.override_response(0..1, |reply| reply.fault(Fault::Cut(2000)));
    scenario.override_response(1..3, |_| Reply::new(403, ""));
    assert_eq!(scenario.pull().await.error.unwrap().kind(), ErrorKind::Denied);
    scenario.assert_arrived(&scenario.pull().await);
    assert!(scenario.ranges()[3].is_some(), "{:?}", scenario.ranges());
}

#[tokio::test]
async fn resume_short_range_requests_the_rest() {
    let scenario = Scenario::new(5000).await;
    scenario.override_response(0..1, |reply| reply.fault(Fault::Cut(1000)));
    let size = scenario.size();
    scenario.override_response(1..2, move |mut reply| {
        reply.body = reply.body.slice(..500);
        let range = format!("bytes 1000-1499/{size}");
        reply.without("content-range").header("Content-Range", range)
    });
    let finished = scenario.pull().await;
    scenario.assert_arrived(&finished);
    assert_eq!(scenario.ranges()[2], Some(format!("bytes=1500-{}", size - 1)));
    assert_eq!(finished.report.bytes.resent, 0);
}

#[tokio::test]
async fn resume_digest_mismatch_restarts_once() {
    let changed = |mut reply: Reply| {
        let mut bytes = reply.body.to_vec();
        bytes[0] ^= 1;
        reply.body = bytes.into();
        reply
    };
    let scenario = Scenario::new(5000).await;
    scenario.override_response(0..1, |reply| reply.fault(Fault::Cut(1000)));
    scenario.override_response(1..2, changed);
    let finished = scenario.pull().await;
    scenario.assert_arrived(&finished);
    assert_eq!(finished.report.bytes.resent, scenario.size());
    assert_eq!(scenario.ranges().len(), 3);

    let scenario = Scenario::new(5000).await;
    scenario.override_response(0..100, changed);
    let finished = scenario.pull().await;
    assert_eq!(finished.error.unwrap().kind(), ErrorKind::Mismatch);
    assert_eq!(scenario.ranges().len(), 1, "the same answer would come again");
    assert_nothing_visible(&scenario.store());
    let left = std::fs::read_dir(scenario.store().join("ingest")).unwrap().count();
    assert_eq!(left, 0, "of wrong bytes nothing is kept");
}
