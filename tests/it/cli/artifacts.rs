//! Inspecting manifests that are not images: artifacts, charts, caches, arbitrary configs.

use rpull::media::MediaType;
use serde_json::{Value, json};

use crate::support::cache::cache;
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Blob, Family, image, layer, with_config};

const THING: &str = "application/vnd.example.thing";

const TITLE: &str = "org.opencontainers.image.title";

/// Publishes a manifest of these blobs, the first of which is the config, with more keys.
fn publish(
    registry: &FakeRegistry,
    repository: &str,
    blobs: &[&Blob],
    titles: &[&str],
    more: &Value,
) {
    let entry = |(at, blob): (usize, &&Blob)| {
        let mut entry = json!(blob.descriptor);
        if let Some(title) = titles.get(at) {
            entry["annotations"] = json!({TITLE: title});
        }
        entry
    };
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": blobs[0].descriptor,
        "layers": blobs[1..].iter().enumerate().map(entry).collect::<Vec<_>>(),
    });
    manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    for blob in blobs {
        registry.blob(repository, blob.bytes.clone());
    }
    let kind = MediaType::OCI_MANIFEST;
    registry.document(repository, Some("1"), kind.as_str(), manifest.to_string());
}

fn piece(kind: &str, text: &str) -> Blob {
    Blob::new(kind.into(), text.to_owned())
}

#[tokio::test]
async fn inspect_artifact_shows_type_and_files_at_every_location() {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    let (empty, file) =
        (piece("application/vnd.oci.empty.v1+json", "{}"), piece("text/plain", "hello"));
    let more = json!({"artifactType": THING, "annotations": {"made": "by hand"}});
    publish(&registry, "a", &[&empty, &file], &["greeting.txt"], &more);
    let name = registry.repository("a") + ":1";
    for target in ["oci:l:x", "oci-archive:a.tar:x", "store:x"] {
        cli.run(&["copy", &name, target]).await.expect(0, "");
    }
    for place in [name.as_str(), "oci:l:x", "oci-archive:a.tar:x", "store:x"] {
        let shown = cli.run(&["inspect", place]).await.expect(0, "").stdout.clone();
        for part in [THING, "greeting.txt", "text/plain", "5 B", "made=by hand", "1 file"] {
            assert!(shown.contains(part), "{place}: no `{part}` in {shown}");
        }
        let value = cli.json(&["inspect", "--json", place]).await;
        assert_eq!(value["artifact_type"], THING);
        assert_eq!(value["files"][0]["title"], "greeting.txt");
        assert_eq!(value["files"][0]["digest"], json!(file.digest()));
        assert_eq!((&value["config"], &value["platforms"]), (&Value::Null, &json!([])));
        let listed = cli.run(&["layers", place]).await.expect(0, "").stdout.clone();
        assert!(listed.contains("greeting.txt"), "{listed}");
        let history = cli.run(&["history", place]).await;
        history.expect(1, &format!("is not an image, but an artifact of type {THING}"));
        history.expect(1, "hint: run `rpull inspect` to see");
    }
    assert!(cli.run(&["images"]).await.expect(0, "").stdout.contains("x:latest"));
}

#[tokio::test]
async fn inspect_names_kind_of_every_manifest() {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    let chart = piece("application/vnd.cncf.helm.config.v1+json", r#"{"name":"web"}"#);
    let package = piece("application/vnd.cncf.helm.chart.content.v1.tar+gzip", "chart");
    publish(&registry, "chart", &[&chart, &package], &[], &json!({}));
    let payload = piece(MediaType::DOCKER_CONFIG.as_str(), "payload, no JSON");
    publish(&registry, "payload", &[&payload, &payload], &[], &json!({}));
    cache().publish(&registry, "cache", "1");
    let blob = piece("text/plain", "old");
    registry.blob("old", blob.bytes.clone());
    let kind = "application/vnd.oci.artifact.manifest.v1+json";
    let old = json!({"mediaType": kind, "artifactType": THING, "blobs": [blob.descriptor]});
    registry.document("old", Some("1"), kind, old.to_string());
    let windows = json!({"os": "windows", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}});
    with_config(&image(Family::Oci, "amd64", &[]), &windows).publish(
        &registry,
        "windows",
        Some("1"),
    );
    for (repository, parts, code, layers) in [
        (
            "chart",
            &["application/vnd.cncf.helm.config.v1+json", "helm.chart.content"][..],
            0,
            "helm.chart.content",
        ),
        ("payload", &["16 B", "1 file"], 5, "image config: malformed"),
        (
            "cache",
            &["application/vnd.buildkit.cacheconfig.v0", "3 entries"],
            3,
            "blobs (application/vnd.buildkit",
        ),
        ("old", &[THING, "text/plain"], 0, "text/plain"),
        ("windows", &["windows/amd64", "0 layers"], 0, ""),
    ] {
        let name = registry.repository(repository) + ":1";
        let shown = cli.run(&["inspect", &name]).await.expect(0, "").stdout.clone();
        cli.json(&["inspect", "--json", &name]).await;
        for part in parts {
            assert!(shown.contains(part), "{repository}: no `{part}` in {shown}");
        }
        let listed = cli.run(&["layers", &name]).await;
        assert_eq!(listed.code(), Some(code), "{repository}: {}", listed.stderr);
        assert!(
            (listed.stdout.clone() + &listed.stderr).contains(layers),
            "{repository}: {}",
            listed.stderr
        );
        if code != 0 {
            assert!(listed.stderr.contains(&name), "{}", listed.stderr);
        }
        for words in [&["history"][..], &["export", "-o", "x.tar"], &["config"]] {
            let output = cli.run(&[words, &[&name]].concat()).await;
            let fine = output.code() == Some(0);
            assert!(fine || output.stderr.contains(&name), "{words:?}: {}", output.stderr);
        }
        cli.run(&["pull", "--all-platforms", &name]).await.expect(0, "");
    }
    cli.run(&["verify"]).await.expect(0, "");
}

#[tokio::test]
async fn images_created_before_1970_show_no_age() {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    let base = image(Family::Oci, "amd64", &[layer(&[("a", b"1")])]);
    let mut config: Value = serde_json::from_slice(&base.config.bytes).unwrap();
    for (tag, created, shown) in [
        ("zero", "0001-01-01T00:00:00Z", ""),
        ("empty", "", ""),
        ("old", "1601-01-01T00:00:00Z", "1601-01-01"),
        ("text", "yesterday", "yesterday"),
    ] {
        config["created"] = json!(created);
        config["history"][0]["created"] = json!(created);
        with_config(&base, &config).publish(&registry, "a", Some(tag));
        let name = format!("{}:{tag}", registry.repository("a"));
        cli.run(&[&name]).await.expect(0, "");
        let listed = cli.run(&["images"]).await.expect(0, "").stdout.clone();
        let row = listed.lines().find(|line| line.starts_with(&name)).unwrap();
        assert!(!row.contains("ago") && row.contains(shown), "{row}");
        let value = cli.json(&["inspect", "--json", &name]).await;
        assert_eq!(value["created"].is_null(), shown.is_empty());
        let steps = cli.run(&["history", &name]).await.expect(0, "").stdout.clone();
        assert!(steps.lines().last().unwrap().contains(shown), "{steps}");
    }
}
