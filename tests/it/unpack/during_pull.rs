//! `pull --unpack`: unpacking while layers are downloaded.

use std::path::Path;

use rpull::digest::Digest;
use rpull::error::ErrorKind;
use rpull::layout::{Layout, LayoutOptions};
use rpull::{ImageSource, Pull, Unpack};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::entries::{TarItem, layer_of};
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::Fault;
use crate::support::images::{Family, Image, image, index, random_blob};
use crate::support::tree::names;
use crate::support::wait::wait_until;

/// Returns an image with a small base and a large layer.
fn sample() -> Image {
    let base = layer_of(&[TarItem::dir("etc"), TarItem::file("etc/kept", "kept")]);
    let upper = layer_of(&[TarItem::file("big", random_blob(3_000_000, 1))]);
    image(Family::Oci, "amd64", &[base, upper])
}

const TREE: [&str; 3] = ["big", "etc/", "etc/kept"];

async fn published(held: &Image) -> (FakeRegistry, String) {
    let registry = FakeRegistry::start().await;
    held.publish(&registry, "team/app", Some("1"));
    let name = format!("{}:1", registry.repository("team/app"));
    (registry, name)
}

/// Returns whether a file exists in the staging directory.
fn is_made(dir: &Path, file: &str) -> bool {
    let made = std::fs::read_dir(dir).into_iter().flatten().flatten();
    made.filter(|entry| entry.file_name().to_string_lossy().starts_with(".rpull-unpack-"))
        .any(|entry| entry.path().join(entry.file_name()).join(file).exists())
}

#[tokio::test]
async fn unpack_applies_layer_before_next_arrives() {
    let held = sample();
    let (registry, name) = published(&held).await;
    let upper = held.layers[1].digest();
    registry.override_response(upper.as_str(), 0..1, |reply| reply.fault(Fault::Stall(1_000_000)));
    let cli = Cli::new();
    let running = cli.spawn(&["pull", "--unpack", "root", &name]);
    wait_until("nothing is applied", async || is_made(cli.dir(), "etc/kept")).await;
    assert!(!cli.store().join("blobs/sha256").join(upper.encoded()).exists());
    running.stop(Signal::INT).await.expect(130, "interrupted");
    let output = cli.run(&["pull", "--unpack", "root", &name]).await;
    output.expect(0, "unpacked 2 layers, 2 files, 3.0 MB, ");
    assert_eq!(output.stdout, "root\n");
    assert_eq!(names(&cli.dir().join("root")), TREE);
}

#[tokio::test]
async fn unpack_during_pull_fetches_each_blob_once() {
    let held = sample();
    let (registry, name) = published(&held).await;
    let cli = Cli::new();
    cli.run(&["pull", "--unpack", "root", &name]).await.expect(0, ", 0 B shared (0 %)");
    for layer in &held.layers {
        assert_eq!(registry.server.count(layer.digest().as_str()), 1);
    }
    cli.run(&["verify"]).await.expect(0, "");
    registry.server.forget();
    // Blobs are read from the store; the registry is only asked for the digest of the name.
    cli.run(&["pull", "--unpack", "again", &name]).await.expect(0, "unpacked 2 layers");
    assert_eq!(registry.server.lines(), ["HEAD /v2/team/app/manifests/1"]);
    assert_eq!(names(&cli.dir().join("again")), TREE);
    cli.run(&["pull", "--offline", "--unpack", "third", &name]).await.expect(0, "unpacked");
}

