//! Commands that inspect an image without pulling it: what they print and how few requests they send.

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::fake_registry::{FakeRegistry, Options};
use crate::support::http::Fault;
use crate::support::images::{Family, Image, image, index, layer, random_blob};

fn app() -> Image {
    image(
        Family::Docker,
        "amd64",
        &[layer(&[("a", b"a")]), layer(&[("b", &random_blob(70_000, 1))])],
    )
}

async fn published() -> (FakeRegistry, Image, String) {
    let (registry, image) = (FakeRegistry::start().await, app());
    image.publish(&registry, "team/app", Some("1"));
    let name = format!("{}:1", registry.repository("team/app"));
    (registry, image, name)
}

#[tokio::test]
async fn manifest_and_config_are_printed_verbatim() {
    let (registry, image, name) = published().await;
    let cli = Cli::new();
    let manifest = cli.run(&["manifest", &name]).await;
    assert_eq!(manifest.stdout.as_bytes(), image.manifest.bytes, "no newline is added");
    assert_eq!(cli.run(&["config", &name]).await.stdout.as_bytes(), image.config.bytes);
    registry.server.forget();
    let digest = cli.run(&["digest", &name]).await;
    assert_eq!(digest.stdout, format!("{}\n", image.manifest.digest()));
    assert_eq!(registry.server.lines(), ["HEAD /v2/team/app/manifests/1"]);
    assert_eq!(
        cli.json(&["digest", "--json", &name]).await["digest"],
        json!(image.manifest.digest())
    );
    assert!(!cli.store().exists());
}

#[tokio::test]
async fn manifest_of_index_is_root_without_platform() {
    let registry = FakeRegistry::start().await;
    let [amd64, arm64] = ["amd64", "arm64"]
        .map(|name| image(Family::Oci, name, &[layer(&[("a", name.as_bytes())])]));
    let both = index(Family::Oci, &[("amd64", amd64), ("arm64", arm64.clone())]);
    both.publish(&registry, "a", "1");
    let (cli, name) = (Cli::new(), format!("{}:1", registry.repository("a")));
    let run = async |args: &[&str]| cli.run(&[args, &[&name]].concat()).await.stdout;
    assert_eq!(run(&["manifest"]).await.as_bytes(), both.document.bytes);
    let arm = ["--platform", "linux/arm64"];
    assert_eq!(run(&["manifest", arm[0], arm[1]]).await.as_bytes(), arm64.manifest.bytes);
    assert_eq!(run(&["digest", arm[0], arm[1]]).await.trim(), arm64.manifest.digest().as_str());
    assert_eq!(run(&["config", arm[0], arm[1]]).await.as_bytes(), arm64.config.bytes);
    let shown: Value =
        serde_json::from_str(&run(&["inspect", "--json", arm[0], arm[1]]).await).unwrap();
    assert_eq!(shown["digest"], json!(both.document.digest()));
    assert_eq!(shown["manifest"], json!(arm64.manifest.digest()));
    assert_eq!(shown["platforms"], json!(["linux/amd64", "linux/arm64"]));
}

#[tokio::test]
async fn history_and_layers_fetch_only_manifest_and_config() {
    let (registry, image, name) = published().await;
    let cli = Cli::new();
    let history = cli.run(&["history", &name]).await;
    let lines: Vec<&str> = history.expect(0, "").stdout.lines().collect();
    let columns: Vec<&str> =
        lines[0].split("  ").map(str::trim).filter(|c| !c.is_empty()).collect();
    assert_eq!(columns, ["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"]);
    assert!(lines[1].starts_with(image.config.digest().short()) && lines[1].contains("CMD"));
    assert!(lines[2].starts_with("<missing>") && lines[2].contains("COPY step 1"));
    assert_eq!(registry.server.requests().len(), 2);
    assert_eq!(registry.server.count("/blobs/"), 1);

    let rows = cli.json(&["history", "--json", &name]).await;
    let newest = json!({
        "image": image.config.digest(), "created": "2026-01-02T03:04:05Z", "created_by": "CMD [\"/hello\"]",
        "size": 0, "comment": "", "empty_layer": true, "digest": null, "diff_id": null,
    });
    assert_eq!(rows[0], newest);
    assert_eq!(rows[2]["digest"], json!(image.layers[0].digest()));
    assert_eq!(rows[2]["size"], image.layers[0].descriptor.size);

    let rows = cli.json(&["layers", "--json", &name]).await;
    assert_eq!((&rows[0]["kind"], &rows[1]["kind"]), (&json!("base"), &json!("copy")));
    assert_eq!(rows[0]["chain_id"], rows[0]["diff_id"], "the first of a chain");
    assert_ne!(rows[1]["chain_id"], rows[1]["diff_id"]);
    let table = cli.run(&["layers", &name]).await.stdout;
    assert!(table.starts_with("LAYER   KIND") && table.contains("COPY step 1"));
}

