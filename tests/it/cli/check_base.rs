//! `check-base` and `analyze --check-base`: what an image says of its base, what a registry is asked, hostile names.

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Blob, Family, Image, image, index, layer, random_blob, with_config};

const NAME: &str = "org.opencontainers.image.base.name";
const DIGEST: &str = "org.opencontainers.image.base.digest";

/// A base of one layer, made of a seed.
fn base(seed: u64) -> Image {
    image(Family::Oci, "amd64", &[layer(&[("base", &random_blob(500, seed))])])
}

/// The same document with annotations.
fn annotated(document: &Blob, annotations: &Value) -> Blob {
    let mut value: Value = serde_json::from_slice(&document.bytes).unwrap();
    value["annotations"] = annotations.clone();
    Blob::json(document.descriptor.media_type.clone(), &value)
}

/// A registry with a base as `base:1`, and an image on it as `app:1` with annotations made of the name of the base and
/// the base.
async fn published(annotations: impl FnOnce(&str, &Image) -> Value) -> (FakeRegistry, String) {
    let registry = FakeRegistry::start().await;
    let (lower, name) = (base(1), registry.repository("base:1"));
    lower.publish(&registry, "base", Some("1"));
    let own = layer(&[("app", b"app")]);
    let lower_layer = layer(&[("base", &random_blob(500, 1))]);
    let app = image(Family::Oci, "amd64", &[lower_layer, own]);
    let [mut config, config_of_base]: [Value; 2] =
        [&app, &lower].map(|image| serde_json::from_slice(&image.config.bytes).unwrap());
    let mut history = config_of_base["history"].clone();
    history.as_array_mut().unwrap().push(json!({"created_by": "COPY app"}));
    config["history"] = history;
    let mut app = with_config(&app, &config);
    app.manifest = annotated(&app.manifest, &annotations(&name, &lower));
    app.publish(&registry, "app", Some("1"));
    let app = registry.repository("app:1");
    (registry, app)
}

fn with_digest(name: &str, base: &Image) -> Value {
    json!({NAME: name, DIGEST: base.manifest.digest()})
}

fn without_digest(name: &str, _: &Image) -> Value {
    json!({NAME: name})
}

#[tokio::test]
async fn check_base_of_current_digest_costs_one_head() {
    let (registry, app) = published(with_digest).await;
    let cli = Cli::new();
    registry.server.forget();
    let check = cli.json(&["check-base", "--json", &app]).await;
    let digest = json!(base(1).manifest.digest());
    let name = registry.repository("base:1");
    let wanted = json!({"name": name, "digest": digest, "current": digest, "up_to_date": true});
    assert_eq!(check["base"], wanted);
    assert_eq!(check["reference"], app);
    let lines = ["GET /v2/app/manifests/1", "HEAD /v2/base/manifests/1"];
    assert_eq!(registry.server.lines(), lines);
    let text = cli.run(&["check-base", &app]).await;
    assert!(text.expect(0, "").stdout.ends_with("result    up to date\n"), "{}", text.stdout);

    base(2).publish(&registry, "base", Some("1"));
    registry.server.forget();
    let text = cli.run(&["check-base", &app]).await;
    text.expect(1, &format!("error: {app}: base {name} has changed"));
    assert!(text.stdout.contains(&format!("current   {}\n", base(2).manifest.digest())));
    assert_eq!(registry.server.lines()[2..], ["GET /v2/base/manifests/1"]);
    let digest = base(2).manifest.digest().to_string();
    cli.run(&["check-base", "--digest", &digest, &app]).await.expect(0, "");
    cli.run(&[&app]).await.expect(0, "");
    registry.server.forget();
    cli.run(&["check-base", &app]).await.expect(1, "has changed");
    assert_eq!(registry.server.lines().len(), 2, "the image is in the store");
    cli.run(&["check-base", "--offline", &app]).await.expect(3, "--offline");
}

