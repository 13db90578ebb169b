//! `rpull IMAGE` as scripts and people use it.

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, Image, Index, image, index, layer, random_blob};

/// Two versions that share their first two layers.
fn versions() -> [Image; 2] {
    let base = [layer(&[("base", &random_blob(40_000, 1))]), layer(&[("lib", b"x")])];
    [2, 3].map(|seed| {
        let app = layer(&[("app", &random_blob(9_000, seed))]);
        image(Family::Oci, "amd64", &[base.as_slice(), &[app]].concat())
    })
}

/// One image for each of two platforms, with attestations.
fn both_platforms() -> Index {
    let of = |architecture| {
        image(Family::Oci, architecture, &[layer(&[("for", architecture.as_bytes())])])
    };
    index(Family::Oci, &[("amd64", of("amd64")), ("arm64", of("arm64"))])
}

async fn published() -> (FakeRegistry, [Image; 2]) {
    let (registry, images) = (FakeRegistry::start().await, versions());
    for (image, tag) in images.iter().zip(["1", "2"]) {
        image.publish(&registry, "team/app", Some(tag));
    }
    (registry, images)
}

fn sum(report: &Value) -> u64 {
    let bytes = &report["bytes"];
    let parts = ["transferred", "resumed", "mounted", "shared"];
    parts.iter().map(|part| bytes[part].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn pull_next_version_transfers_only_new_layer() {
    let (registry, [first, second]) = published().await;
    let (cli, name) = (Cli::new(), registry.repository("team/app"));
    let output = cli.run(&[format!("{name}:1")]).await;
    let digest = first.manifest.digest();
    output.expect(0, "0 B shared (0 %), 5 requests");
    assert_eq!(output.stdout, format!("{name}:1@{digest}\n"));

    registry.server.forget();
    let report = cli.report(&["pull", "--json", &format!("{name}:2")]).await;
    let new = second.config.descriptor.size + second.layers[2].descriptor.size;
    assert_eq!(report["bytes"]["transferred"], new);
    assert_eq!(report["bytes"]["shared"], second.size() - new);
    assert_eq!(sum(&report), second.size());
    assert_eq!(registry.server.count("GET /v2/team/app/blobs/"), 2);

    registry.server.forget();
    let warm = cli.run(&["-q", &format!("{name}:2")]).await;
    assert_eq!((warm.code(), warm.stderr.as_str()), (Some(0), ""));
    assert_eq!(registry.server.lines(), ["HEAD /v2/team/app/manifests/2"]);
    registry.server.forget();
    let pinned = format!("{name}@{}", second.manifest.digest());
    cli.run(&[&pinned]).await.expect(0, "0 requests");
    assert!(registry.server.requests().is_empty());
}

#[tokio::test]
async fn report_json_has_contract_keys() {
    let (registry, [first, _]) = published().await;
    let name = format!("{}:1", registry.repository("team/app"));
    let report = Cli::new().report(&["--json", &name]).await;
    let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    let head = ["source", "target", "reference", "digest", "manifest", "media_type", "platforms"];
    assert_eq!(keys, [&head[..], &["bytes", "requests", "elapsed_ms", "blobs"]].concat());
    assert_eq!(report["reference"], name);
    assert_eq!(report["digest"], json!(first.manifest.digest()));
    assert_eq!(report["manifest"], report["digest"]);
    assert_eq!(report["platforms"], json!(["linux/amd64"]));
    let total = first.size();
    let bytes = json!({
        "total": total, "transferred": total, "resumed": 0, "mounted": 0, "shared": 0, "resent": 0,
    });
    assert_eq!(report["bytes"], bytes);
    let requests =
        json!({"total": 5, "manifest": 1, "blob": 4, "upload": 0, "token": 0, "other": 0});
    assert_eq!(report["requests"], requests);
    assert!(report["elapsed_ms"].is_u64());
    let blob = &first.layers[0].descriptor;
    let row = json!({
        "digest": blob.digest, "media_type": blob.media_type, "size": blob.size,
        "outcome": "transferred", "transferred": blob.size, "resumed": 0, "resent": 0, "from": null,
    });
    assert_eq!(report["blobs"][1], row);
}

#[tokio::test]
async fn pull_several_images_reports_in_order_with_failure_code() {
    let (registry, images) = published().await;
    let name = registry.repository("team/app");
    let cli = Cli::new();
    let asked = [":2", ":missing", ":1"].map(|tag| format!("{name}{tag}"));
    let output = cli.run(&[&["--json".to_owned()], asked.as_slice()].concat()).await;
    output.expect(3, "manifest unknown");
    let reports: Value = serde_json::from_str(&output.stdout).unwrap();
    let names: Vec<&str> =
        reports.as_array().unwrap().iter().map(|one| one["reference"].as_str().unwrap()).collect();
    assert_eq!(names, asked);
    assert_eq!(reports[1]["error"]["kind"], "not_found");
    assert!(reports[1]["error"]["message"].as_str().unwrap().contains("manifest unknown"));
    // Blobs that both need count for the first of them.
    let shared: u64 = images[0].layers[..2].iter().map(|layer| layer.descriptor.size).sum();
    assert_eq!(reports[0]["bytes"]["shared"], 0);
    assert_eq!(reports[2]["bytes"]["shared"], shared);
    assert!(reports[0].get("error").is_none() && reports[2].get("error").is_none());

    // The tag of a list of referrers.
    let list = format!("sha256-{}", images[0].manifest.digest().encoded());
    images[0].publish(&registry, "team/app", Some(&list));
    let all = Cli::new();
    let output = all.run(&["--all-tags", "-q", &name]).await;
    let lines: Vec<&str> = output.expect(0, "").stdout.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with(&format!("{name}:1@")) && lines[1].contains(":2@"));
}

#[tokio::test]
async fn pull_index_selects_requested_platform() {
    let registry = FakeRegistry::start().await;
    let both = both_platforms();
    both.publish(&registry, "team/app", "1");
    let name = format!("{}:1", registry.repository("team/app"));

    let cli = Cli::new();
    let report = cli.report(&["--json", "--platform", "linux/arm64", &name]).await;
    assert_eq!(report["digest"], json!(both.document.digest()));
    assert_eq!(report["manifest"], json!(both.images[1].manifest.digest()));
    assert_eq!(report["platforms"], json!(["linux/arm64"]));
    assert_eq!(report["requests"]["total"], 4, "index, manifest, config, layer");
    let again = cli.report(&["--json", "--platform", "linux/arm64", &name]).await;
    assert_eq!(again["requests"]["total"], 1, "the index is remembered");

    let environment = Cli::new().env("DOCKER_DEFAULT_PLATFORM", "linux/arm64");
    let report = environment.report(&["--json", &name]).await;
    assert_eq!(report["platforms"], json!(["linux/arm64"]));

    let all = Cli::new().report(&["--json", "--all-platforms", &name]).await;
    assert_eq!(all["manifest"], all["digest"]);
    assert_eq!(all["platforms"], json!(["linux/amd64", "linux/arm64"]));
    assert_eq!(all["blobs"].as_array().unwrap().len(), 8, "attestations included");
    let two = ["--platform", "linux/arm64", "--platform", "linux/amd64"];
    let two = Cli::new().report(&[&["--json"], two.as_slice(), &[&name]].concat()).await;
    assert_eq!(two["manifest"], json!(both.document.digest()));
    assert_eq!(two["blobs"].as_array().unwrap().len(), 4);

    let output = Cli::new().run(&["--platform", "linux/s390x", &name]).await;
    output.expect(3, "linux/amd64, linux/arm64").expect(3, "hint: select one with `--platform`");
}

#[tokio::test]
async fn plan_predicts_pull_and_transfers_nothing() {
    let (registry, [first, second]) = published().await;
    let (cli, name) = (Cli::new(), registry.repository("team/app"));
    let output = cli.run(&["--plan", &format!("{name}:1")]).await;
    output.expect(0, "");
    assert!(output.stdout.contains("would transfer") && output.stdout.contains("missing"));
    assert!(!cli.store().exists());
    assert_eq!(registry.server.count("/blobs/"), 0);

    cli.run(&[format!("{name}:1")]).await.expect(0, "");
    let plan = cli.report(&["--plan", "--json", &format!("{name}:2")]).await;
    let new = second.config.descriptor.size + second.layers[2].descriptor.size;
    let bytes = json!({
        "total": second.size(), "shared": second.size() - new, "mountable": 0, "partial": 0, "missing": new,
    });
    assert_eq!(plan["bytes"], bytes);
    assert_eq!(plan["blobs"][0]["state"], "missing");
    assert_eq!(plan["blobs"][1]["state"], "shared");
    let report = cli.report(&["--json", &format!("{name}:2")]).await;
    assert_eq!(report["bytes"]["transferred"], new);
    assert_ne!(first.config.digest(), second.config.digest());

    let failed = cli.run(&["--plan", "--json", &format!("{name}:missing")]).await;
    let value = failed.expect(3, "manifest unknown").report();
    assert_eq!(value["error"]["kind"], "not_found");
}

#[tokio::test]
async fn pull_output_to_layout_leaves_store_untouched() {
    let (registry, [first, _]) = published().await;
    let (cli, name) = (Cli::new(), format!("{}:1", registry.repository("team/app")));
    cli.run(&["-o", "oci:images:first", &name]).await.expect(0, "4 of 4 blobs");
    cli.run(&["-o", "oci:images", &name]).await.expect(0, "0 B of");
    assert!(!cli.store().exists());
    let layout = cli.dir().join("images");
    let index: Value =
        serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    let named = |at: usize, key: &str| index["manifests"][at]["annotations"][key].clone();
    assert_eq!(named(0, "org.opencontainers.image.ref.name"), "first");
    assert_eq!(named(0, "io.containerd.image.name"), Value::Null);
    assert_eq!(named(1, "io.containerd.image.name"), json!(name));
    assert_eq!(named(1, "rpull.origin"), json!(registry.repository("team/app")));
    for image in ["oci:images:first", &format!("oci:images:{name}")] {
        let manifest = cli.run(&["manifest", image]).await;
        assert_eq!(manifest.stdout.as_bytes(), first.manifest.bytes, "{image}");
    }
    cli.run(&["manifest", "oci:images"]).await.expect(2, "contains several images: first, ");
    cli.run(&["-o", "oci:images:x", &name, &name]).await.expect(2, "the same name");
    cli.run(&["-o", "store:x", &name]).await.expect(2, "expected oci:PATH");
    cli.run(&["-o", "oci:home/..", &name]).await.expect(7, "is not an OCI image layout");
}

#[tokio::test]
async fn offline_sends_no_request() {
    let (registry, [first, _]) = published().await;
    let (cli, name) = (Cli::new(), format!("{}:1", registry.repository("team/app")));
    cli.run(&["--offline", &name]).await.expect(3, "not in the store");
    cli.run(&[&name]).await.expect(0, "");
    registry.server.forget();
    let report = cli.report(&["--offline", "--json", &name]).await;
    assert_eq!(report["bytes"]["shared"], first.size());
    assert_eq!(report["requests"]["total"], 0);
    cli.run(&["--offline", "-o", "oci:elsewhere", &name]).await.expect(0, "");
    cli.run(&["--offline", "tags", &registry.repository("team/app")]).await.expect(3, "--offline");
    assert!(registry.server.requests().is_empty());
}
