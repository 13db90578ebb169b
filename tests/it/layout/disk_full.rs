//! A disk without space or inodes, or mounted read-only.

use std::path::Path;

use serde_json::json;

use super::assert_recovers;
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, image, layer, random_blob};
use crate::support::live::needs;
use crate::support::samples::published;
use crate::support::small::Small;

#[tokio::test]
async fn disk_full_keeps_partial_for_resume() {
    let test = "disk_full_keeps_partial_for_resume";
    if !needs(test, &["mount", "umount"]) {
        return;
    }
    let registry = FakeRegistry::start().await;
    let layers = [1, 2].map(|seed| layer(&[("data", &random_blob(1_500_000, seed))]));
    let held = image(Family::Oci, "amd64", &layers);
    held.publish(&registry, "a", Some("1"));
    let (cli, name) = (Cli::new(), format!("{}:1", registry.repository("a")));
    let Some(_small) = Small::mount(test, &cli.store(), "size=8m") else { return };
    // Others take the space once the pull has seen that there is enough.
    let taken = cli.store().join("taken");
    let take = taken.clone();
    registry.override_response(held.layers[0].digest().as_str(), 0..1, move |reply| {
        std::fs::write(&take, vec![1; 5_800_000]).unwrap();
        reply
    });
    let ingest = cli.store().join("ingest");
    let output = cli.run(&["--jobs", "1", &name]).await;
    output.expect(7, "No space left on device").expect(7, "hint: free disk space");
    assert!(cli.run(&["images"]).await.stdout.lines().count() < 2, "no half image has a name");
    let kept: u64 =
        std::fs::read_dir(&ingest).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert!(kept > 0, "what arrived is kept");
    std::fs::remove_file(taken).unwrap();
    let report = cli.report(&["--json", &name]).await;
    assert_eq!(report["bytes"]["resumed"], kept);
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
}

#[tokio::test]
async fn disk_full_rm_and_prune_free_space() {
    let test = "disk_full_rm_and_prune_free_space";
    if !needs(test, &["mount", "umount"]) {
        return;
    }
    let (registry, [held, _], name) = published().await;
    let (cli, name) = (Cli::new(), format!("{name}:1"));
    let Some(_small) = Small::mount(test, &cli.store(), "size=1m") else { return };
    cli.run(&[&name]).await.expect(0, "");
    let ingest = cli.store().join("ingest");
    // A partial fills the disk to its last page.
    let partial = ingest.join(format!("sha256-{}", "0".repeat(64)));
    let fill = |path: &Path| std::fs::write(path, vec![1; 2 << 20]).unwrap_err();
    assert_eq!(fill(&partial).kind(), std::io::ErrorKind::StorageFull);
    cli.run(&["tag", &name, "b"]).await.expect(7, "prune --partials");
    assert!(!cli.store().join("index.json.new").exists(), "what could not be written is no use");
    assert_eq!(cli.json(&["prune", "--json"]).await["partials"], 0, "it may be continued");
    let plan = cli.json(&["prune", "--partials", "--plan", "--json"]).await;
    assert_eq!(plan["partials"], 1);
    assert_eq!(cli.json(&["prune", "--partials", "--json"]).await, plan);
    assert!(!partial.exists());

    // Now something that is none of rpull's.
    fill(&cli.store().join("strange"));
    cli.run(&["rm", &name]).await.expect(0, "");
    assert_eq!(cli.json(&["images", "--json"]).await, json!([]));
    let left = std::fs::read_dir(cli.store().join("blobs/sha256")).unwrap().count();
    assert_eq!(left, held.layers.len() + 1, "one blob made enough room");
    std::fs::remove_file(cli.store().join("strange")).unwrap();
    registry.server.forget();
    cli.run(&[&name]).await.expect(0, "");
    assert_eq!(registry.server.count("/blobs/"), 1);
}

