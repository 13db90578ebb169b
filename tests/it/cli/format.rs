//! `--format`: templates, named formats, and hints for templates of other tools; `--filter`, `--sort` and `--limit` of lists.

use serde_json::{Value, json};

use super::assert_harmless;
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Blob, Family, image, layer, random_blob, with_config};
use crate::support::samples::published;

#[tokio::test]
async fn format_prints_fields_of_json() {
    let (_registry, [first, _], name) = published().await;
    let (cli, name) = (Cli::new(), format!("{name}:1"));
    let lines = async |args: &[&str]| cli.run(args).await.expect(0, "").stdout.clone();
    let digest = first.manifest.digest();
    let layers = first.layers.len();
    let inspected = lines(&["inspect", &name, "--format", "{{digest}} {{layers | length}}"]).await;
    assert_eq!(inspected, format!("{digest} {layers}\n"));
    assert_eq!(lines(&["digest", "--format", "{{digest}}", &name]).await, format!("{digest}\n"));
    let listed = lines(&["layers", "--format", "{{index}}\\t{{kind}}", &name]).await;
    assert_eq!(listed.lines().count(), layers);
    assert!(listed.starts_with("0\tbase\n"), "{listed}");
    let pulled = lines(&["pull", "--format", "{{digest}} {{bytes.transferred}}", &name]).await;
    assert_eq!(pulled, format!("{digest} {}\n", first.size()));
    let images = lines(&["images", "--format", "{{reference}}"]).await;
    assert_eq!(images, format!("{name}\n"));
    let tags =
        lines(&["tags", "--format", "{{tags | join(',')}}", name.trim_end_matches(":1")]).await;
    assert_eq!(tags, "1,2\n");
    let kind = lines(&["manifest", "--format", "{{mediaType}}", &name]).await;
    assert_eq!(kind.trim_end(), first.manifest.descriptor.media_type.as_str());
    let files = lines(&["files", "--format", "{{path}}", &name]).await;
    assert!(files.lines().count() > 0 && !files.contains('{'), "{files}");
    let as_json: Value =
        serde_json::from_str(&lines(&["images", "--format", "json"]).await).unwrap();
    assert_eq!(as_json[0]["reference"], name);
}

#[tokio::test]
async fn format_of_go_or_unknown_name_has_a_hint() {
    let (registry, _, name) = published().await;
    let (cli, name) = (Cli::new(), format!("{name}:1"));
    registry.server.forget();
    for (format, hint) in [
        ("{{.Digest}}", "hint: write `{{digest}}`"),
        ("{{json .}}", "hint: use `--json`"),
        ("{{json .RepoTags}}", "hint: write `{{reference | tojson}}`"),
        ("{{.Architecture}}", "hint: write `{{platform}}`"),
        ("{{.NoField}}", "hint: write a field without a dot, `{{digest}}`: reference, source"),
        ("{{digest", "`--format`: syntax error"),
        ("sarif", "or json, skopeo"),
        ("table", "expected a template such as `{{digest}}`"),
    ] {
        cli.run(&["inspect", "--format", format, &name]).await.expect(2, hint);
    }
    assert_eq!(registry.server.requests().len(), 0);
    let unknown = cli.run(&["inspect", "--format", "{{digests}}", &name]).await;
    unknown.expect(2, "hint: use one of the fields: reference, source, digest");
    cli.run(&["inspect", "--format", "{{digest}}", "--json", &name]).await.expect(2, "--json");
}

#[tokio::test]
async fn format_with_unknown_field_changes_nothing() {
    let (registry, _, name) = published().await;
    let (cli, name) = (Cli::new(), format!("{name}:1"));
    cli.run(&[&name]).await.expect(0, "");
    registry.server.forget();
    for words in
        [vec!["pull", &name], vec!["push", &name], vec!["rm", &name], vec!["tag", &name, "x:1"]]
    {
        let output = cli.run(&[words, vec!["--format", "{{nope}}"]].concat()).await;
        output.expect(2, "undefined value `nope`").expect(2, "hint: use one of the fields: ");
    }
    assert_eq!(registry.server.requests().len(), 0);
    assert_eq!(cli.run(&["images", "-q"]).await.stdout, format!("{name}\n"));
    // The fields that are offered are those of the JSON.
    for words in [
        &["images"][..],
        &["inspect", &name],
        &["history", &name],
        &["digest", &name],
        &["pull", &name],
        &["tag", &name, "x:1"],
        &["rm", "x:1"],
    ] {
        let value = cli.json(&[words, &["--json"]].concat()).await;
        let value = value.get(0).unwrap_or(&value);
        let hint = cli.run(&[words, &["--format", "{{.NoField}}"]].concat()).await.stderr;
        for field in value.as_object().unwrap().keys() {
            assert!(hint.contains(&format!(" {field}")), "{words:?} {field}: {hint}");
        }
    }
}