#[tokio::test]
async fn check_base_without_digest_compares_layers_and_history() {
    let (registry, app) = published(without_digest).await;
    let cli = Cli::new();
    registry.server.forget();
    let check = cli.json(&["check-base", "--json", &app]).await;
    assert_eq!(
        (&check["base"]["digest"], &check["base"]["up_to_date"]),
        (&Value::Null, &json!(true))
    );
    assert_eq!(registry.server.count("/manifests/"), 2);
    assert_eq!(registry.server.requests().len(), 4, "two documents and two configs");

    let mut config: Value = serde_json::from_slice(&base(1).config.bytes).unwrap();
    config["history"] = json!([{"created_by": "something else"}]);
    with_config(&base(1), &config).publish(&registry, "base", Some("1"));
    cli.run(&["check-base", &app]).await.expect(1, "has changed");
    base(2).publish(&registry, "base", Some("1"));
    registry.server.forget();
    cli.run(&["check-base", &app]).await.expect(1, "has changed");
    assert_eq!(registry.server.requests().len(), 2, "the layers are enough");
}

#[tokio::test]
async fn check_base_finds_platform_manifest_in_index() {
    let registry = FakeRegistry::start().await;
    let lower = index(Family::Oci, &[("amd64", base(1))]);
    lower.publish(&registry, "base", "1");
    let upper = index(Family::Oci, &[("amd64", base(3))]);
    let annotations = with_digest(&registry.repository("base:1"), &base(1));
    for image in upper.images.iter().chain(&upper.attestations) {
        image.publish(&registry, "app", None);
    }
    annotated(&upper.document, &annotations).publish(&registry, "app", Some("1"));
    let (cli, app) = (Cli::new(), registry.repository("app:1"));
    registry.server.forget();
    let check = cli.json(&["check-base", "--json", "--platform", "linux/amd64", &app]).await;
    assert_eq!(check["base"]["current"], json!(lower.document.digest()));
    assert_eq!(check["base"]["up_to_date"], true);
    assert_eq!(registry.server.requests().len(), 4, "index, manifest, HEAD and GET of the base");
}

#[tokio::test]
async fn check_base_of_unnamed_base_fails_with_hint() {
    let (registry, app) = published(|_, _| json!({})).await;
    let cli = Cli::new();
    registry.server.forget();
    let refused = cli.run(&["check-base", &app]).await;
    refused.expect(1, "does not name its base").expect(1, "hint: name it with `--base NAME`");
    assert_eq!(registry.server.requests().len(), 1);
    let name = registry.repository("base:1");
    cli.run(&["check-base", "--base", &name, &app]).await.expect(0, "");
    cli.run(&["check-base", "--base", "oci:x", &app]).await.expect(2, "oci:x");
    let gone = registry.repository("base:gone");
    cli.run(&["check-base", "--base", &gone, &app]).await.expect(3, "base:gone");
}

#[tokio::test]
async fn check_base_refuses_hostile_names() {
    for (named, message) in [
        ("169.254.169.254/latest/meta-data:1", "an internal network"),
        ("10.0.0.1:5000/base:1", "an internal network"),
        ("not a\u{1b}[2J reference", "not a reference"),
    ] {
        let (registry, app) = published(|_, _| json!({NAME: named})).await;
        registry.server.forget();
        let refused = Cli::new().run(&["check-base", &app]).await;
        refused.expect(1, message);
        super::assert_harmless(&refused);
        assert_eq!(registry.server.requests().len(), 1);
    }
    let (_registry, app) = published(|_, _| json!({NAME: "registry.example/base:1"})).await;
    let refused = Cli::new().run(&["check-base", "--creds", "user:secret", &app]).await;
    refused.expect(1, "a base in another registry");
    let digest = format!("@sha256:{}", "a".repeat(64));
    let (_registry, app) = published(|name, _| json!({NAME: name.replace(":1", &digest)})).await;
    Cli::new().run(&["check-base", &app]).await.expect(1, "without a tag");
}

#[tokio::test]
async fn analyze_checks_base() {
    let (registry, app) = published(with_digest).await;
    let cli = Cli::new();
    let analysis = cli.json(&["analyze", "--check-base", "--json", &app]).await;
    assert_eq!(analysis["base"]["up_to_date"], true);
    assert!(cli.json(&["analyze", "--json", &app]).await.get("base").is_none());
    base(2).publish(&registry, "base", Some("1"));
    let text = cli.run(&["analyze", "--check-base", &app]).await;
    text.expect(1, "has changed");
    assert!(text.stdout.contains("result    changed"), "{}", text.stdout);
    let (_registry, app) = published(|_, _| json!({})).await;
    let unnamed = cli.run(&["analyze", "--check-base", "--json", &app]).await;
    unnamed.expect(1, "does not name its base");
    let analysis: Value = serde_json::from_str(&unnamed.stdout).unwrap();
    assert!(analysis["base"].is_null() && analysis["efficiency"].is_number());
}
