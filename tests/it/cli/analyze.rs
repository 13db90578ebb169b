//! `analyze`: findings, score, limits and formats, and that each layer is read once.

use rpull::digest::Digest;
use serde_json::{Value, json};

use super::assert_harmless;
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{
    Family, Image, Layer, gzip, image, layer, random_blob, uncompressed, with_config,
};
use crate::support::tar_item::{TarItem, tar};

/// An image with these layers, created by these commands.
pub(crate) fn built(steps: &[(&str, Layer)]) -> Image {
    let layers: Vec<Layer> = steps.iter().map(|(_, layer)| layer.clone()).collect();
    let plain = image(Family::Oci, "amd64", &layers);
    let mut config: Value = serde_json::from_slice(&plain.config.bytes).unwrap();
    let history = steps.iter().map(|(command, _)| json!({"created_by": command}));
    config["history"] = history.collect();
    with_config(&plain, &config)
}

/// An image with something for most rules.
pub(crate) fn wasteful() -> Image {
    let base = gzip(&tar(&[
        TarItem::file("etc/os-release", "ID=x\n"),
        TarItem::file("opt/big", random_blob(50_000, 1)),
        TarItem::file("opt/old/a", random_blob(20_000, 2)),
        TarItem::file("opt/old/b", random_blob(10_000, 3)),
    ]));
    let installed = gzip(&tar(&[
        TarItem::file("var/lib/apt/lists/x_InRelease", random_blob(9_000, 4)),
        TarItem::file("opt/big", random_blob(50_000, 1)).mode(0o600),
        TarItem::whiteout("opt/old"),
    ]));
    let copied = gzip(&tar(&[
        TarItem::file("app/.git/objects/1", random_blob(3_000, 5)),
        TarItem::file("app/copy-of-list", random_blob(9_000, 4)),
        TarItem::file("app/deploy_key", "-----BEGIN OPENSSH PRIVATE KEY-----\nTOPSECRET\n"),
    ]));
    built(&[
        ("ADD rootfs.tar / # buildkit", base),
        (
            "RUN /bin/sh -c apt-get update && chmod 600 /opt/big && rm -r /opt/old # buildkit",
            installed,
        ),
        ("COPY . /app # buildkit", copied),
    ])
}

pub(crate) async fn published(image: &Image) -> (FakeRegistry, String) {
    let registry = FakeRegistry::start().await;
    image.publish(&registry, "team/app", Some("1"));
    let name = format!("{}:1", registry.repository("team/app"));
    (registry, name)
}

