//! `verify --repair`: bad blobs are fetched again, and only those. Also what `verify` says about configs and layers.

use std::os::unix::fs::MetadataExt as _;

use rpull::media::MediaType;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{blob_path, filled, overwrite};
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::Fault;
use crate::support::images::{Blob, Family, Image, image, layer, random_blob, with_config};
use crate::support::live::needs;
use crate::support::small::Small;
use crate::support::strace::{distinct, inject, trace};
use crate::support::wait::wait_until;

/// Damages the first layer, keeping its size, and removes the second one.
fn damage(cli: &Cli, held: &Image) {
    let [base, app] = held.layers.as_slice() else { panic!("two layers") };
    overwrite(&blob_path(cli, base.digest()), &vec![0; base.bytes.len()]);
    std::fs::remove_file(blob_path(cli, app.digest())).unwrap();
}

fn report(output: &crate::support::cli::Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap()
}

#[tokio::test]
async fn repair_fetches_only_bad_blobs() {
    let (registry, cli, held, name) = filled().await;
    damage(&cli, &held);
    registry.server.forget();
    let repaired = cli.json(&["verify", "--repair", "--json", &name]).await;
    let bad = repaired["bad"].as_array().unwrap();
    assert_eq!(bad.len(), 2);
    assert!(bad.iter().all(|bad| bad["repaired"] == json!(true) && bad["images"] == json!([name])));
    assert_eq!(registry.server.count("/blobs/"), 2);
    assert_eq!(registry.server.count("/manifests/"), 0);
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
    for piece in held.blobs() {
        let path = blob_path(&cli, piece.digest());
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o444);
        assert_eq!(std::fs::read(path).unwrap(), piece.bytes);
    }
    let text = cli.run(&["verify", "--repair"]).await;
    assert!(text.expect(0, "").stdout.ends_with(" 0 bad\n"), "{}", text.stdout);
}

#[tokio::test]
async fn repair_fetches_blobs_concurrently() {
    let (registry, cli, held, name) = filled().await;
    damage(&cli, &held);
    registry.server.forget();
    registry.override_response("/blobs/", 0..1, |reply| reply.fault(Fault::Stall(0)));
    let running = cli.spawn(&["verify", "--repair", &name]);
    let both = async || registry.server.count("/blobs/") == 2;
    wait_until("the second blob waits for the first", both).await;
    let stopped = running.stop(Signal::INT).await;
    assert_eq!(stopped.code(), Some(130), "{}", stopped.stderr);
    cli.run(&["verify", "--repair", &name]).await.expect(0, "");
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
}

#[tokio::test]
async fn repair_of_manifest_finds_its_missing_layers() {
    let (_registry, cli, held, name) = filled().await;
    overwrite(&blob_path(&cli, held.manifest.digest()), b"{}");
    std::fs::remove_file(blob_path(&cli, held.layers[1].digest())).unwrap();
    let text = cli.run(&["verify", "--repair", &name]).await;
    assert_eq!(text.expect(0, "").stdout.matches("; repaired\n").count(), 2, "{}", text.stdout);
    assert!(text.stdout.ends_with(" 2 bad, 2 repaired\n"), "{}", text.stdout);
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
}

#[tokio::test]
async fn repair_of_manifest_includes_its_damaged_blobs() {
    let (_registry, cli, held, name) = filled().await;
    for blob in [&held.manifest, &held.config, &held.layers[0]] {
        overwrite(&blob_path(&cli, blob.digest()), b"{}");
    }
    let offline = cli.run(&["verify", "--repair", "--offline"]).await;
    offline.expect(5, "3 corrupt or missing blobs");
    let unknown = "not repaired: whether an image needs it is unknown";
    assert_eq!(offline.stdout.matches(unknown).count(), 2, "{}", offline.stdout);
    let text = cli.run(&["verify", "--repair"]).await;
    assert!(text.expect(0, "").stdout.ends_with(" 3 bad, 3 repaired\n"), "{}", text.stdout);
    let needed = format!("(needed by {name}); repaired\n");
    assert_eq!(text.stdout.matches(&needed).count(), 3, "{}", text.stdout);
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
}

