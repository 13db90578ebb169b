//! `delete`: a tag alone, a manifest with its tags, and confirmation.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use rpull::digest::Digest;
use serde_json::json;

use super::hex;
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::{Reply, Server};
use crate::support::terminal::Terminal;

#[tokio::test]
async fn delete_without_confirmation_or_tag_is_usage_error() {
    let registry = FakeRegistry::start().await;
    let name = registry.repository("team/app");
    let cli = Cli::new();
    cli.run(&["delete", &format!("{name}:1")]).await.expect(2, "--yes");
    cli.run(&["delete", "--yes", &name]).await.expect(2, "missing tag or digest");
    let both = format!("{name}:1@{}", hex('0'));
    cli.run(&["delete", "--yes", &both]).await.expect(2, "expected a tag or a digest");
    cli.run(&["delete", "--yes", "store:app:1"]).await.expect(2, "an image in a registry");
    assert!(registry.server.requests().is_empty());
    cli.run(&["delete", "--yes", &format!("{name}:1")]).await.expect(3, "manifest team/app:1");
}

#[tokio::test]
async fn delete_on_terminal_asks_with_digest() {
    let server = Server::start(|request| match request.method.as_str() {
        "DELETE" => Reply::new(202, ""),
        _ => Reply::new(200, "")
            .header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
            .header("Docker-Content-Digest", hex('0')),
    })
    .await;
    let (cli, terminal) = (Cli::new(), Terminal::open());
    let image = format!("{}/app:1", server.host());
    for (answer, code, deletions) in [("\n", 1, 0), ("nein\n", 1, 0), ("Yes\n", 0, 1)] {
        terminal.type_in(answer);
        let output = cli.spawn_on(terminal.screen(), &["delete", &image]).wait().await;
        output
            .expect(code, &format!("delete the tag {image}, which points to {}? [y/N]", hex('0')));
        assert_eq!(server.count("DELETE"), deletions, "{answer:?}");
    }
    assert_eq!(server.count("DELETE /v2/app/manifests/1"), 1, "the tag and nothing else");
}

#[tokio::test]
async fn delete_with_unreadable_sibling_tag_deletes_nothing() {
    let server = Server::start(|request| match (request.method.as_str(), request.path.as_str()) {
        ("DELETE", _) => Reply::error(405, "UNSUPPORTED", "not by tag"),
        ("HEAD", "/v2/app/manifests/1") => Reply::new(200, "")
            .header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
            .header("Docker-Content-Digest", hex('0')),
        ("GET", "/v2/app/tags/list") => Reply::json(200, &json!({"tags": ["1", "2"]})),
        _ => Reply::error(403, "DENIED", "no"),
    })
    .await;
    let image = format!("{}/app:1", server.host());
    Cli::new()
        .run(&["--retries", "0", "delete", "--yes", &image])
        .await
        .expect(4, "manifest app:2");
    assert_eq!(server.count("DELETE"), 1);
}

#[tokio::test]
async fn delete_of_moved_tag_deletes_no_manifest() {
    let heads = AtomicUsize::new(0);
    let server =
        Server::start(move |request| match (request.method.as_str(), request.path.as_str()) {
            ("DELETE", _) => Reply::error(405, "UNSUPPORTED", "not by tag"),
            ("HEAD", "/v2/app/manifests/1") => {
                let digest = if heads.fetch_add(1, Ordering::Relaxed) == 0 { '0' } else { '1' };
                Reply::new(200, "")
                    .header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
                    .header("Docker-Content-Digest", hex(digest))
            }
            ("GET", "/v2/app/tags/list") => Reply::json(200, &json!({"tags": ["1"]})),
            _ => Reply::error(404, "MANIFEST_UNKNOWN", "no"),
        })
        .await;
    let image = format!("{}/app:1", server.host());
    let output = Cli::new().run(&["delete", "--yes", &image]).await;
    output.expect(1, "now points to a different manifest; nothing was deleted");
    assert_eq!(server.count("DELETE"), 1, "the tag alone");
}

#[tokio::test]
async fn delete_with_too_deep_index_of_sibling_tag_deletes_nothing() {
    const LENGTH: usize = 400;
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    let mut digest = hex('1');
    let mut indexes = HashMap::new();
    for depth in 0..12 {
        let listed = json!({"mediaType": INDEX, "digest": digest, "size": if depth == 0 { 2 } else { LENGTH }});
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [listed]});
        let text = format!("{:width$}", index.to_string(), width = LENGTH);
        digest = Digest::sha256(text.as_bytes()).to_string();
        indexes.insert(format!("/v2/app/manifests/{digest}"), text);
    }
    indexes.insert(
        "/v2/app/manifests/2".into(),
        indexes[&format!("/v2/app/manifests/{digest}")].clone(),
    );
    let server =
        Server::start(move |request| match (request.method.as_str(), request.path.as_str()) {
            ("DELETE", _) => Reply::error(405, "UNSUPPORTED", "not by tag"),
            ("HEAD", "/v2/app/manifests/1") => Reply::new(200, "")
                .header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
                .header("Docker-Content-Digest", hex('0')),
            ("GET", "/v2/app/tags/list") => Reply::json(200, &json!({"tags": ["1", "2"]})),
            ("GET", path) if indexes.contains_key(path) => {
                Reply::new(200, indexes[path].clone()).header("Content-Type", INDEX)
            }
            _ => Reply::error(404, "MANIFEST_UNKNOWN", "no"),
        })
        .await;
    let image = format!("{}/app:1", server.host());
    Cli::new().run(&["delete", "--yes", &image]).await.expect(5, "more than 8 levels of indexes");
    assert_eq!(server.count("DELETE"), 1);
    assert_eq!(
        server.count("GET /v2/app/manifests/"),
        10,
        "the manifest, the index of the tag, and eight inside it"
    );
}
