//! HTTP/2: which requests share a connection, and what the protocol may do to them.

use h2::Reason;

use crate::support::certs::Certs;
use crate::support::cli::{Cli, Output};
use crate::support::fake_registry::FakeRegistry;
use crate::support::http2::{Faults, Http2Server, Seen};
use crate::support::images::{Family, Image, image, layer, random_blob};

/// An image of six small layers, and perhaps one of 300 kB.
fn sample(has_large: bool) -> Image {
    let mut layers: Vec<_> =
        (0..6).map(|seed| layer(&[("small", &random_blob(5_000, seed))])).collect();
    if has_large {
        layers.push(layer(&[("large", &random_blob(300_000, 7))]));
    }
    image(Family::Oci, "amd64", &layers)
}

/// Pulls the image through a server with these faults.
async fn pull(held: &Image, faults: Faults) -> (Output, Seen) {
    let (certs, registry) = (Certs::new(), FakeRegistry::start().await);
    held.publish(&registry, "app", Some("1"));
    let server = Http2Server::start(&certs, &registry, faults).await;
    let ca = certs.cert(Certs::CA);
    let name = format!("{}/app:1", server.host());
    let output = Cli::new().run(&["-v", "--ca-file", ca.to_str().unwrap(), &name]).await;
    (output, server.seen())
}

fn http2_connections(seen: &Seen) -> usize {
    seen.connections.iter().filter(|is_http2| **is_http2).count()
}

#[tokio::test]
async fn http2_carries_manifest_and_small_blobs_on_one_connection() {
    let (output, seen) = pull(&sample(false), Faults::default()).await;
    output.expect(0, "");
    assert_eq!(seen.connections, [true]);
    assert_eq!(seen.streams.len(), 8, "{:?}", seen.streams);
}

#[tokio::test]
async fn http2_leaves_large_blob_to_a_connection_of_its_own() {
    let held = sample(true);
    let (output, seen) = pull(&held, Faults::default()).await;
    output.expect(0, "");
    assert_eq!((http2_connections(&seen), seen.streams.len()), (1, 8), "{seen:?}");
    assert!(seen.connections.len() > 1);
    let large = held.layers[6].digest().to_string();
    assert!(!seen.streams.iter().any(|line| line.ends_with(&large)), "{seen:?}");
}

#[tokio::test]
async fn http2_is_not_needed() {
    let faults = Faults { no_http2: true, ..Faults::default() };
    let (output, seen) = pull(&sample(true), faults).await;
    output.expect(0, "");
    assert_eq!(http2_connections(&seen), 0);
}

#[tokio::test]
async fn http2_unprocessed_request_is_sent_again_at_once() {
    let refused = Some(Reason::REFUSED_STREAM);
    for faults in [
        Faults { goaways: 1, ..Faults::default() },
        Faults { resets: 3, reset_reason: refused, ..Faults::default() },
    ] {
        let (output, seen) = pull(&sample(false), faults.clone()).await;
        output.expect(0, "");
        assert!(!output.stderr.contains("retrying"), "{faults:?}: {}", output.stderr);
        assert!(seen.connections.contains(&false), "{faults:?}: {seen:?}");
    }
}

#[tokio::test]
async fn http2_failing_is_given_up_for_the_host() {
    let reset_reason = Some(Reason::INTERNAL_ERROR);
    let faults = Faults { resets: usize::MAX, reset_reason, ..Faults::default() };
    let (output, seen) = pull(&sample(false), faults).await;
    output.expect(0, "");
    assert_eq!(seen.streams, Vec::<String>::new());
    assert!(seen.connections.contains(&false), "{seen:?}");
}

#[tokio::test]
async fn http2_body_cut_off_is_continued() {
    let faults = Faults { broken_bodies: 3, ..Faults::default() };
    let (output, _) = pull(&sample(false), faults).await;
    output.expect(0, "");
}

#[tokio::test]
async fn http2_with_one_stream_and_tiny_window_pulls_and_pushes() {
    let faults = Faults { max_streams: Some(1), window: Some(1024), ..Faults::default() };
    let (output, seen) = pull(&sample(true), faults.clone()).await;
    output.expect(0, "");
    assert_eq!(http2_connections(&seen), 1);

    let (certs, from, to) =
        (Certs::new(), FakeRegistry::start().await, FakeRegistry::start().await);
    let held = image(Family::Oci, "amd64", &[layer(&[("a", &random_blob(100_000, 1))])]);
    held.publish(&from, "app", Some("1"));
    let server = Http2Server::start(&certs, &to, faults).await;
    let (source, target) = (from.repository("app:1"), format!("{}/app:1", server.host()));
    let ca = certs.cert(Certs::CA);
    let cli = Cli::new();
    cli.run(&["copy", "--dest-ca-file", ca.to_str().unwrap(), &source, &target])
        .await
        .expect(0, "");
    assert_eq!(to.blob_bytes("app", held.layers[0].digest()), Some(held.layers[0].bytes.clone()));
    assert!(
        server.seen().streams.iter().any(|line| line.starts_with("PUT")),
        "{:?}",
        server.seen()
    );
}
