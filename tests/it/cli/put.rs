//! `put-blob` and `put-manifest`: what arrives, what is refused before anything is sent, and how it ends.

use rpull::digest::Digest;
use serde_json::json;

use crate::support::cli::Cli;
use crate::support::fake_registry::{Auth, FakeRegistry, Options};
use crate::support::images::{Family, Image, image, layer, random_blob};

fn write_image(cli: &Cli, image: &Image) {
    let write = |name: &str, bytes: &[u8]| std::fs::write(cli.dir().join(name), bytes).unwrap();
    write("manifest", &image.manifest.bytes);
    write("config", &image.config.bytes);
    write("layer", &image.layers[0].bytes);
}

fn one_layer() -> Image {
    image(Family::Oci, "amd64", &[layer(&[("a", &random_blob(100_000, 1))])])
}

#[tokio::test]
async fn put_blob_and_manifest_make_image_in_registry() {
    let (registry, cli, held) = (FakeRegistry::start().await, Cli::new(), one_layer());
    write_image(&cli, &held);
    let (repository, name) = (registry.repository("app"), registry.repository("app:1"));
    let digest = held.layers[0].digest();
    let refused = cli.run(&["put-manifest", &name, "manifest"]).await;
    refused.expect(3, &format!("{}, {digest}", held.config.digest())).expect(3, "rpull put-blob");
    assert_eq!(registry.server.count("PUT /v2/app/manifests/"), 0);

    let output = cli.run(&["put-blob", &repository, "layer"]).await;
    assert_eq!(output.expect(0, "put 105.5 kB in").stdout, format!("{digest}\n"));
    assert_eq!(registry.blob_bytes("app", digest).unwrap(), held.layers[0].bytes);
    registry.server.forget();
    let again = ["put-blob", "--json", &repository, "layer"];
    let shown = cli.json(&again).await;
    assert_eq!((&shown["outcome"], &shown["digest"]), (&json!("shared"), &json!(digest)));
    assert_eq!(registry.server.count("PATCH") + registry.server.count("PUT"), 0);
    let config = String::from_utf8(held.config.bytes.to_vec()).unwrap();
    cli.run_on(&config, &["put-blob", "-q", &repository, "-"]).await.expect(0, "");

    let output = cli.run(&["put-manifest", &name, "manifest"]).await;
    assert_eq!(
        output.expect(0, "put application/vnd").stdout,
        format!("{}\n", held.manifest.digest())
    );
    assert_eq!(registry.tagged("app", "1"), Some(held.manifest.digest().to_string()));
    cli.run(&[&name]).await.expect(0, "");
}

#[tokio::test]
async fn put_into_layout_and_store_is_read_back() {
    let (cli, held) = (Cli::new(), one_layer());
    write_image(&cli, &held);
    for (place, name, dir) in [("oci:l", "oci:l:app", "l"), ("store:app:1", "store:app:1", "store")]
    {
        cli.run(&["put-manifest", name, "manifest"]).await.expect(3, "rpull put-blob");
        assert!(!cli.dir().join(dir).exists(), "{dir}");
        for file in ["layer", "config"] {
            cli.run(&["put-blob", place, file]).await.expect(0, "");
        }
        cli.run(&["put-manifest", name, "manifest"]).await.expect(0, "");
        cli.run(&["files", name]).await.expect(0, "");
        let digest = cli.run(&["digest", name]).await.stdout;
        assert_eq!(digest.trim(), held.manifest.digest().as_str());
    }
}

#[tokio::test]
async fn put_blob_with_its_digest_is_accepted_at_every_location() {
    let (cli, held) = (Cli::new(), one_layer());
    write_image(&cli, &held);
    let digest = held.layers[0].digest().to_string();
    for (place, dir) in [
        (format!("oci:a@{digest}"), "a"),
        (format!("oci:b:app@{digest}"), "b"),
        (format!("store:app:1@{digest}"), "store"),
        (format!("store:{digest}"), "store"),
    ] {
        let put = cli.run(&["put-blob", &place, "layer"]).await;
        assert_eq!(put.expect(0, "").stdout, format!("{digest}\n"), "{place}");
        let blob = cli.dir().join(dir).join("blobs").join(digest.replace(':', "/"));
        assert_eq!(std::fs::read(blob).unwrap(), held.layers[0].bytes, "{place}");
    }
}

