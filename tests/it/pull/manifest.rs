//! Manifests and indexes that lie, never end, or can be read in two ways.

use bytes::Bytes;
use rpull::digest::Digest;
use rpull::media::MediaType;
use serde_json::{Value, json};

use crate::support::assertions::{assert_nothing_visible, assert_second_run_completes};
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::{Fault, Reply};
use crate::support::images::{Family, Image, image, layer, random_blob};

#[tokio::test]
async fn copy_index_of_missing_manifests_stops_at_request_limit() {
    let from = FakeRegistry::start().await;
    let child = |number: usize| json!({"mediaType": MediaType::OCI_MANIFEST, "digest": format!("sha256:{number:064x}"), "size": 7});
    let children: Vec<Value> = (0..3000).map(child).collect();
    let bytes = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}).to_string();
    from.document("app", Some("1"), INDEX, bytes);
    let output = Cli::new().run(&["copy", &from.repository("app:1"), "oci:out"]).await;
    output.expect(5, "more than 1000 requests");
    assert!(from.server.requests().len() < 1050, "{}", from.server.requests().len());
}

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

async fn published() -> (FakeRegistry, Image, String) {
    let registry = FakeRegistry::start().await;
    let held = image(Family::Oci, "amd64", &[layer(&[("a", &random_blob(9000, 1))])]);
    held.publish(&registry, "app", Some("1"));
    let name = format!("{}:1", registry.repository("app"));
    (registry, held, name)
}

/// Pulls with one changed manifest response, then without it.
async fn twisted(
    code: i32,
    message: &str,
    pinned: bool,
    change: impl Fn(Reply) -> Reply + Send + 'static,
) {
    let (registry, held, name) = published().await;
    registry.override_response("/manifests/", 0..1, change);
    let pin = format!("{}@{}", registry.repository("app"), held.manifest.digest());
    let name = if pinned { pin } else { name };
    let cli = Cli::new();
    cli.run(&[&name]).await.expect(code, message);
    assert_nothing_visible(&cli.store());
    assert_second_run_completes(&cli, &name, held.size()).await;
}

fn body(bytes: impl Into<Bytes>) -> impl Fn(Reply) -> Reply + Send + 'static {
    let bytes = bytes.into();
    move |mut reply| {
        reply.body = bytes.clone();
        reply
    }
}

#[tokio::test]
async fn manifest_digest_mismatch_reports_both_digests() {
    let other = Digest::sha256(b"{}");
    twisted(5, other.as_str(), true, body("{}")).await;
    let lie = format!("sha256:{}", "0".repeat(64));
    let lying = lie.clone();
    let header = move |reply: Reply| {
        reply.without("docker-content-digest").header("Docker-Content-Digest", lying.clone())
    };
    twisted(5, &format!("`Docker-Content-Digest` is {lie}"), false, header).await;
}

#[tokio::test]
async fn digest_header_malformed_is_ignored() {
    for value in ["sha256:xyz", "", "md5:abc"] {
        let (registry, _, name) = published().await;
        registry.override_response("/manifests/", 0..1, move |reply| {
            reply.without("docker-content-digest").header("Docker-Content-Digest", value)
        });
        Cli::new().run(&[&name]).await.expect(0, "");
    }
}

#[tokio::test]
async fn tag_moved_between_head_and_get_pulls_received() {
    let (registry, _, name) = published().await;
    let cli = Cli::new();
    cli.run(&[&name]).await.expect(0, "");
    // The HEAD of the second pull reports a manifest in between.
    registry.override_response("HEAD /v2/app/manifests/1", 0..1, |reply| {
        let between = Digest::sha256(b"in between").to_string();
        reply.without("docker-content-digest").header("Docker-Content-Digest", between)
    });
    let moved = image(Family::Oci, "amd64", &[layer(&[("a", b"moved")])]);
    moved.publish(&registry, "app", Some("1"));
    let report = cli.report(&["--json", &name]).await;
    assert_eq!(report["digest"], json!(moved.manifest.digest()));
}

#[tokio::test]
async fn manifest_over_limit_is_rejected() {
    let long = format!(r#"{{"schemaVersion":2,"x":"{}"}}"#, "x".repeat(5 << 20));
    twisted(5, "larger than", false, body(long.clone())).await;
    twisted(5, "larger than", false, move |mut reply| {
        reply.body = long.clone().into();
        reply.fault(Fault::Chunked(64 << 10))
    })
    .await;
}

#[tokio::test]
async fn manifest_invalid_size_is_rejected() {
    for size in ["-1", "1e3", "\"12\"", "9223372036854775808000", "9223372036854775808", "1.5"] {
        let text = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:{}","size":{size}}},"layers":[]}}"#,
            "a".repeat(64)
        );
        twisted(5, "malformed", false, body(text)).await;
    }
}

