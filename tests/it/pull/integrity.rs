//! Bodies whose length differs from the descriptor, and blobs of unusual sizes.

use rpull::Pull;
use rpull::error::ErrorKind;
use rpull::layout::{Layout, LayoutOptions};

use super::Scenario;
use crate::support::assertions::{assert_digests_are_right, assert_nothing_visible};
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::Fault;
use crate::support::images::{Family, random_blob};

#[tokio::test]
async fn content_length_other_than_descriptor_is_rejected() {
    let size = Scenario::new(5000).await.size();
    for (values, requests) in [
        (vec![(size + 1).to_string()], 1),
        (vec![(size - 1).to_string()], 1),
        (vec![(1_u64 << 30).to_string()], 1),
    ] {
        let scenario = Scenario::new(5000).await;
        scenario.override_response(0..9, move |reply| {
            reply.fault(Fault::ContentLength(values.clone()))
        });
        let error = scenario.pull().await.error.unwrap();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        assert!(error.to_string().contains("size mismatch"), "{error}");
        assert_eq!(scenario.ranges().len(), requests);
        assert_nothing_visible(&scenario.store());
    }
    for values in [vec!["-1"], vec!["abc"], vec!["7", "9"]] {
        let scenario = Scenario::new(5000).await;
        let values: Vec<String> = values.into_iter().map(str::to_owned).collect();
        scenario.override_response(0..9, move |reply| {
            reply.fault(Fault::ContentLength(values.clone()))
        });
        let error = scenario.pull().await.error.unwrap();
        assert_eq!(error.kind(), ErrorKind::Transport, "{error}");
        assert_nothing_visible(&scenario.store());
    }
}

#[tokio::test]
async fn body_longer_than_descriptor_is_aborted() {
    let scenario = Scenario::new(5000).await;
    let endless = vec![0; 8 << 20];
    scenario.override_response(0..9, move |mut reply| {
        reply.body = endless.clone().into();
        reply.fault(Fault::Chunked(16 << 10))
    });
    let finished = scenario.pull().await;
    assert!(finished.error.unwrap().to_string().contains("longer than"));
    assert!(finished.report.bytes.resent < 2 << 20, "{:?}", finished.report.bytes);
    assert_nothing_visible(&scenario.store());
}

#[tokio::test]
async fn blob_of_any_size_is_pulled() {
    let piece = 256 << 10;
    for size in [0, 1, piece - 1, piece, piece + 1, 2 * piece] {
        let registry = FakeRegistry::start().await;
        let config = random_blob(size, 3);
        let held = crate::support::images::raw(Family::Oci, config);
        held.publish(&registry, "app", Some("1"));
        let dir = tempfile::tempdir().unwrap();
        let name = registry.repository("app") + ":1";
        let store = Layout::create(dir.path(), LayoutOptions::default()).unwrap();
        let report = Pull::new(&name).to(store).await.unwrap();
        assert_eq!(report.images[0].report.bytes.transferred, held.size());
        assert_digests_are_right(dir.path());
        let requests = if size == 0 { 1 } else { 2 };
        assert_eq!(registry.server.requests().len(), requests, "of nothing nothing is asked");
    }
}