#[tokio::test]
async fn disk_full_rm_keeps_other_images() {
    let test = "disk_full_rm_keeps_other_images";
    if !needs(test, &["mount", "umount"]) {
        return;
    }
    let (_registry, _, name) = published().await;
    let (cli, names) = (Cli::new(), [1, 2].map(|tag| format!("{name}:{tag}")));
    let Some(_small) = Small::mount(test, &cli.store(), "size=1m") else { return };
    cli.run(&names).await.expect(0, "");
    cli.run(&["tag", &names[0], "b"]).await.expect(0, "");
    std::fs::write(cli.store().join("strange"), vec![1; 2 << 20]).unwrap_err();
    cli.run(&["rm", &names[0]]).await.expect(7, "No space left on device");
    cli.run(&["rm", &names[1]]).await.expect(0, "");
    cli.run(&["rm", &names[0]]).await.expect(0, "");
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
}

#[tokio::test]
async fn disk_full_leaves_no_archive() {
    let test = "disk_full_leaves_no_archive";
    if !needs(test, &["mount", "umount"]) {
        return;
    }
    let registry = FakeRegistry::start().await;
    let held = image(Family::Oci, "amd64", &[layer(&[("data", &random_blob(900_000, 1))])]);
    held.publish(&registry, "a", Some("1"));
    let (cli, name) = (Cli::new().env("TMPDIR", "small"), registry.repository("a") + ":1");
    let Some(_small) = Small::mount(test, &cli.dir().join("small"), "size=500k") else { return };
    cli.run(&[&name]).await.expect(0, "");
    let store = format!("store:{name}");
    for args in [
        ["save", &name, "-o", "small/a.tar"],
        ["copy", &store, "oci-archive:small/a.tar", "-q"],
        ["copy", &store, "docker-archive:small/a.tar", "-q"],
        ["pull", &name, "-o", "oci-archive:small/a.tar"],
    ] {
        let output = cli.run(&args).await;
        output
            .expect(7, "small/a.tar: No space left on device")
            .expect(7, "hint: free disk space there");
        assert_eq!(std::fs::read_dir(cli.dir().join("small")).unwrap().count(), 0, "{args:?}");
    }
    cli.run(&["save", &name, "-o", "a.tar"]).await.expect(0, "");
    let piped = cli.spawn_in_shell("cat a.tar | \"$@\"", &["load", "-"]).wait().await;
    piped
        .expect(7, "spool the archive: small: No space left on device")
        .expect(7, "set `TMPDIR` to a directory");
    cli.run(&["load", "a.tar"]).await.expect(0, "(100 %)");
}

#[tokio::test]
async fn disk_without_inodes_reports_no_space() {
    let test = "disk_without_inodes_reports_no_space";
    if !needs(test, &["mount", "umount"]) {
        return;
    }
    let (_registry, _, name) = published().await;
    let (cli, name) = (Cli::new(), format!("{name}:1"));
    // Enough for the store, not for all of its blobs.
    let Some(small) = Small::mount(test, &cli.store(), "nr_inodes=10") else { return };
    cli.run(&[&name]).await.expect(7, "No space left on device");
    small.remount("nr_inodes=100");
    assert_recovers(&cli, &[&name], "no inodes").await;
}

#[tokio::test]
async fn store_read_only_fails_before_any_request() {
    let test = "store_read_only_fails_before_any_request";
    if !needs(test, &["mount", "umount"]) {
        return;
    }
    let (registry, [held, _], name) = published().await;
    let cli = Cli::new();
    let Some(small) = Small::mount(test, &cli.store(), "size=1m") else { return };
    cli.run(&[&format!("{name}:1")]).await.expect(0, "");
    small.remount("ro");
    registry.server.forget();
    let output = cli.run(&[&format!("{name}:2")]).await;
    output.expect(7, "Read-only file system").expect(7, cli.store().to_str().unwrap());
    assert!(registry.server.requests().is_empty(), "found out before anything is fetched");
    let held_name = format!("{name}:1");
    for args in [&["rm", &held_name][..], &["tag", &held_name, "b"]] {
        cli.run(args).await.expect(7, "Read-only file system");
    }
    cli.run(&["prune"]).await.expect(0, "");
    let manifest = cli.run(&["manifest", &format!("store:{name}:1")]).await;
    assert_eq!(manifest.expect(0, "").stdout.as_bytes(), held.manifest.bytes);
    cli.run(&["images"]).await.expect(0, "");
    cli.run(&["verify"]).await.expect(0, "");
    cli.run(&["-o", "oci:elsewhere", &format!("{name}:2")]).await.expect(0, "");
}