#[tokio::test]
async fn format_escapes_foreign_text() {
    let registry = FakeRegistry::start().await;
    let own = image(Family::Oci, "amd64", &[layer(&[("a", b"a")])]);
    let mut config: Value = serde_json::from_slice(&own.config.bytes).unwrap();
    config["config"]["Labels"] = json!({"x": "\u{1b}[2J\u{202e}\nnext"});
    with_config(&own, &config).publish(&registry, "a", Some("1"));
    let (cli, name) = (Cli::new(), registry.repository("a:1"));
    for template in ["{{config.Labels.x}}", "{{config.Labels | tojson}}", "{{config}}"] {
        let shown = cli.run(&["inspect", "--format", template, &name]).await;
        assert_harmless(shown.expect(0, ""));
        assert_eq!(shown.stdout.lines().count(), 1, "{}", shown.stdout);
    }
}

#[tokio::test]
async fn inspect_in_format_of_skopeo_has_its_fields() {
    let (_registry, [first, _], name) = published().await;
    let cli = Cli::new();
    let args = ["inspect", "--format", "skopeo", &format!("{name}:1")];
    let seen = cli.json(&args).await;
    assert_eq!((&seen["Name"], &seen["Digest"]), (&json!(name), &json!(first.manifest.digest())));
    assert_eq!(seen["RepoTags"], json!(["1", "2"]));
    assert_eq!((&seen["Architecture"], &seen["Os"]), (&json!("amd64"), &json!("linux")));
    let digests: Vec<_> = first.layers.iter().map(Blob::digest).collect();
    assert_eq!(seen["Layers"], json!(digests));
    assert_eq!(seen["LayersData"][0]["Size"], first.layers[0].descriptor.size);
    assert_eq!(seen["LayersData"][0]["Annotations"], Value::Null);
    assert_eq!(seen["Env"], json!(["PATH=/bin"]));
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_limited() {
    let registry = FakeRegistry::start().await;
    let cli = Cli::new();
    for (tag, size, created) in
        [("1.9", 300, "2026-01-03"), ("1.10", 100, "2026-01-01"), ("edge", 200, "2026-01-02")]
    {
        let own = image(Family::Oci, "amd64", &[layer(&[("a", &random_blob(size, 1))])]);
        let mut config: Value = serde_json::from_slice(&own.config.bytes).unwrap();
        config["created"] = json!(format!("{created}T00:00:00Z"));
        with_config(&own, &config).publish(&registry, "app", Some(tag));
        cli.run(&[registry.repository(&format!("app:{tag}"))]).await.expect(0, "");
    }
    let app = registry.repository("app");
    let lines = async |args: &[&str]| -> Vec<String> {
        let output = cli.run(args).await;
        let text = output.expect(0, "").stdout.replace(&format!("{app}:"), "");
        text.lines().map(str::to_owned).collect()
    };
    assert_eq!(lines(&["images", "-q", "--sort", "created"]).await, ["1.9", "edge", "1.10"]);
    assert_eq!(lines(&["images", "-q", "--sort", "size", "--limit", "2"]).await, ["1.9", "edge"]);
    assert_eq!(lines(&["images", "-q", "--filter", "tag=1.*"]).await, ["1.10", "1.9"]);
    assert_eq!(lines(&["tags", &app, "--sort", "version"]).await, ["1.10", "1.9", "edge"]);
    let limited = ["tags", &app, "--filter", "tag=1.*", "--sort", "version", "--limit", "1"];
    assert_eq!(lines(&limited).await, ["1.10"]);
    cli.run(&["tags", &app, "--filter", "name=x"]).await.expect(2, "expected tag=PATTERN");
    cli.run(&["images", "--filter", "name=x"]).await.expect(2, "expected one of the keys");
}
