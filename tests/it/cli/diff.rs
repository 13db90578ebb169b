//! `diff`: shared layers, changed settings and the cost of a pull, from manifests and configs alone.

use serde_json::{Value, json};

use super::assert_harmless;
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{
    Blob, Family, assemble, image, index, layer, raw, uncompressed, with_config,
};
use crate::support::samples::{published, published_app, versions};

/// The config of the image with other settings.
fn config_with(image: &crate::support::images::Image, settings: Value) -> Value {
    let mut config: Value = serde_json::from_slice(&image.config.bytes).unwrap();
    config["config"] = settings;
    config
}

#[tokio::test]
async fn diff_of_registry_images_reads_two_documents_each() {
    let (registry, [first, second], name) = published().await;
    let cli = Cli::new();
    registry.server.forget();
    let diff = cli.json(&["diff", "--json", &format!("{name}:1"), &format!("{name}:2")]).await;
    assert_eq!(registry.server.requests().len(), 4);
    assert_eq!(registry.server.count("/manifests/"), 2);
    assert!(!cli.store().exists());
    let [base, old] = [&first.layers[0], &first.layers[1]].map(|layer| layer.descriptor.clone());
    let new = &second.layers[1].descriptor;
    assert_eq!(diff["a"]["reference"], format!("{name}:1"));
    assert_eq!(diff["a"]["digest"], json!(first.manifest.digest()));
    assert_eq!(diff["b"]["size"], second.size());
    assert_eq!(diff["shared"], json!({"layers": 1, "bytes": base.size}));
    assert_eq!(diff["only_a"], json!({"layers": 1, "bytes": old.size}));
    assert_eq!(diff["only_b"], json!({"layers": 1, "bytes": new.size}));
    let rows: Vec<_> = diff["layers"].as_array().unwrap().iter().map(|r| &r["in"]).collect();
    assert_eq!(rows, ["both", "a", "b"]);
    assert_eq!(diff["layers"][2]["digest"], json!(new.digest));
    assert_eq!(diff["config"], json!([]));

    let same = format!("{name}:1");
    let diff = cli.json(&["diff", "--json", &same, &same]).await;
    assert_eq!((&diff["pull"]["bytes"], &diff["only_b"]["layers"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn diff_pull_cost_is_size_of_next_pull() {
    let (registry, _, name) = published().await;
    let (cli, v1, v2) = (Cli::new(), format!("{name}:1"), format!("{name}:2"));
    cli.run(&[&v1]).await.expect(0, "");
    registry.server.forget();
    let cost = cli.json(&["diff", "--json", &v1, &v2]).await["pull"]["bytes"].clone();
    assert_eq!(registry.server.requests().len(), 2, "A is in the store");
    let report = cli.report(&["pull", "--json", &v2]).await;
    assert_eq!(report["bytes"]["transferred"], cost);
    registry.server.forget();
    cli.json(&["diff", "--json", &v1, &v2]).await;
    cli.run(&["diff", "--offline", &v1, &format!("store:{v2}")]).await.expect(0, "");
    assert!(registry.server.requests().is_empty(), "both are in the store");
}

#[tokio::test]
async fn diff_names_recompressed_layers_of_any_location() {
    let (registry, [first, _], name) = published().await;
    let cli = Cli::new();
    uncompressed(&first).publish(&registry, "team/app", Some("plain"));
    let v1 = format!("{name}:1");
    for place in ["oci:layout", "oci-archive:image.tar", "docker-archive:docker.tar"] {
        cli.run(&["copy", &v1, place]).await.expect(0, "");
    }
    let plain = format!("{name}:plain");
    for (place, recompressed) in [
        (plain.as_str(), 2),
        ("oci:layout", 0),
        ("oci-archive:image.tar", 0),
        ("docker-archive:docker.tar", 2),
    ] {
        let diff = cli.json(&["diff", "--json", &v1, place]).await;
        assert_eq!(diff["recompressed"]["layers"], recompressed, "{place}");
        assert_eq!(diff["recompressed"], diff["only_b"], "{place}");
        assert_eq!(diff["shared"]["layers"], 2 - recompressed, "{place}");
    }
    let text = cli.run(&["diff", &v1, &plain]).await;
    let short = first.layers[0].digest().short();
    assert!(text.stdout.contains(&format!("[content of {short}]")), "{}", text.stdout);
    assert!(text.stdout.contains("2 layers: same content as in A"), "{}", text.stdout);
}

#[tokio::test]
async fn diff_selects_platform_on_both_sides() {
    let registry = FakeRegistry::start().await;
    let [amd64, arm64] = ["amd64", "arm64"]
        .map(|name| image(Family::Oci, name, &[layer(&[("a", name.as_bytes())])]));
    let both = index(Family::Oci, &[("amd64", amd64.clone()), ("arm64", arm64.clone())]);
    both.publish(&registry, "a", "1");
    let next = image(Family::Oci, "arm64", &[layer(&[("a", b"next")])]);
    index(Family::Oci, &[("amd64", amd64), ("arm64", next)]).publish(&registry, "a", "2");
    let (cli, name) = (Cli::new(), registry.repository("a"));
    let [one, two] = ["1", "2"].map(|tag| format!("{name}:{tag}"));
    registry.server.forget();
    let arm = ["diff", "--json", "--platform", "linux/arm64", &one, &two];
    let diff = cli.json(&arm).await;
    assert_eq!(registry.server.requests().len(), 6, "one more each for the index");
    assert_eq!(diff["a"]["digest"], json!(both.document.digest()));
    assert_eq!(diff["a"]["manifest"], json!(arm64.manifest.digest()));
    assert_eq!(diff["b"]["platform"], "linux/arm64");
    assert_eq!(diff["only_b"]["layers"], 1);
    let absent = ["diff", "--platform", "linux/s390x", &one, &two];
    cli.run(&absent).await.expect(3, "linux/arm64");
}

#[tokio::test]
async fn diff_shows_hostile_settings_escaped() {
    let (registry, [first, _], name) = published().await;
    let hostile = json!({
        "Env": ["A\u{1b}[2J=\u{202e}x", "PATH=/bin"], "Labels": {"b\u{9b}": "y\n"}, "Cmd": ["\u{1b}]0;t\u{7}"],
    });
    with_config(&first, &config_with(&first, hostile)).publish(&registry, "team/app", Some("bad"));
    let cli = Cli::new();
    let (v1, bad) = (format!("{name}:1"), format!("{name}:bad"));
    for words in [&["diff", &v1, &bad][..], &["diff", "--no-trunc", &bad, &v1]] {
        let output = cli.run(words).await;
        assert_harmless(output.expect(0, ""));
        assert!(output.stdout.contains("Env A\\u{1b}[2J"), "{}", output.stdout);
    }
    let diff = cli.json(&["diff", "--json", &v1, &bad]).await;
    let fields: Vec<_> =
        diff["config"].as_array().unwrap().iter().map(|change| &change["field"]).collect();
    assert_eq!(fields, ["Cmd", "Env", "Labels"]);
    assert_eq!(diff["config"][1]["b"], "\u{202e}x");
}

#[tokio::test]
async fn diff_without_configs_compares_layers_only() {
    let (registry, [first, _], name) = published().await;
    let broken = Blob::new(first.config.descriptor.media_type.clone(), "[]");
    assemble(Family::Oci, broken, first.layers.clone()).publish(
        &registry,
        "team/app",
        Some("broken"),
    );
    raw(Family::Oci, b"thing".to_vec()).publish(&registry, "team/app", Some("thing"));
    let (cli, v1) = (Cli::new(), format!("{name}:1"));
    let broken = cli.run(&["diff", "--json", &v1, &format!("{name}:broken")]).await;
    broken.expect(0, "only its layers are compared");
    let diff: Value = serde_json::from_str(&broken.stdout).unwrap();
    assert_eq!((&diff["config"], &diff["shared"]["layers"]), (&Value::Null, &json!(2)));
    let diff = cli.json(&["diff", "--json", &v1, &format!("{name}:thing")]).await;
    assert_eq!((&diff["config"], &diff["only_b"]["layers"]), (&Value::Null, &json!(0)));
    cli.run(&["diff", &v1, &format!("{name}:none")]).await.expect(3, "not found");
    cli.run(&["diff", &v1]).await.expect(2, "<B>");
    registry.delete_blob("team/app", first.config.digest());
    cli.run(&["diff", &v1, &v1]).await.expect(3, "");
}

#[tokio::test]
async fn diff_sends_one_credential_to_one_registry() {
    let (registry, _, name) = published_app().await;
    let other = FakeRegistry::start().await;
    versions()[0].publish(&other, "app", Some("1"));
    registry.server.forget();
    let elsewhere = format!("{}:1", other.repository("app"));
    let cli = Cli::new();
    cli.run(&["diff", "--creds", "user:secret", &name, &elsewhere]).await.expect(2, "`--creds`");
    assert!(registry.server.requests().is_empty() && other.server.requests().is_empty());
}