#[tokio::test]
async fn manifest_ambiguous_is_rejected() {
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": Digest::sha256(b"{}"), "size": 2});
    let both = json!({"schemaVersion": 2, "config": config, "layers": [], "manifests": []});
    twisted(5, "ambiguous", false, body(both.to_string())).await;
    twisted(5, "duplicate key", false, body(r#"{"schemaVersion":2,"layers":[],"layers":[]}"#))
        .await;
    let schema1 = r#"{"schemaVersion":1,"name":"a","fsLayers":[],"history":[]}"#;
    twisted(1, "schema 1", false, body(schema1)).await;
    twisted(5, "not a registry response", false, |reply| {
        let page = Reply::new(200, "<!DOCTYPE html><title>Log in</title>");
        Reply { headers: reply.headers, ..page }
    })
    .await;
    twisted(5, "unexpected `Content-Encoding: br`", false, |reply| {
        reply.header("Content-Encoding", "br")
    })
    .await;
}

#[tokio::test]
async fn index_nested_too_deep_is_rejected() {
    let registry = FakeRegistry::start().await;
    let mut inner = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []});
    for depth in 0..200 {
        let bytes = inner.to_string();
        let tag = (depth == 199).then_some("1");
        let digest = registry.document("app", tag, INDEX, bytes.clone());
        let platform = json!({"os": "linux", "architecture": "amd64"});
        let entry = json!({"mediaType": INDEX, "digest": digest, "size": bytes.len(), "platform": platform});
        inner = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
    }
    let name = format!("{}:1", registry.repository("app"));
    for options in [&[][..], &["--all-platforms"]] {
        registry.server.forget();
        Cli::new().run(&[options, &[&name]].concat()).await.expect(5, "more than 8 deep");
        assert!(registry.server.requests().len() < 12);
    }
}

#[tokio::test]
async fn manifest_sizes_overflow_is_rejected() {
    let layer = |letter: &str| {
        json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": format!("sha256:{}", letter.repeat(64)), "size": 1_u64 << 53,
        })
    };
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": Digest::sha256(b"{}"), "size": 2});
    let manifest =
        json!({"schemaVersion": 2, "config": config, "layers": [layer("a"), layer("b")]});
    let registry = FakeRegistry::start().await;
    registry.document("app", Some("1"), OCI, manifest.to_string());
    let name = format!("{}:1", registry.repository("app"));
    Cli::new().run(&["--plan", &name]).await.expect(5, "total size is out of range");
}

#[tokio::test]
async fn index_listed_repeatedly_is_fetched_once() {
    let registry = FakeRegistry::start().await;
    let mut inner = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []});
    for depth in 0..7 {
        let bytes = inner.to_string();
        let digest = registry.document("app", (depth == 6).then_some("1"), INDEX, bytes.clone());
        let entry = json!({"mediaType": INDEX, "digest": digest, "size": bytes.len()});
        inner = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": vec![entry; 10]});
    }
    let name = format!("{}:1", registry.repository("app"));
    Cli::new().run(&[&name]).await.expect(3, "available: no images");
    assert_eq!(registry.server.requests().len(), 7);
}

#[tokio::test]
async fn index_without_platforms_is_searched_up_to_limit() {
    let registry = FakeRegistry::start().await;
    let entries: Vec<_> = (0..100)
        .map(|number: u32| {
            let held = image(Family::Oci, "s390x", &[layer(&[("a", &number.to_le_bytes())])]);
            held.publish(&registry, "app", None);
            json!(held.manifest.descriptor)
        })
        .collect();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    registry.document("app", Some("1"), INDEX, index.to_string());
    let name = format!("{}:1", registry.repository("app"));
    let output = Cli::new().run(&["--platform", "linux/amd64", &name]).await;
    output.expect(5, "more than 64 manifests have no platform");
    assert!(registry.server.requests().len() < 140);
}

#[tokio::test]
async fn config_inline_is_used_if_digest_matches() {
    for (data, requests) in [("e30=", 0), ("W10=", 1)] {
        let registry = FakeRegistry::start().await;
        let config = registry.blob("app", "{}");
        let media_type = MediaType::OCI_CONFIG;
        let config = json!({"mediaType": media_type, "digest": config, "size": 2, "data": data});
        let manifest =
            json!({"schemaVersion": 2, "mediaType": OCI, "config": config, "layers": []});
        registry.document("app", Some("1"), OCI, manifest.to_string());
        let name = format!("{}:1", registry.repository("app"));
        let report = Cli::new().report(&["--json", &name]).await;
        assert_eq!(registry.server.count("/blobs/"), requests);
        let row = &report["blobs"][0];
        let from = if requests == 0 { json!("inline") } else { Value::Null };
        assert_eq!((&row["from"], &report["bytes"]["total"]), (&from, &json!(2)));
    }
}