#[tokio::test]
async fn unpack_during_pull_makes_same_requests_as_pull() {
    let held = sample();
    let registry = FakeRegistry::start().await;
    let both = index(Family::Oci, &[("amd64", held), ("arm64", sample())]);
    both.publish(&registry, "team/app", "1");
    let name = format!("{}:1", registry.repository("team/app"));
    let asked = || {
        let mut lines = registry.server.lines();
        lines.sort();
        registry.server.forget();
        lines
    };
    let (first, others) = (Cli::new(), [Cli::new(), Cli::new(), Cli::new()]);
    for when in ["cold", "warm"] {
        let platform = ["--platform", "linux/amd64"];
        first.run(&[&["pull"], &platform[..], &[&name]].concat()).await.expect(0, "");
        let wanted = asked();
        assert_eq!(wanted.len(), if when == "cold" { 5 } else { 1 }, "{wanted:?}");
        let ways: [&[&str]; 3] =
            [&["pull", "--unpack", when], &["pull", "--overlay", "--unpack", when], &["unpack"]];
        for (cli, way) in others.iter().zip(ways) {
            if way == ["unpack"] {
                // With the image in the store, no request is made.
                let command = [way, &platform, &[&name, when]].concat();
                cli.run(&command).await.expect(0, "");
                assert_eq!(asked(), if when == "cold" { wanted.clone() } else { vec![] });
                continue;
            }
            let output = cli.run(&[way, &platform, &[&name]].concat()).await;
            let requests = if when == "cold" { " 5 requests, " } else { " 1 request, " };
            output.expect(0, requests);
            assert_eq!(asked(), wanted, "{way:?}");
        }
    }
}

/// Publishes an image whose base cannot be applied and whose second layer stalls.
async fn broken_and_stalled(base: &[TarItem]) -> (FakeRegistry, String, Image) {
    let upper = layer_of(&[TarItem::file("big", random_blob(3_000_000, 1))]);
    let digest = Digest::sha256(&upper.bytes).to_string();
    let held = image(Family::Oci, "amd64", &[layer_of(base), upper]);
    let (registry, name) = published(&held).await;
    registry.override_response(&digest, 0..1, |reply| reply.fault(Fault::Stall(1_000_000)));
    (registry, name, held)
}

#[tokio::test]
async fn unpack_failed_layer_stops_pull() {
    let ways: [&[&str]; 3] = [&[], &["--overlay"], &["--overlay", "--jobs", "1"]];
    for way in ways {
        let (_registry, name, held) = broken_and_stalled(&[TarItem::hardlink("a", "gone")]).await;
        let cli = Cli::new();
        let output = cli.run(&[&["pull", "--unpack", "root"], way, &[&name]].concat()).await;
        output.expect(7, &format!("error: layer {}: a: ", held.layers[0].digest()));
        output.expect(7, " missing, ");
        assert!(!output.stderr.contains("interrupted"), "{}", output.stderr);
        if way.len() < 2 {
            let arrived = cli.store().join("blobs/sha256").join(held.layers[0].digest().encoded());
            assert!(arrived.exists(), "what came is kept");
        }
    }
}

#[tokio::test]
async fn unpack_no_store_failed_layer_stops_download() {
    let (_registry, name, held) = broken_and_stalled(&[TarItem::hardlink("a", "gone")]).await;
    let cli = Cli::new();
    let output = cli.run(&["unpack", "--no-store", &name, "root"]).await;
    output.expect(7, &format!("error: layer {}: a: ", held.layers[0].digest()));
}

#[tokio::test]
async fn unpack_no_store_wrong_bytes_once_hints_at_next_run() {
    let held = sample();
    let (registry, name) = published(&held).await;
    registry.override_response(held.layers[1].digest().as_str(), 0..1, |mut reply| {
        let mut bytes = reply.body.to_vec();
        bytes[100_000..].fill(0);
        reply.body = bytes.into();
        reply
    });
    let cli = Cli::new();
    let command = ["unpack", "--no-store", &name, "root"];
    cli.run(&command).await.expect(7, "right now; run the command again");
    cli.run(&command).await.expect(0, "");
}