#[tokio::test]
async fn inspect_of_stored_image_sends_no_request() {
    let (registry, image, name) = published().await;
    let cli = Cli::new();
    cli.run(&[&name]).await.expect(0, "");
    cli.run(&["-o", "oci:layout", &name]).await.expect(0, "");
    registry.server.forget();
    let verbs: [&[&str]; 4] = [&["history"], &["layers"], &["inspect"], &["inspect", "--json"]];
    for verb in verbs {
        cli.run(&[verb, &[&name]].concat()).await.expect(0, "");
    }
    for place in [format!("store:{name}"), "oci:layout".to_owned(), format!("oci:layout:{name}")] {
        for (verb, bytes) in [("manifest", &image.manifest.bytes), ("config", &image.config.bytes)]
        {
            let output = cli.run(&[verb, &place]).await;
            assert_eq!(output.expect(0, "").stdout.as_bytes(), bytes, "{place}");
        }
        let digest = cli.run(&["digest", "--offline", &place]).await.stdout;
        assert_eq!(digest.trim(), image.manifest.digest().as_str());
    }
    assert!(registry.server.requests().is_empty());
    cli.run(&["history", "--offline", "nobody/has:this"]).await.expect(3, "--offline");
    cli.run(&["manifest", "store:nobody/has:this"]).await.expect(3, "not in the store");
    cli.run(&["history", &format!("docker://{name}")]).await.expect(0, "");
    assert_eq!(registry.server.requests().len(), 2, "docker:// forces the registry");
}

#[tokio::test]
async fn blob_output_is_verified_or_absent() {
    let (registry, image, name) = published().await;
    let (cli, repository) = (Cli::new(), registry.repository("team/app"));
    let blob = &image.config;
    let pinned = format!("{repository}@{}", blob.digest());
    let output = cli.run(&["blob", &pinned]).await;
    assert_eq!(output.expect(0, "").stdout.as_bytes(), blob.bytes);
    cli.run(&["blob", "-o", "out.json", &pinned]).await.expect(0, "");
    assert_eq!(std::fs::read(cli.dir().join("out.json")).unwrap(), blob.bytes);
    cli.run(&["blob", &name]).await.expect(2, "expected IMAGE@DIGEST");
    let absent = format!("{repository}@sha256:{}", "0".repeat(64));
    cli.run(&["blob", &absent]).await.expect(3, "404 not found");

    let layer = &image.layers[1];
    let mut wrong = layer.bytes.to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    registry.blob_as("team/app", layer.digest(), wrong);
    let pinned = format!("{repository}@{}", layer.digest());
    cli.run(&["blob", "-o", "layer", &pinned]).await.expect(5, "digest mismatch: got");
    assert!(!cli.dir().join("layer").exists());
    // `Cli::run` expects text.
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_rpull"));
    command.args(["--no-mirrors", "--store", "/nowhere", "blob", &pinned]);
    let piped = command.output().await.unwrap();
    assert_eq!(piped.status.code(), Some(5));
    assert!(piped.stdout.len() < layer.bytes.len(), "the end is withheld");

    registry.blob_as("team/app", layer.digest(), layer.bytes.clone());
    registry
        .override_response("GET /v2/team/app/blobs/", 0..1, |reply| reply.fault(Fault::Cut(1000)));
    cli.run(&["blob", "-o", "layer", &pinned]).await.expect(0, "");
    assert_eq!(std::fs::read(cli.dir().join("layer")).unwrap(), layer.bytes, "healed");

    cli.run(&[&name]).await.expect(0, "");
    registry.server.forget();
    cli.run(&["blob", "-o", "again", &pinned]).await.expect(0, "");
    cli.run(&["blob", "-o", "again", &format!("store:{pinned}")]).await.expect(0, "");
    assert!(registry.server.requests().is_empty(), "the store has it");
}

#[tokio::test]
async fn tags_lists_all_pages() {
    let registry = FakeRegistry::start_with(Options { page: Some(2), ..Options::default() }).await;
    for tag in ["1", "2", "3", "latest", "old"] {
        app().publish(&registry, "team/app", Some(tag));
    }
    let (cli, name) = (Cli::new(), registry.repository("team/app"));
    let output = cli.run(&["tags", &name]).await;
    assert_eq!(output.expect(0, "").stdout, "1\n2\n3\nlatest\nold\n");
    let listed = cli.json(&["tags", "--json", &name]).await;
    assert_eq!(listed, json!({"repository": name, "tags": ["1", "2", "3", "latest", "old"]}));
    cli.run(&["tags", &format!("{name}:1")]).await.expect(2, "without the tag");
    cli.run(&["tags", &registry.repository("nobody")]).await.expect(3, "not known to registry");
}
