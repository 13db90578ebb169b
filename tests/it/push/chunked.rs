//! Uploads in chunks.

use super::resume::{assert_arrived, chunks};
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::Reply;
use crate::support::images::{Family, image, layer, random_blob};
use crate::support::samples::stored;

#[tokio::test]
async fn chunked_upload_honours_min_chunk_size() {
    let (cli, name, to, held) = stored(1_000_000).await;
    let target = to.repository("app:1");
    let size = held.layers[0].descriptor.size;
    cli.run(&["push", "--chunk-size", "400k", &name, &target]).await.expect(0, "");
    let last = format!("800000-{}", size - 1);
    assert_eq!(chunks(&to.server), ["0-399999", "400000-799999", &last]);
    assert_eq!(to.server.count("PATCH"), 2, "the last one goes with the request that ends it");
    assert_arrived(&to, &held);

    let (cli, name, to, held) = stored(1_000_000).await;
    to.override_response("POST", 0..9, |reply| reply.header("OCI-Chunk-Min-Length", "600000"));
    to.override_response("PATCH", 0..9, |reply| reply.header("OCI-Chunk-Min-Length", "600000"));
    let target = to.repository("app:1");
    cli.run(&["push", "--chunk-size", "400k", &name, &target]).await.expect(0, "");
    assert_eq!(chunks(&to.server), ["0-599999", &format!("600000-{}", size - 1)]);
    assert_arrived(&to, &held);
    cli.run(&["push", "--chunk-size", "1k", &name, &target]).await.expect(2, "at least 64k");
}

#[tokio::test]
async fn upload_413_falls_back_to_chunks() {
    let (cli, name, to, held) = stored(17 << 20).await;
    let line = format!("digest=sha256%3A{}", held.layers[0].digest().encoded());
    to.fail_requests(
        &line,
        0..1,
        Reply::new(413, "<html><h1>413 Request Entity Too Large</h1></html>"),
    );
    cli.run(&["push", &name, &to.repository("app:1")]).await.expect(0, "");
    assert_eq!(chunks(&to.server).len(), 2, "of 16 MiB");
    assert_arrived(&to, &held);
}

#[tokio::test]
async fn upload_413_concurrent_bodies_fall_back_to_chunks() {
    let (from, to, cli) = (FakeRegistry::start().await, FakeRegistry::start().await, Cli::new());
    let layers = [5, 6].map(|seed| layer(&[("a", &random_blob(17 << 20, seed))]));
    let held = image(Family::Oci, "amd64", &layers);
    held.publish(&from, "app", Some("1"));
    for piece in &held.layers {
        let line = format!("digest=sha256%3A{}", piece.digest().encoded());
        to.fail_requests(&line, 0..1, Reply::new(413, "too large"));
    }
    cli.run(&["copy", &from.repository("app:1"), &to.repository("app:1")]).await.expect(0, "");
    assert_arrived(&to, &held);
}
