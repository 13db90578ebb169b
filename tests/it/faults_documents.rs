//! Manifests, indexes and tags that lie, never end, or mean two things.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rpull::digest::Digest;
use rpull::media::MediaType;
use serde_json::{Value, json};

use crate::support::assertions::{assert_nothing_visible, assert_second_run_completes};
use crate::support::cli::Cli;
use crate::support::http::{Fault, Reply, Server};
use crate::support::images::{Family, Image, image, layer, random_blob};
use crate::support::registry::Registry;

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

async fn published() -> (Registry, Image, String) {
    let registry = Registry::start().await;
    let held = image(Family::Oci, "amd64", &[layer(&[("a", &random_blob(9000, 1))])]);
    held.publish(&registry, "app", Some("1"));
    let name = format!("{}:1", registry.repository("app"));
    (registry, held, name)
}

/// Pulls through one twisted answer to manifest requests, then without it.
async fn twisted(
    code: i32,
    message: &str,
    pinned: bool,
    change: impl Fn(Reply) -> Reply + Send + 'static,
) {
    let (registry, held, name) = published().await;
    registry.twist("/manifests/", 0..1, change);
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
async fn bytes_that_are_not_those_of_the_digest_are_refused_with_both_digests() {
    let other = Digest::sha256(b"{}");
    twisted(5, other.as_str(), true, body("{}")).await;
    let lie = format!("sha256:{}", "0".repeat(64));
    let lying = lie.clone();
    let header = move |reply: Reply| {
        reply.without("docker-content-digest").header("Docker-Content-Digest", lying.clone())
    };
    twisted(5, &format!("announces {lie}"), false, header).await;
}

#[tokio::test]
async fn a_digest_header_that_is_nonsense_says_nothing() {
    for value in ["sha256:xyz", "", "md5:abc"] {
        let (registry, _, name) = published().await;
        registry.twist("/manifests/", 0..1, move |reply| {
            reply.without("docker-content-digest").header("Docker-Content-Digest", value)
        });
        Cli::new().run(&[&name]).await.expect(0, "");
    }
}

#[tokio::test]
async fn a_tag_that_moves_between_head_and_get_gives_what_was_got() {
    let (registry, _, name) = published().await;
    let cli = Cli::new();
    cli.run(&[&name]).await.expect(0, "");
    // The HEAD of the second pull still tells of something in between.
    registry.twist("HEAD /v2/app/manifests/1", 0..1, |reply| {
        let between = Digest::sha256(b"in between").to_string();
        reply.without("docker-content-digest").header("Docker-Content-Digest", between)
    });
    let moved = image(Family::Oci, "amd64", &[layer(&[("a", b"moved")])]);
    moved.publish(&registry, "app", Some("1"));
    let report = cli.json(&["--json", &name]).await;
    assert_eq!(report["digest"], json!(moved.manifest.digest()));
}

#[tokio::test]
async fn documents_have_a_limit() {
    let long = format!(r#"{{"schemaVersion":2,"x":"{}"}}"#, "x".repeat(5 << 20));
    twisted(5, "larger than", false, body(long.clone())).await;
    twisted(5, "larger than", false, move |mut reply| {
        reply.body = long.clone().into();
        reply.fault(Fault::Chunked(64 << 10))
    })
    .await;
}

#[tokio::test]
async fn answers_that_never_end_are_left() {
    // The manifest, the token, and the words of an error.
    for (status, header) in [
        (200, ("Content-Type", OCI.to_owned())),
        (400, ("Content-Type", "text/plain".to_owned())),
        (401, ("WWW-Authenticate", "Bearer realm=\"http://HOST/token\"".to_owned())),
    ] {
        let zeros = Bytes::from(vec![b'0'; 64 << 20]);
        let server = Server::start(move |request| {
            let endless = Reply::new(200, zeros.clone()).fault(Fault::Chunked(64 << 10));
            if request.path == "/token" {
                return endless;
            }
            let value = header.1.replace("HOST", request.header("host").unwrap());
            Reply { status, ..endless }.header(header.0, value)
        })
        .await;
        let began = Instant::now();
        let output = Cli::new().run(&["--retries", "0", &format!("{}/a:1", server.host())]).await;
        assert!(matches!(output.code(), Some(4..=6)), "{}", output.stderr);
        assert!(output.stderr.len() < 2000 && began.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn sizes_that_no_blob_has_are_refused() {
    for size in ["-1", "1e3", "\"12\"", "9223372036854775808000", "9223372036854775808", "1.5"] {
        let text = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:{}","size":{size}}},"layers":[]}}"#,
            "a".repeat(64)
        );
        twisted(5, "malformed", false, body(text)).await;
    }
}

#[tokio::test]
async fn what_two_clients_could_read_in_two_ways_is_refused() {
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": Digest::sha256(b"{}"), "size": 2});
    let both = json!({"schemaVersion": 2, "config": config, "layers": [], "manifests": []});
    twisted(5, "ambiguous", false, body(both.to_string())).await;
    twisted(5, "duplicate key", false, body(r#"{"schemaVersion":2,"layers":[],"layers":[]}"#))
        .await;
    let schema1 = r#"{"schemaVersion":1,"name":"a","fsLayers":[],"history":[]}"#;
    twisted(1, "schema 1", false, body(schema1)).await;
    twisted(5, "not a registry answer", false, |reply| {
        let page = Reply::new(200, "<!DOCTYPE html><title>Log in</title>");
        Reply { headers: reply.headers, ..page }
    })
    .await;
    twisted(5, "is encoded as br although identity", false, |reply| {
        reply.header("Content-Encoding", "br")
    })
    .await;
}

#[tokio::test]
async fn indexes_that_nest_without_end_are_left() {
    let registry = Registry::start().await;
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
async fn sizes_that_overflow_together_are_refused() {
    let layer = |letter: &str| {
        json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": format!("sha256:{}", letter.repeat(64)), "size": 1_u64 << 53,
        })
    };
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": Digest::sha256(b"{}"), "size": 2});
    let manifest =
        json!({"schemaVersion": 2, "config": config, "layers": [layer("a"), layer("b")]});
    let registry = Registry::start().await;
    registry.document("app", Some("1"), OCI, manifest.to_string());
    let name = format!("{}:1", registry.repository("app"));
    Cli::new().run(&["--plan", &name]).await.expect(5, "its sizes cannot be true");
}

#[tokio::test]
async fn indexes_that_name_the_next_one_many_times_are_looked_into_once() {
    let registry = Registry::start().await;
    let mut inner = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []});
    for depth in 0..7 {
        let bytes = inner.to_string();
        let digest = registry.document("app", (depth == 6).then_some("1"), INDEX, bytes.clone());
        let entry = json!({"mediaType": INDEX, "digest": digest, "size": bytes.len()});
        inner = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": vec![entry; 10]});
    }
    let name = format!("{}:1", registry.repository("app"));
    Cli::new().run(&[&name]).await.expect(3, "nothing that runs");
    assert_eq!(registry.server.requests().len(), 7);
}

#[tokio::test]
async fn few_manifests_that_do_not_say_where_they_run_are_looked_into() {
    let registry = Registry::start().await;
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
    output.expect(5, "more than 64 manifests do not say where they run");
    assert!(registry.server.requests().len() < 140);
}

#[tokio::test]
async fn the_words_of_an_error_are_not_waited_for_for_long() {
    let server = Server::start(|_| {
        Reply::new(400, vec![b'x'; 60_000]).fault(Fault::Slow(1, Duration::from_millis(200)))
    })
    .await;
    let began = Instant::now();
    let name = format!("{}/a:1", server.host());
    Cli::new().run(&["digest", "--retries", "0", &name]).await.expect(6, "400 bad request: xxx");
    assert!(began.elapsed() < Duration::from_secs(12));
}

/// A repository whose list of tags is what `pages` says for each query.
async fn tags_of(pages: impl Fn(&str) -> Reply + Send + Sync + 'static) -> (Server, String) {
    let server = Server::start(move |request| pages(&request.query)).await;
    let name = format!("{}/app", server.host());
    (server, name)
}

fn page(tags: &Value, next: &str) -> Reply {
    let reply = Reply::json(200, &json!({"name": "app", "tags": tags}));
    if next.is_empty() { reply } else { reply.header("Link", format!("<{next}>; rel=\"next\"")) }
}

#[tokio::test]
async fn lists_of_tags_that_never_end_are_left() {
    let itself = |_: &str| page(&json!(["1"]), "/v2/app/tags/list?n=1000");
    let (server, name) = tags_of(itself).await;
    Cli::new().run(&["tags", &name]).await.expect(5, "does not end");
    assert_eq!(server.requests().len(), 1);

    let circle = |query: &str| {
        page(&json!(["1"]), if query.contains("last=a") { "?last=b" } else { "?last=a" })
    };
    let (server, name) = tags_of(circle).await;
    Cli::new().run(&["tags", &name]).await.expect(5, "does not end");
    assert_eq!(server.requests().len(), 3);

    let counter = std::sync::atomic::AtomicUsize::new(0);
    let endless = move |_: &str| {
        let next = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        page(&json!(["same"]), &format!("?last={next}"))
    };
    let (server, name) = tags_of(endless).await;
    Cli::new().run(&["tags", &name]).await.expect(5, "more than 1000 requests");
    assert!(server.requests().len() <= 1001);

    let elsewhere = |_: &str| page(&json!(["1"]), "http://127.0.0.1:1/v2/app/tags/list");
    let (_server, name) = tags_of(elsewhere).await;
    Cli::new().run(&["tags", &name]).await.expect(6, "another host");
}

#[tokio::test]
async fn an_inline_config_is_used_where_it_is_right_and_fetched_where_it_is_not() {
    for (data, requests) in [("e30=", 0), ("W10=", 1)] {
        let registry = Registry::start().await;
        let config = registry.blob("app", "{}");
        let media_type = MediaType::OCI_CONFIG;
        let config = json!({"mediaType": media_type, "digest": config, "size": 2, "data": data});
        let manifest =
            json!({"schemaVersion": 2, "mediaType": OCI, "config": config, "layers": []});
        registry.document("app", Some("1"), OCI, manifest.to_string());
        let name = format!("{}:1", registry.repository("app"));
        let report = Cli::new().json(&["--json", &name]).await;
        assert_eq!(registry.server.count("/blobs/"), requests);
        let row = &report["blobs"][0];
        let from = if requests == 0 { json!("inline") } else { Value::Null };
        assert_eq!((&row["from"], &report["bytes"]["total"]), (&from, &json!(2)));
    }
}