#[tokio::test]
async fn repair_impossible_keeps_blob_and_says_why() {
    let (registry, cli, held, name) = filled().await;
    let digest = held.layers[0].digest();
    let damaged = vec![7; held.layers[0].bytes.len()];
    overwrite(&blob_path(&cli, digest), &damaged);
    let stray = cli.store().join("blobs/sha256").join("0".repeat(64));
    std::fs::write(&stray, "stray").unwrap();
    let offline = cli.run(&["verify", "--repair", "--json", "--offline"]).await;
    offline.expect(5, "2 corrupt or missing blobs");
    let why =
        |output: &Value, at: usize| output["bad"][at]["not_repaired"].as_str().unwrap().to_owned();
    let offline = report(&offline);
    assert!(why(&offline, 0).contains("no image needs it"), "{offline}");
    assert!(why(&offline, 1).contains("--offline"), "{offline}");
    registry.blob_as("team/app", digest, vec![9; damaged.len()]);
    let wrong = cli.run(&["verify", "--repair", "--json", &name]).await;
    wrong.expect(5, "1 corrupt or missing blob");
    assert!(why(&report(&wrong), 0).contains("mismatch"), "{}", wrong.stdout);
    assert_eq!(std::fs::read(blob_path(&cli, digest)).unwrap(), damaged, "nothing is lost");
    cli.run(&["verify", "--repair", &format!("docker://{name}")])
        .await
        .expect(2, "can be repaired");
    cli.run(&["copy", &format!("store:{name}"), "oci:l", "-q"]).await.expect(5, "");
}

#[tokio::test]
async fn repair_killed_at_any_step_completes_next_time() {
    if !needs("repair_killed_at_any_step_completes_next_time", &["strace", "setpriv"]) {
        return;
    }
    let registry = FakeRegistry::start().await;
    let held = super::app(2);
    held.publish(&registry, "team/app", Some("1"));
    let name = registry.repository("team/app:1");
    let prepare = async || {
        let cli = Cli::new().without_privileges();
        cli.run(&["-q", &name]).await.expect(0, "");
        damage(&cli, &held);
        cli
    };
    let args = ["verify", "--repair", &name];
    let (output, calls) = trace(&prepare().await, &args).await;
    assert!(output.expect(0, "").stdout.ends_with("2 bad, 2 repaired\n"), "{}", output.stdout);
    let points = distinct(&calls);
    assert!(
        points
            .iter()
            .any(|(call, path)| call.starts_with("rename") && path.starts_with("/ingest/"))
    );
    for (call, path) in &points {
        let cli = prepare().await;
        let output = inject(&cli, call, path, "signal=KILL", &args).await;
        assert_eq!(output.signal(), Some(9), "{call} of {path}: {output:?}");
        cli.run(&args).await.expect(0, "");
        let clean = cli.json(&["verify", "--json"]).await;
        assert_eq!(clean["bad"], json!([]), "after {call} of {path}");
    }
}

#[tokio::test]
async fn repair_on_full_or_read_only_disk_loses_nothing() {
    let test = "repair_on_full_or_read_only_disk_loses_nothing";
    if !needs(test, &["mount", "umount"]) {
        return;
    }
    let (registry, held) = (FakeRegistry::start().await, super::app(2));
    held.publish(&registry, "team/app", Some("1"));
    let (cli, name) = (Cli::new(), registry.repository("team/app:1"));
    let Some(small) = Small::mount(test, &cli.store(), "size=1m") else { return };
    cli.run(&["-q", &name]).await.expect(0, "");
    let (digest, size) = (held.layers[0].digest(), held.layers[0].bytes.len());
    overwrite(&blob_path(&cli, digest), &vec![0; size]);
    cli.run(&["verify"]).await.expect(5, "");
    std::fs::write(cli.store().join("strange"), vec![1; 2 << 20]).unwrap_err();
    let full = cli.run(&["verify", "--repair"]).await;
    full.expect(5, "");
    assert!(
        full.stdout.contains("not repaired: ") && full.stdout.contains("No space left"),
        "{}",
        full.stdout
    );
    small.remount("ro");
    cli.run(&["verify", "--repair"]).await.expect(7, "Read-only file system");
    assert_eq!(std::fs::read(blob_path(&cli, digest)).unwrap(), vec![0; size]);
    small.remount("rw");
    std::fs::remove_file(cli.store().join("strange")).unwrap();
    cli.run(&["verify", "--repair"]).await.expect(0, "");
}