#[tokio::test]
async fn put_with_other_digest_or_document_sends_nothing() {
    let (registry, cli, held) = (FakeRegistry::start().await, Cli::new(), one_layer());
    write_image(&cli, &held);
    let repository = registry.repository("app");
    let other = format!("{repository}@{}", Digest::sha256(b"other"));
    cli.run(&["put-blob", &other, "layer"]).await.expect(5, "digest mismatch: expected");
    cli.run(&["put-manifest", &other, "manifest"]).await.expect(5, "digest mismatch");
    let tag = format!("{repository}:1");
    let put = async |document: &str, more: &[&str]| {
        cli.run_on(document, &[&["put-manifest", &tag, "-"], more].concat()).await
    };
    put("{}", &[]).await.expect(5, "schemaVersion is not 2");
    put("<html>", &[]).await.expect(5, "looks like a web page");
    put(r#"{"schemaVersion":2,"layers":[],"manifests":[]}"#, &[]).await.expect(5, "ambiguous");
    put(&" ".repeat(5 << 20), &[]).await.expect(5, "larger than 4 MiB");
    put("{}", &["--media-type", "text/plain"]).await.expect(2, "expected that of a manifest");
    let as_index = ["--media-type", "application/vnd.oci.image.index.v1+json"];
    let manifest = String::from_utf8(held.manifest.bytes.to_vec()).unwrap();
    put(&manifest, &as_index).await.expect(5, "ambiguous");
    let as_docker = ["--media-type", "application/vnd.docker.distribution.manifest.v2+json"];
    put(&manifest, &as_docker).await.expect(2, "its `mediaType` is application/vnd.oci");
    cli.run(&["put-blob", &repository, "absent"]).await.expect(3, "read: absent");
    cli.run(&["put-manifest", &tag, "absent"]).await.expect(3, "read: absent");
    cli.run(&["put-blob", "docker-archive:x.tar", "layer"]).await.expect(2, "an `oci:PATH`");
    for place in ["oci:l", "oci:l:app", "store:app:1", "store:app"] {
        let other = format!("{place}@{}", Digest::sha256(b"other"));
        cli.run(&["put-blob", &other, "layer"]).await.expect(5, "digest mismatch: expected");
    }
    cli.run(&["put-manifest", "oci-archive:x.tar", "layer"]).await.expect(2, "an archive");
    cli.run(&["put-manifest", "oci:l", "manifest"]).await.expect(2, "no name");
    assert!(registry.server.requests().is_empty(), "{:?}", registry.server.lines());
}

#[tokio::test]
async fn put_of_index_needs_one_manifest_and_warns_of_others() {
    let (registry, cli, held) = (FakeRegistry::start().await, Cli::new(), one_layer());
    held.publish(&registry, "app", None);
    let absent = Digest::sha256(b"absent");
    let entry = |digest: &Digest, size: usize| json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": size});
    let index = |entries: &[serde_json::Value]| {
        json!({"schemaVersion": 2, "manifests": entries}).to_string()
    };
    let tag = registry.repository("app:all");
    let gone = entry(&absent, 6);
    let alone = index(std::slice::from_ref(&gone));
    cli.run_on(&alone, &["put-manifest", &tag, "-"]).await.expect(3, absent.as_str());
    assert_eq!(registry.tagged("app", "all"), None);
    let here = entry(held.manifest.digest(), held.manifest.bytes.len());
    let output = cli.run_on(&index(&[here, gone]), &["put-manifest", &tag, "-"]).await;
    let warning = format!("warning: the index lists {absent}");
    assert!(output.stderr.contains(&warning), "{}", output.stderr);
}

#[tokio::test]
async fn put_without_permission_ends_with_4() {
    let auth = Auth::Basic { user: "user".into(), password: "pass".into() };
    let registry = FakeRegistry::start_with(Options { auth, ..Options::default() }).await;
    let (cli, held) = (Cli::new(), one_layer());
    write_image(&cli, &held);
    let name = registry.repository("app");
    cli.run(&["put-blob", &name, "layer"]).await.expect(4, "rpull login");
    cli.run(&["put-manifest", &name, "manifest"]).await.expect(4, "rpull login");
    cli.run(&["put-blob", "--creds", "user:pass", &name, "layer"]).await.expect(0, "");
}
