//! Partials of a blob for which two manifests give different sizes.

use bytes::Bytes;
use rpull::content::{BlobPresence, BlobWriter, Effort, Lookup as _};
use rpull::descriptor::Descriptor;
use rpull::layout::{Layout, LayoutOptions};
use rpull::media::MediaType;
use rpull::verifier::verify;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::cli::Cli;
use crate::support::http::Fault;
use crate::support::images::random_blob;
use crate::support::samples::published;
use crate::support::writing;

async fn open(layout: &Layout, blob: &Descriptor) -> Box<dyn BlobWriter> {
    writing::open(&*writing::begin(layout).await, blob).await
}

#[tokio::test]
async fn resume_wrong_size_leaves_partial_of_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::create(&folder.path().join("s"), LayoutOptions::default()).unwrap();
    let bytes = Bytes::from(random_blob(1000, 1));
    let right = Descriptor::for_bytes(MediaType::from("x/y"), &bytes);
    let wrong = Descriptor::new(MediaType::from("x/y"), right.digest.clone(), 5);
    open(&layout, &right).await.write(bytes.slice(..600)).await.unwrap();

    assert_eq!(layout.blob(&wrong, Effort::Local).await.unwrap(), BlobPresence::Absent);
    let mut impostor = open(&layout, &wrong).await;
    assert_eq!(impostor.offset(), 0);
    impostor.write(bytes.slice(..5)).await.unwrap();
    // While the wrong one is still open.
    let mut writer = open(&layout, &right).await;
    assert_eq!(writer.offset(), 600);
    writer.write(bytes.slice(600..)).await.unwrap();
    writer.commit(verify(&right, &bytes).unwrap()).await.unwrap();
    assert_eq!(layout.blob(&right, Effort::Local).await.unwrap(), BlobPresence::Complete);
}

#[tokio::test]
async fn partial_longer_than_blob_is_removed_by_commit() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::create(&folder.path().join("s"), LayoutOptions::default()).unwrap();
    let blob = Descriptor::for_bytes(MediaType::from("x/y"), b"right");
    let writer = layout.root().join("ingest");
    let partial = writer.join(format!("sha256-{}", blob.digest.encoded()));
    std::fs::write(partial, "much too long").unwrap();
    let mut own = open(&layout, &blob).await;
    own.write(Bytes::from_static(b"ri")).await.unwrap();
    drop(own);
    let mut own = open(&layout, &blob).await;
    assert_eq!(own.offset(), 2, "it is continued as any other");
    own.write(Bytes::from_static(b"ght")).await.unwrap();
    own.commit(verify(&blob, b"right").unwrap()).await.unwrap();
    assert_eq!(std::fs::read_dir(writer).unwrap().count(), 0);
}

#[tokio::test]
async fn resume_after_manifest_with_wrong_size_keeps_partial() {
    let (registry, [held, _], name) = published().await;
    let base = &held.layers[0];
    let mut manifest: Value = serde_json::from_slice(&held.manifest.bytes).unwrap();
    for (tag, size) in [("small", 5), ("large", base.descriptor.size * 2)] {
        manifest["layers"][0]["size"] = size.into();
        let media_type = held.manifest.descriptor.media_type.as_str();
        registry.document("team/app", Some(tag), media_type, manifest.to_string());
    }
    let cli = Cli::new();
    registry
        .override_response(base.digest().as_str(), 0..1, |reply| reply.fault(Fault::Stall(10_000)));
    let pull = cli.spawn(&[&format!("{name}:1")]);
    pull.wait_for_partials(1, 10_000).await;
    pull.signal(Signal::KILL);
    pull.wait().await;
    for tag in ["small", "large"] {
        cli.run(&["--retries", "0", &format!("{name}:{tag}")]).await.expect(5, "size mismatch");
    }
    let report = cli.report(&["--json", &format!("{name}:1")]).await;
    assert!(report["bytes"]["resumed"].as_u64().unwrap() >= 10_000, "{}", report["bytes"]);
}
