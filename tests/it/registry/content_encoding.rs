//! Responses with a `Content-Encoding` although requests ask for none.

use std::io::Write as _;

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::{Fault, Reply};
use crate::support::images::{Family, Image, image, layer, random_blob};

fn held() -> Image {
    let bytes = random_blob(70_000, 7);
    image(Family::Oci, "amd64", &[layer(&[("a", &bytes)])])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn encoded(reply: &Reply) -> Reply {
    let encoded = Reply { body: gzip(&reply.body).into(), ..reply.clone() };
    encoded.without("Content-Length").header("Content-Encoding", "gzip")
}

async fn published() -> (FakeRegistry, String) {
    let registry = FakeRegistry::start().await;
    held().publish(&registry, "app", Some("1"));
    let name = format!("{}:1", registry.repository("app"));
    (registry, name)
}

#[tokio::test]
async fn content_encoding_identity_is_accepted() {
    for value in ["identity", "Identity", " identity , identity", ""] {
        let (registry, name) = published().await;
        for part in ["manifests", "blobs", "tags"] {
            registry.override_response(part, 0..99, move |reply| {
                reply.header("Content-Encoding", value)
            });
        }
        Cli::new().run(&[&name]).await.expect(0, "");
        Cli::new().run(&["tags", name.trim_end_matches(":1")]).await.expect(0, "");
        Cli::new().run(&["manifest", &name]).await.expect(0, "");
    }
}

#[tokio::test]
async fn content_encoding_gzip_of_documents_is_decoded() {
    let (registry, name) = published().await;
    let config = format!("/blobs/{}", held().config.digest());
    for part in ["/manifests/", "/tags/", "/referrers/", &config] {
        let chunked = |reply: Reply| encoded(&reply).fault(Fault::Chunked(100));
        registry.override_response(&format!("GET /v2/app{part}"), 0..1, chunked);
        registry.override_response(&format!("GET /v2/app{part}"), 1..99, |reply| encoded(&reply));
        registry.override_response(&format!("HEAD /v2/app{part}"), 0..99, |reply| encoded(&reply));
    }
    let cli = Cli::new();
    cli.run(&[&name]).await.expect(0, "");
    cli.run(&["verify"]).await.expect(0, "");
    cli.run(&["tags", name.trim_end_matches(":1")]).await.expect(0, "");
    cli.run(&["referrers", &name]).await.expect(0, "");
    let shown = cli.run(&["manifest", &name]).await;
    assert_eq!(shown.stdout.as_bytes(), held().manifest.bytes);
}

#[tokio::test]
async fn content_encoding_gzip_of_layer_keeps_bytes() {
    let (registry, name) = published().await;
    registry.override_response("/blobs/", 0..99, |reply| reply.header("Content-Encoding", "gzip"));
    Cli::new().run(&[&name]).await.expect(0, "");
}

#[tokio::test]
async fn content_encoding_unknown_or_bomb_is_rejected() {
    let bomb = gzip(&vec![b' '; 64 << 20]);
    for (encoding, body, words) in [
        ("br", b"{}".to_vec(), "unexpected `Content-Encoding: br`"),
        ("gzip, gzip", b"{}".to_vec(), "unexpected `Content-Encoding: gzip, gzip`"),
        ("gzip", bomb, "unexpected `Content-Encoding: gzip`"),
        ("gzip", gzip(b"{\"a\"")[..12].to_vec(), "unexpected `Content-Encoding: gzip`"),
    ] {
        let (registry, name) = published().await;
        registry.override_response("/manifests/", 0..99, move |reply| Reply {
            body: body.clone().into(),
            ..reply.without("Content-Length").header("Content-Encoding", encoding)
        });
        let output = Cli::new().run(&["--retries", "0", "manifest", &name]).await;
        output.expect(5, words);
    }
}

#[tokio::test]
async fn content_encoding_gzip_of_error_is_decoded() {
    let (registry, name) = published().await;
    let refused = encoded(&Reply::error(403, "DENIED", "words of the registry"));
    registry.fail_requests("/manifests/", 0..99, refused);
    Cli::new().run(&["manifest", &name]).await.expect(4, "words of the registry");
}