fn rules(analysis: &Value) -> Vec<&str> {
    let findings = analysis["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["rule"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn analyze_reads_each_layer_once_and_keeps_none() {
    let image = wasteful();
    let (registry, name) = published(&image).await;
    let cli = Cli::new();
    let analysis = cli.json(&["analyze", "--json", &name]).await;
    assert_eq!(registry.server.requests().len(), 2 + 3, "manifest, config, layers");
    assert!(!cli.store().exists());
    let expected = [
        "secret",
        "rewritten-unchanged",
        "deleted-later",
        "package-cache",
        "build-context",
        "duplicate-content",
    ];
    assert_eq!(rules(&analysis), expected);
    let [secret, rewritten, deleted, ..] = analysis["findings"].as_array().unwrap().as_slice()
    else {
        panic!("{analysis}")
    };
    assert_eq!(secret["paths"][0]["path"], "app/deploy_key");
    assert_eq!(rewritten["bytes"], 50_000);
    assert_eq!(rewritten["layer"], 1);
    assert_eq!(rewritten["digest"], json!(image.layers[1].digest()));
    assert!(rewritten["command"].as_str().unwrap().starts_with("apt-get update"));
    assert_eq!(deleted["paths"][0], json!({"path": "opt/old", "bytes": 30_000, "note": "2 files"}));
    assert_eq!(analysis["wasted"], json!({"files": 3, "bytes": 80_000}));
    assert_eq!(analysis["reference"], name);

    cli.run(&[&name]).await.expect(0, "");
    registry.server.forget();
    let stored = cli.json(&["analyze", "--json", &name]).await;
    assert!(registry.server.requests().is_empty(), "the store has it");
    assert_eq!(stored["findings"], analysis["findings"]);
}

#[tokio::test]
async fn analyze_agrees_across_locations() {
    let (_registry, name) = published(&wasteful()).await;
    let cli = Cli::new();
    let analysis = cli.json(&["analyze", "--json", &name]).await;
    for place in ["oci:layout", "oci-archive:image.tar", "docker-archive:docker.tar"] {
        cli.run(&["copy", &name, place]).await.expect(0, "");
        let other = cli.json(&["analyze", "--json", place]).await;
        for key in ["efficiency", "bytes", "wasted", "dive"] {
            assert_eq!(other[key], analysis[key], "{place}");
        }
        assert_eq!(rules(&other), rules(&analysis), "{place}");
    }
}

#[tokio::test]
async fn analyze_never_prints_contents_or_control_characters() {
    let hostile = gzip(&tar(&[
        TarItem::file("a\u{1b}[2J\u{202e}\n/.env", "PASSWORD=TOPSECRET\n"),
        TarItem::file(b"b\xff.p12", "TOPSECRET"),
        TarItem::file("key", "-----BEGIN RSA PRIVATE KEY-----\nTOPSECRET\n"),
    ]));
    let image = built(&[("COPY \u{1b}]0;title\u{7} . / # buildkit", hostile)]);
    let (_registry, name) = published(&image).await;
    let cli = Cli::new();
    for format in ["text", "json", "sarif"] {
        let output = cli.run(&["analyze", "--no-trunc", "--format", format, &name]).await;
        assert_harmless(output.expect(0, ""));
        assert!(!output.stdout.contains("TOPSECRET"), "{}", output.stdout);
        assert!(output.stdout.contains("key"), "{}", output.stdout);
    }
}

#[tokio::test]
async fn analyze_exits_1_if_limit_is_broken() {
    let (_registry, name) = published(&wasteful()).await;
    let cli = Cli::new();
    cli.run(&[&name]).await.expect(0, "");
    let run = async |words: &[&str]| cli.run(&[&["analyze"], words, &[&name]].concat()).await;
    run(&["--fail-under", "0.5", "--max-waste", "80kB"]).await.expect(0, "");
    run(&["--fail-under", "0.99"]).await.expect(1, "below 99.00 %");
    run(&["--max-waste", "79999"]).await.expect(1, "wasted is 80000 bytes, above 79999");
    run(&["--max-waste", "10%"]).await.expect(1, "of the bytes, above 10 %");
    run(&["--ci"]).await.expect(2, "rules `.dive-ci`");
    let rules = |text: &str| std::fs::write(cli.dir().join(".dive-ci"), text).unwrap();
    rules("rules:\n  lowestEfficiency: 0.5\n  highestUserWastedPercent: disabled\n");
    run(&["--ci"]).await.expect(0, "");
    let broken = run(&["--json", "--ci", "--max-waste", "1"]).await;
    let json: Value = serde_json::from_str(&broken.expect(1, "").stdout).unwrap();
    assert_eq!(json["failed"][0]["limit"], "waste");
    rules("rules:\n  highestWastedBytes: 99KB\n");
    let broken = run(&["--ci"]).await;
    broken.expect(1, "dive waste is 100000 bytes, above 99000");
    assert!(broken.stdout.contains("dive waste  100.0 kB in all versions"), "{}", broken.stdout);
    rules("rules:\n  unheardOf: 1\n");
    run(&["--ci"]).await.expect(2, "unknown rule `unheardOf`");
    std::fs::write(cli.dir().join("other"), "rules:\n  lowestEfficiency: 0\n").unwrap();
    run(&["--ci=other"]).await.expect(1, "of the layers above the first");
    run(&["--fail-under", "high"]).await.expect(2, "expected a ratio");
}

#[tokio::test]
async fn analyze_of_damaged_layer_exits_5() {
    let image = wasteful();
    let (registry, name) = published(&image).await;
    let layer = &image.layers[2];
    let mut wrong = layer.bytes.to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    registry.blob_as("team/app", layer.digest(), wrong);
    let output = Cli::new().run(&["analyze", &name]).await;
    output.expect(5, layer.digest().as_str());
    assert_eq!(output.stdout, "");

    let mut other: Value = serde_json::from_slice(&image.config.bytes).unwrap();
    other["rootfs"]["diff_ids"][0] = json!(Digest::sha256(b"other"));
    with_config(&wasteful(), &other).publish(&registry, "team/app", Some("lie"));
    let name = registry.repository("team/app:lie");
    Cli::new().run(&["analyze", &name]).await.expect(5, "diff_id mismatch");
}

#[tokio::test]
async fn analyze_judges_compression_where_it_is_known() {
    let text = "the quick brown fox jumps over the lazy dog\n".repeat(6_000);
    let plain = uncompressed(&built(&[("COPY text /", layer(&[("text", text.as_bytes())]))]));
    let (_registry, name) = published(&plain).await;
    let cli = Cli::new();
    let analysis = cli.json(&["analyze", "--json", &name]).await;
    assert_eq!(rules(&analysis), ["uncompressed-layer"]);
    assert!(analysis["findings"][0]["bytes"].as_u64().unwrap() > 50_000);
    cli.run(&["copy", &name, "docker-archive:a.tar"]).await.expect(0, "");
    let archived = cli.json(&["analyze", "--json", "docker-archive:a.tar"]).await;
    assert_eq!(archived["findings"], json!([]), "the format has no compressed layers");
    let random = uncompressed(&built(&[("COPY x /", layer(&[("x", &random_blob(200_000, 1))]))]));
    let (_registry, name) = published(&random).await;
    let analysis = cli.json(&["analyze", "--json", &name]).await;
    assert_eq!(analysis["findings"], json!([]), "nothing would be gained");
}

#[tokio::test]
async fn analyze_sarif_has_shape_of_2_1_0() {
    let (_registry, name) = published(&wasteful()).await;
    let log = Cli::new().json(&["analyze", "--format", "sarif", &name]).await;
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let driver = &run["tool"]["driver"];
    let rules = driver["rules"].as_array().unwrap();
    assert!(driver["name"].is_string() && rules.len() >= 11);
    for rule in rules {
        assert!(rule["id"].is_string() && rule["shortDescription"]["text"].is_string());
    }
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 6);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
        assert!(result["message"]["text"].as_str().unwrap().contains("Tip: "));
        for location in result["locations"].as_array().unwrap() {
            let uri = &location["physicalLocation"]["artifactLocation"]["uri"];
            let uri = uri.as_str().unwrap();
            assert!(!uri.is_empty() && !uri.contains([' ', ':', '\\']), "{uri}");
        }
    }
}

