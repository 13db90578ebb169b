//! Mounts that are refused, or confirmed falsely.

use super::Pair;
use crate::support::http::Reply;

#[tokio::test]
async fn mount_refused_falls_back_to_upload() {
    for status in [400, 401, 403, 404, 405, 500, 503] {
        let pair = Pair::new().await;
        // Another repository of the same registry, from which it came.
        pair.image.publish(&pair.to, "team/base", Some("1"));
        pair.to.override_response("POST /v2/team/app/blobs/uploads/?mount=", 0..99, move |_| {
            Reply::new(status, "no")
        });
        let (source, target) =
            (pair.to.repository("team/base:1"), pair.to.repository("team/app:1"));
        let report = pair.cli.json(&["copy", "--json", &source, &target]).await;
        pair.assert_whole();
        assert_eq!(report["bytes"]["transferred"], pair.image.size(), "{status}");
        assert_eq!(pair.to.server.count("?mount="), pair.image.blobs().count(), "one try per blob");
    }
}

#[tokio::test]
async fn mount_falsely_confirmed_blob_is_uploaded() {
    let pair = Pair::new().await;
    pair.arrives(&[]).await;
    let layer = pair.largest().clone();
    pair.to.delete_blob("team/app", &layer);
    // The former manifest still proves it.
    let target = pair.to.repository("team/app:1");
    pair.cli.run(&[&target]).await.expect(3, "blob unknown");
    let again = pair.to.repository("team/app:2");
    pair.cli.run(&["copy", &pair.from.repository("team/app:1"), &again]).await.expect(0, "");
    assert!(pair.to.blob_bytes("team/app", &layer).is_some());

    // A mount that answers 201 for what is not there.
    pair.to.delete_blob("team/app", &layer);
    let lie = format!("?mount=sha256%3A{}", layer.encoded());
    pair.to.override_response(&lie, 0..9, |_| Reply::new(201, ""));
    pair.to.server.forget();
    let third = pair.to.repository("team/app:3");
    let report =
        pair.cli.json(&["copy", "--json", &pair.from.repository("team/app:1"), &third]).await;
    assert!(pair.to.blob_bytes("team/app", &layer).is_some());
    assert_eq!(pair.to.server.count(&lie), 1, "asked once, then not believed");
    let held = pair.image.blobs().find(|blob| *blob.digest() == layer).unwrap();
    assert_eq!(report["bytes"]["transferred"], held.bytes.len());
}
