//! `copy --format oci|docker` and `copy --compression`: new documents and layers, and nothing else that changes.

use rpull::digest::Digest;
use rpull::media::MediaType;
use serde::Serialize as _;
use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::Fault;
use crate::support::images::{
    Blob, Family, Image, Index, assemble, image, index, layer, random_blob, referrer_to,
    uncompressed, with_config,
};

const OCI_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// Text that compresses well, so that levels differ.
fn text(seed: u64) -> Vec<u8> {
    random_blob(20_000, seed).iter().flat_map(|byte| byte.to_string().into_bytes()).collect()
}

fn two_layers(family: Family, architecture: &str) -> Image {
    let top = layer(&[("b", text(2).as_slice()), (architecture, b"x")]);
    image(family, architecture, &[layer(&[("a", &text(1))]), top])
}

/// The manifest as docker writes it, with lines.
fn indented(image: Image) -> Image {
    let value: Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"   ");
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter)).unwrap();
    let media_type = image.manifest.descriptor.media_type.clone();
    Image { manifest: Blob::new(media_type, bytes), ..image }
}

fn without_attestations(index: &Index) -> Index {
    let mut value: Value = serde_json::from_slice(&index.document.bytes).unwrap();
    let entries = value["manifests"].as_array_mut().unwrap();
    entries.retain(|entry| entry.get("annotations").is_none());
    let media_type = index.document.descriptor.media_type.clone();
    Index { document: Blob::json(media_type, &value), attestations: Vec::new(), ..index.clone() }
}

async fn registry_with(image: &Image) -> (FakeRegistry, Cli) {
    let registry = FakeRegistry::start().await;
    image.publish(&registry, "a", Some("1"));
    (registry, Cli::new())
}