#[tokio::test]
async fn analyze_texts_match_snapshots() {
    let (registry, name) = published(&wasteful()).await;
    let cli = Cli::new();
    cli.run(&[&name]).await.expect(0, "");
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&registry.server.host().replace('.', r"\."), "registry.test");
    settings.add_filter(r"127\.0\.0\.1%3A\d+", "registry.test");
    settings.add_filter(r"\b[0-9a-f]{64}\b", "[hex]");
    for format in ["text", "json", "sarif"] {
        let output = cli.run(&["analyze", "--format", format, &name]).await;
        let text = output.expect(0, "").stdout.clone();
        settings.bind(|| insta::assert_snapshot!(format!("analyze-{format}"), text));
    }
    let words = ["analyze", "--max-waste", "1kB", "--fail-under", "0.9", &name];
    let output = cli.run(&words).await;
    settings.bind(|| insta::assert_snapshot!("analyze-limits", output.expect(1, "").stderr));
}

#[tokio::test]
async fn analyze_rejects_artifact_and_missing_image() {
    let registry = FakeRegistry::start().await;
    crate::support::images::raw(Family::Oci, b"x".to_vec()).publish(&registry, "a", Some("1"));
    let cli = Cli::new();
    cli.run(&["analyze", &registry.repository("a:1")]).await.expect(1, "is not an image");
    cli.run(&["analyze", &registry.repository("a:2")]).await.expect(3, "");
    cli.run(&["analyze", "--offline", "store:nobody/a:1"]).await.expect(3, "not in the store");
}