#[tokio::test]
async fn resume_wrong_partial_is_refetched_before_unpack_fails() {
    let held = sample();
    let (registry, name) = published(&held).await;
    let upper = &held.layers[1];
    let cli = Cli::new();
    cli.run(&["pull", &name]).await.expect(0, "");
    cli.run(&["rm", &name]).await.expect(0, "");
    cli.run(&["prune"]).await.expect(0, "");
    let mut bytes = upper.bytes[..2_000_000].to_vec();
    bytes[100_000..200_000].fill(0);
    let partial = cli.store().join("ingest").join(format!("sha256-{}", upper.digest().encoded()));
    std::fs::write(partial, bytes).unwrap();
    // The mismatch is detected only after the rest has arrived.
    let output = cli.run(&["pull", "--unpack", "root", "--limit-rate", "4M", &name]).await;
    output.expect(5, &format!("error: layer {}: was corrupted in transit", upper.digest()));
    registry.server.forget();
    cli.run(&["pull", "--unpack", "root", &name]).await.expect(0, "unpacked 2 layers");
    assert_eq!(registry.server.count(upper.digest().as_str()), 0, "it was fetched again before");
}

#[tokio::test]
async fn unpack_digest_mismatch_leaves_no_files_or_blob() {
    let held = sample();
    let (registry, name) = published(&held).await;
    let upper = &held.layers[1];
    let other = layer_of(&[TarItem::file("big", random_blob(3_000_000, 2))]);
    registry.blob_as("team/app", upper.digest(), other.bytes);
    let cli = Cli::new();
    cli.run(&["pull", "--unpack", "root", &name]).await.expect(5, upper.digest().as_str());
    assert!(!cli.dir().join("root").exists() && !is_made(cli.dir(), ""));
    assert!(!cli.store().join("blobs/sha256").join(upper.digest().encoded()).exists());
    // The right bytes succeed.
    registry.blob_as("team/app", upper.digest(), upper.bytes.clone());
    cli.run(&["pull", "--unpack", "root", &name]).await.expect(0, "unpacked");
}

#[tokio::test]
async fn unpack_missing_blob_is_not_found() {
    let held = sample();
    let (registry, name) = published(&held).await;
    registry.delete_blob("team/app", held.layers[1].digest());
    let cli = Cli::new();
    cli.run(&["pull", "--unpack", "root", &name]).await.expect(3, held.layers[1].digest().as_str());
    assert!(!cli.dir().join("root").exists());
}

#[tokio::test]
async fn unpack_fetches_foreign_layer() {
    let held = sample();
    let (registry, _) = published(&held).await;
    let mut manifest: Value = serde_json::from_slice(&held.manifest.bytes).unwrap();
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    manifest["layers"][1]["mediaType"] = json!(foreign);
    manifest["layers"][1]["urls"] = json!(["http://127.0.0.1:1/layer"]);
    let kind = held.manifest.descriptor.media_type.as_str();
    registry.document("team/app", Some("foreign"), kind, manifest.to_string());
    let name = format!("{}:foreign", registry.repository("team/app"));
    let ways: [&[&str]; 2] = [&["pull", "--unpack", "root", &name], &["unpack", &name, "root"]];
    for way in ways {
        let cli = Cli::new();
        cli.run(way).await.expect(0, "unpacked 2 layers");
        assert_eq!(names(&cli.dir().join("root")), TREE);
    }
}

#[tokio::test]
async fn unpack_option_with_two_images_is_usage_error() {
    let cli = Cli::new();
    cli.run(&["pull", "--unpack", "root", "a.test/a", "a.test/b"]).await.expect(2, "one image");
    let two = ["pull", "--unpack", "r", "--platform", "linux/arm64", "--platform", "linux/amd64"];
    cli.run(&[&two[..], &["a.test/a"]].concat()).await.expect(2, "one platform");
    cli.run(&["pull", "--unpack", "root", "oci:x"]).await.expect(2, "not an image in a registry");
}

#[tokio::test]
async fn library_pull_and_unpack_create_root() {
    let (_registry, name) = published(&sample()).await;
    let dir = tempfile::tempdir().unwrap();
    let (store, root) = (dir.path().join("store"), dir.path().join("root"));
    let store = Layout::create(&store, LayoutOptions::default()).unwrap();
    Pull::new(&name).to(&store).await.unwrap();
    let unpack = Unpack::new(ImageSource::from(&store).named(&name)).to(&root);
    let unpacked = unpack.clone().await.unwrap();
    assert_eq!((unpacked.files, names(&root)), (2, TREE.map(str::to_owned).to_vec()));
    let again = unpack.await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Unpack);
}