fn media_types(manifest: &Value) -> Vec<&str> {
    let layers = manifest["layers"].as_array().unwrap().iter();
    let all = [manifest, &manifest["config"]].into_iter().chain(layers);
    all.map(|object| object["mediaType"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn conversion_to_other_format_and_back_gives_first_digest() {
    for image in [indented(two_layers(Family::Docker, "amd64")), two_layers(Family::Oci, "amd64")] {
        let (registry, cli) = registry_with(&image).await;
        let [from, there, back] = ["a:1", "b:1", "c:1"].map(|name| registry.repository(name));
        let is_docker = image.manifest.descriptor.media_type == MediaType::DOCKER_MANIFEST;
        let (to, own) = if is_docker { ("oci", "docker") } else { ("docker", "oci") };
        let old = image.manifest.digest();
        let output = cli.run(&["copy", "--format", to, &from, &there]).await;
        output.expect(0, &format!("old digest {old}\n")).expect(0, "new digest sha256:");
        let manifest = cli.json(&["manifest", &there]).await;
        let family = if is_docker { ".oci." } else { ".docker." };
        assert!(media_types(&manifest).iter().all(|kind| kind.contains(family)), "{manifest}");
        let report = cli.json(&["copy", "--json", "--format", own, &there, &back]).await;
        assert_eq!(report["digest"], json!(old));
        assert_eq!(report["bytes"]["mounted"], json!(image.size()), "blobs stay as they are");
        let same = cli.run(&["copy", "--format", own, &back, &from]).await;
        same.expect(0, "nothing to convert").expect(0, &format!("digest: {old}"));
        assert_eq!(registry.server.count("GET /v2/a/blobs/"), 0);
    }
}

#[tokio::test]
async fn conversion_of_index_converts_all_of_it() {
    let images = ["amd64", "arm64"].map(|name| (name, two_layers(Family::Oci, name)));
    let whole = index(Family::Oci, &images);
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    let [from, plain, to, back] =
        ["a:1", "a:plain", "b:1", "c:1"].map(|name| registry.repository(name));
    whole.publish(&registry, "a", "1");
    let images_only = without_attestations(&whole);
    images_only.publish(&registry, "a", "plain");

    let told = "left out 2 attestations, which Docker's format does not have";
    cli.run(&["copy", "--format", "docker", &from, &to]).await.expect(0, told);
    let with_attestations = cli.run(&["digest", &to]).await.stdout;
    let one = ["copy", "--format", "docker", "--platform", "linux/arm64", &from, &to];
    cli.run(&one).await.expect(0, "");
    assert_eq!(cli.json(&["config", &to]).await["architecture"], "arm64");

    cli.run(&["copy", "--format", "docker", &plain, &to]).await.expect(0, "");
    assert_eq!(cli.run(&["digest", &to]).await.stdout, with_attestations);
    let list = cli.json(&["manifest", &to]).await;
    assert_eq!(list["mediaType"], MediaType::DOCKER_LIST.as_str());
    for entry in list["manifests"].as_array().unwrap() {
        assert_eq!(entry["mediaType"], MediaType::DOCKER_MANIFEST.as_str());
    }
    cli.run(&["pull", "--all-platforms", &to]).await.expect(0, "");
    let report = cli.json(&["copy", "--json", "--format", "oci", &to, &back]).await;
    assert_eq!(report["digest"], json!(images_only.document.digest()));
}

#[tokio::test]
async fn recompression_keeps_content_and_attestations_and_reads_each_layer_once() {
    let images = ["amd64", "arm64"].map(|name| (name, two_layers(Family::Oci, name)));
    let whole = index(Family::Oci, &images);
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    whole.publish(&registry, "a", "1");
    let from = registry.repository("a:1");
    let args = ["copy", "--compression", "zstd", &from, "oci:l:new"];
    cli.run(&args).await.expect(0, "3 layers recompressed");
    assert_eq!(
        registry.server.count("GET /v2/a/blobs/"),
        3 + 2 + 4,
        "layers, configs, attestations"
    );

    let root = cli.json(&["manifest", "oci:l:new"]).await;
    let entries = root["manifests"].as_array().unwrap();
    for (pair, attestation) in entries.chunks(2).zip(&whole.attestations) {
        assert_eq!(pair[1]["annotations"]["vnd.docker.reference.digest"], pair[0]["digest"]);
        assert_eq!(pair[1]["digest"], json!(attestation.manifest.digest()));
    }
    let diff_ids = async |place: &str| {
        let layers = cli.json(&["layers", "--json", place]).await;
        let layers = layers.as_array().unwrap().iter().map(|layer| layer["diff_id"].clone());
        layers.collect::<Vec<_>>()
    };
    assert_eq!(diff_ids("oci:l:new").await, diff_ids(&from).await);
    assert_eq!(cli.json(&["verify", "--json", "oci:l"]).await["bad"], json!([]));
    cli.run(&["unpack", "oci:l:new", "root"]).await.expect(0, "");
    assert_eq!(std::fs::read(cli.dir().join("root/a")).unwrap(), text(1));
    let kept = std::fs::read_dir(cli.dir().join("tmp")).unwrap().count();
    assert_eq!(kept, 0, "temporary files have no names");
    cli.run(&["copy", "--compression", "zstd", "oci:l:new", "oci:l:again"])
        .await
        .expect(0, "nothing to convert");
}

#[tokio::test]
async fn recompression_of_plain_layers_obeys_level_and_format() {
    // Random digits, as in the other images, have no matches that a higher level would find.
    let counted = |step: u32| -> Vec<u8> {
        (0..20_000)
            .flat_map(|n: u32| format!("{} of {n}\n", n * step % 9973).into_bytes())
            .collect()
    };
    let layers = [7919, 4801].map(|step| layer(&[("counted", &counted(step))]));
    let image = uncompressed(&image(Family::Oci, "amd64", &layers));
    let (registry, cli) = registry_with(&image).await;
    let from = registry.repository("a:1");
    let mut sizes = Vec::new();
    for level in ["1", "9"] {
        let name = format!("oci:l:gzip{level}");
        let level = ["--compression", "gzip", "--compression-level", level];
        let args =
            [&["copy", "--json", "--format", "docker"], &level[..], &[&from, &name]].concat();
        sizes.push(cli.json(&args).await["bytes"]["total"].as_u64().unwrap());
        let layer = "application/vnd.docker.image.rootfs.diff.tar.gzip";
        let manifest = cli.json(&["manifest", &name]).await;
        assert_eq!(media_types(&manifest)[2..], [layer, layer]);
    }
    assert!(sizes[1] < sizes[0], "{sizes:?}");
    let to = ["oci-archive:a.tar:x", "docker-archive:b.tar:x"];
    for to in to {
        cli.run(&["copy", "--compression", "zstd", &from, to]).await.expect(0, "2 layers");
        cli.run(&["files", to, "--flat"]).await.expect(0, "");
    }
    let manifest = cli.json(&["manifest", to[0]]).await;
    assert_eq!(media_types(&manifest)[2..], [OCI_ZSTD, OCI_ZSTD]);
}

#[tokio::test]
async fn recompression_removes_annotations_about_old_bytes() {
    let held = two_layers(Family::Oci, "amd64");
    let mut manifest: Value = serde_json::from_slice(&held.manifest.bytes).unwrap();
    let toc = "containerd.io/snapshot/stargz/toc.digest";
    manifest["layers"][0]["annotations"] = json!({toc: "sha256:0", "kept": "1"});
    manifest["layers"][0]["urls"] = json!(["https://cdn.example/layer"]);
    manifest["annotations"] = json!({"title": "kept"});
    let held = Image { manifest: Blob::json(MediaType::OCI_MANIFEST, &manifest), ..held };
    let (registry, cli) = registry_with(&held).await;
    let args = ["copy", "--compression", "zstd", &registry.repository("a:1"), "oci:l:x"];
    cli.run(&args).await.expect(0, "");
    let new = cli.json(&["manifest", "oci:l:x"]).await;
    assert_eq!(new["layers"][0]["annotations"], json!({"kept": "1"}));
    assert_eq!(
        (&new["layers"][0]["urls"], &new["annotations"]),
        (&Value::Null, &manifest["annotations"])
    );
    assert_eq!(new["config"], manifest["config"]);
}

#[tokio::test]
async fn conversion_with_loss_is_refused_before_reading_layers() {
    let held = two_layers(Family::Oci, "amd64");
    let (registry, cli) = registry_with(&held).await;
    let (from, zstd) = (registry.repository("a:1"), registry.repository("a:zstd"));
    cli.run(&["copy", "--compression", "zstd", &from, &zstd]).await.expect(0, "");
    referrer_to(&held.manifest, "application/x").publish(&registry, "a", Some("referrer"));
    let referrer = registry.repository("a:referrer");
    let unknown = assemble(Family::Oci, held.config.clone(), vec![Blob::new("a/b".into(), "x")]);
    unknown.publish(&registry, "a", Some("unknown"));
    registry.server.forget();
    let copy = async |from: &str, options: &[&str]| {
        cli.run(&[&["copy", from, "oci:l:x"], options].concat()).await
    };
    let docker = ["--format", "docker"];
    copy(&zstd, &docker).await.expect(1, "add `--compression gzip`");
    copy(&referrer, &docker).await.expect(1, "a member `subject`");
    copy(&registry.repository("a:unknown"), &docker).await.expect(1, "cannot express a a/b");
    assert_eq!(registry.server.count("/blobs/"), 0, "{:?}", registry.server.lines());
    registry.server.forget();
    for (options, part) in [
        (&["--format", "docker", "--compression", "zstd"][..], "Docker's format does not have"),
        (&["--compression", "gzip", "--compression-level", "10"], "expected 1 to 9"),
        (&["--compression-level", "3"], "--compression <NAME>"),
        (&["--compression", "xz"], "gzip, zstd, estargz"),
        (&["--format", "v2s2"], "oci, docker"),
        (&["--format", "oci", "--referrers"], "belong to the digest of the original"),
        (&["--format", "{{digest}}", "--json"], "cannot be used with `--json`"),
    ] {
        copy(&from, options).await.expect(2, part);
    }
    assert!(registry.server.requests().is_empty() && !cli.dir().join("l").exists());
}

#[tokio::test]
async fn recompression_of_wrong_layer_fails_and_broken_body_is_resumed() {
    let held = two_layers(Family::Oci, "amd64");
    let (registry, cli) = registry_with(&held).await;
    registry.override_response("GET /v2/a/blobs/", 0..2, |reply| reply.fault(Fault::Cut(9_000)));
    let args = ["copy", "--compression", "zstd", &registry.repository("a:1"), "oci:l:x"];
    cli.run(&args).await.expect(0, "2 layers recompressed");

    let mut config: Value = serde_json::from_slice(&held.config.bytes).unwrap();
    config["rootfs"]["diff_ids"][1] = json!(Digest::sha256(b"other"));
    with_config(&held, &config).publish(&registry, "a", Some("wrong"));
    let wrong = registry.repository("a:wrong");
    let args = ["copy", "--compression", "zstd", &wrong, "oci:l:wrong"];
    cli.run(&args).await.expect(5, "diff_id mismatch: expected");
    config["rootfs"]["diff_ids"] = json!([]);
    with_config(&held, &config).publish(&registry, "a", Some("wrong"));
    cli.run(&args).await.expect(5, "has 2 layers and 0 diff_ids");
    registry.blob_as("a", held.layers[0].digest(), "damaged");
    let args = ["copy", "--compression", "zstd", &registry.repository("a:1"), "oci:l:bad"];
    let output = cli.run(&args).await;
    assert_eq!(output.code(), Some(5), "{}", output.stderr);
}

#[tokio::test]
async fn conversion_of_all_tags_compresses_shared_layer_once() {
    let held = two_layers(Family::Docker, "amd64");
    let (registry, cli) = registry_with(&held).await;
    two_layers(Family::Docker, "arm64").publish(&registry, "a", Some("2"));
    let [from, to] = ["a", "b"].map(|name| registry.repository(name));
    let args = ["copy", "--all-tags", "--format", "oci", "--compression", "zstd", &from, &to];
    cli.run(&args).await.expect(0, "");
    let layers = held.layers[0].digest();
    assert_eq!(registry.server.count(&format!("GET /v2/a/blobs/{layers}")), 1);
    for tag in ["1", "2"] {
        let manifest = cli.json(&["manifest", &format!("{to}:{tag}")]).await;
        assert_eq!(media_types(&manifest)[2..], [OCI_ZSTD, OCI_ZSTD]);
    }
}