#[tokio::test]
async fn verify_compares_diff_ids_at_every_location() {
    let registry = FakeRegistry::start().await;
    let own = image(Family::Oci, "amd64", &[layer(&[("a", &random_blob(9_000, 1))])]);
    let mut config: Value = serde_json::from_slice(&own.config.bytes).unwrap();
    config["rootfs"]["diff_ids"][0] = json!(rpull::Digest::sha256(b"something else"));
    let lying = with_config(&own, &config);
    own.publish(&registry, "app", Some("right"));
    lying.publish(&registry, "app", Some("wrong"));
    let (cli, name) = (Cli::new(), |tag: &str| registry.repository(&format!("app:{tag}")));
    for tag in ["right", "wrong"] {
        cli.run(&["-q", &name(tag)]).await.expect(0, "");
        cli.run(&["copy", "-q", &name(tag), &format!("oci-archive:{tag}.tar")]).await.expect(0, "");
    }
    let places = |tag: &str| {
        [name(tag), format!("docker://{}", name(tag)), format!("oci-archive:{tag}.tar")]
    };
    for place in places("right") {
        assert_eq!(cli.json(&["verify", "--json", &place]).await["bad"], json!([]), "{place}");
    }
    let recorded = std::fs::read_to_string(cli.store().join("diff_ids")).unwrap();
    assert_eq!(recorded, format!("{} {}\n", own.layers[0].digest(), own_diff_id(&own)));
    for place in places("wrong") {
        let output = cli.run(&["verify", "--json", &place]).await;
        output.expect(5, "1 corrupt or missing blob");
        let bad = &report(&output)["bad"][0];
        assert_eq!(bad["digest"], json!(own.layers[0].digest()), "{place}");
        assert!(bad["why"].as_str().unwrap().starts_with("diff_id mismatch: "), "{place}: {bad}");
    }
    // The record is no excuse for other bytes.
    overwrite(&blob_path(&cli, own.layers[0].digest()), b"other");
    cli.run(&["verify", &name("right")]).await.expect(5, "");
    std::fs::write(cli.store().join("diff_ids"), "garbage\n").unwrap();
    cli.run(&["verify", "--repair", &name("right")]).await.expect(0, "");
}

fn own_diff_id(image: &Image) -> String {
    let config: Value = serde_json::from_slice(&image.config.bytes).unwrap();
    config["rootfs"]["diff_ids"][0].as_str().unwrap().to_owned()
}

/// Documents above each other: a manifest, and as many indexes as may nest.
fn nested() -> (Image, Vec<Blob>) {
    let held = super::app(2);
    let mut documents = vec![held.manifest.clone()];
    for _ in 0..7 {
        let below = &documents.last().unwrap().descriptor;
        let index =
            json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [below]});
        documents.push(Blob::json(MediaType::OCI_INDEX, &index));
    }
    (held, documents)
}

#[tokio::test]
async fn repair_of_nested_indexes_reaches_blobs() {
    let (registry, cli, (held, documents)) = (FakeRegistry::start().await, Cli::new(), nested());
    held.publish(&registry, "team/app", None);
    for document in &documents {
        document.publish(&registry, "team/app", Some("1"));
    }
    let name = registry.repository("team/app:1");
    cli.run(&["pull", "--all-platforms", &name]).await.expect(0, "");
    for blob in documents.iter().chain(held.blobs()) {
        overwrite(&blob_path(&cli, blob.digest()), b"{}");
    }
    let text = cli.run(&["verify", "--repair", &name]).await;
    let all = documents.len() + held.blobs().count();
    let end = format!(" {all} bad, {all} repaired\n");
    assert!(text.expect(0, "").stdout.ends_with(&end), "{}", text.stdout);
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
}
