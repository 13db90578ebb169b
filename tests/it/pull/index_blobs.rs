//! Indexes that list blobs, such as build caches.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::cache::{Cache, cache, list};
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Blob, Family, image, layer};
use crate::support::live::{Access, Live, needs};

fn assert_in_layout(layout: &Path, cache: &Cache) {
    for blob in &cache.blobs {
        let path = layout.join("blobs/sha256").join(blob.digest().encoded());
        assert_eq!(std::fs::read(&path).unwrap(), blob.bytes, "{}", path.display());
    }
}

/// Copies the cache from location to location.
async fn copy_around(cli: &Cli, cache: &Cache, source: &str, target: &str) {
    let places = [source, "oci:l:ci/x", target, "oci-archive:a.tar:ci/x", "store:ci/x"];
    for pair in places.windows(2) {
        let report = cli.json(&["copy", "--json", pair[0], pair[1]]).await;
        assert_eq!(report["bytes"]["total"], cache.size(), "{pair:?}");
        assert_eq!(report["bytes"]["transferred"], cache.size(), "{pair:?}");
        assert_eq!(report["blobs"].as_array().unwrap().len(), cache.blobs.len(), "{pair:?}");
    }
    assert_in_layout(&cli.dir().join("l"), cache);
    assert_in_layout(&cli.store(), cache);
}

#[tokio::test]
async fn copy_index_of_blobs_transfers_every_blob() {
    let (from, to, cli, cache) =
        (FakeRegistry::start().await, FakeRegistry::start().await, Cli::new(), cache());
    cache.publish(&from, "ci/cache", "x");
    let target = to.repository("copied") + ":x";
    copy_around(&cli, &cache, &(from.repository("ci/cache") + ":x"), &target).await;
    for blob in &cache.blobs {
        assert_eq!(to.blob_bytes("copied", blob.digest()).as_ref(), Some(&blob.bytes));
    }
    // The index comes last, so that no client finds it before its blobs.
    let lines = to.server.lines();
    let named =
        lines.iter().position(|line| line.starts_with("PUT /v2/copied/manifests/")).unwrap();
    let is_upload = |line: &String| line.starts_with("PUT /v2/copied/blobs/");
    assert_eq!(lines[..named].iter().filter(|line| is_upload(line)).count(), 3, "{lines:?}");
    let again = cli.json(&["copy", "--json", "oci:l:ci/x", &target]).await;
    assert_eq!(again["bytes"]["transferred"], 0, "{again}");
    cli.run(&["save", "ci/x", "-o", "s.tar"]).await.expect(0, "");
    let other = Cli::new();
    let saved = cli.dir().join("s.tar").display().to_string();
    other.run(&["load", &saved]).await.expect(0, "");
    assert_in_layout(&other.store(), &cache);
    cli.run(&["push", "ci/x", &(to.repository("pushed") + ":x")]).await.expect(0, "");
    assert!(to.blob_bytes("pushed", cache.blobs[2].digest()).is_some());
}

#[tokio::test]
async fn store_index_of_blobs_is_counted_and_verified() {
    let (registry, cli, cache) = (FakeRegistry::start().await, Cli::new(), cache());
    cache.publish(&registry, "ci/cache", "x");
    let name = registry.repository("ci/cache") + ":x";
    cli.run(&[&name]).await.expect(3, "blobs (application/vnd.buildkit.cacheconfig.v0");
    cli.run(&[&name]).await.expect(3, "`--all-platforms` pulls or copies all of it");
    let plan = cli.report(&["pull", "--all-platforms", "--plan", "--json", &name]).await;
    assert_eq!(plan["bytes"]["missing"], cache.size());
    cli.run(&["pull", "--all-platforms", &name]).await.expect(0, "");
    let again = ["pull", "--all-platforms", &name];
    cli.run(&again).await.expect(0, "transferred 0 B");
    assert_eq!(cli.json(&["images", "--json"]).await[0]["size"], cache.size());
    let used = cli.json(&["df", "--json"]).await;
    assert_eq!(used["unreferenced"], 0);
    assert_eq!(used["images"][0]["size"], cache.size() + cache.index.descriptor.size);
    assert_eq!(cli.json(&["prune", "--json"]).await["blobs"], 0);
    assert_eq!(cli.json(&["verify", "--json"]).await["blobs"], 4);
    let lost = cache.blobs[0].digest();
    std::fs::remove_file(cli.store().join("blobs/sha256").join(lost.encoded())).unwrap();
    let found = cli.run(&["verify", &name]).await;
    assert!(
        found.expect(5, "1 corrupt or missing").stdout.contains(&format!("{lost}: is missing"))
    );
    cli.run(&again).await.expect(0, "");
    cli.run(&["verify", &name]).await.expect(0, "");
}

/// Publishes an image for each of three platforms. Returns their index entries.
fn three_platforms(registry: &FakeRegistry) -> Vec<Value> {
    let entry = |architecture: &str| {
        let image = image(Family::Oci, architecture, &[layer(&[("a", architecture.as_bytes())])]);
        image.publish(registry, "app", None);
        let mut entry = json!(image.manifest.descriptor);
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entry
    };
    ["amd64", "arm64", "s390x"].map(entry).into()
}

#[tokio::test]
async fn copy_index_platforms_keeps_blobs_of_those_platforms() {
    let (from, to, cli) = (FakeRegistry::start().await, FakeRegistry::start().await, Cli::new());
    let mut entries = three_platforms(&from);
    let thing = |text: &str| Blob::new("application/vnd.example.disk".into(), text.to_owned());
    let (all, arm, s390x) = (thing("for all"), thing("for arm64"), thing("for s390x"));
    for (blob, architecture) in [(&all, ""), (&arm, "arm64"), (&s390x, "s390x")] {
        from.blob("app", blob.bytes.clone());
        let mut entry = json!(blob.descriptor);
        if !architecture.is_empty() {
            entry["platform"] = json!({"os": "linux", "architecture": architecture});
        }
        entries.push(entry);
    }
    list(&entries).publish(&from, "app", Some("1"));
    let (source, target) = (from.repository("app") + ":1", to.repository("app") + ":1");
    let some = ["--platform", "linux/amd64", "--platform", "linux/arm64"];
    cli.run(&[&["copy", &source, &target], &some[..]].concat()).await.expect(0, "");
    cli.run(&[&["pull", &source], &some[..]].concat()).await.expect(0, "");
    for (blob, is_there) in [(&all, true), (&arm, true), (&s390x, false)] {
        assert_eq!(to.blob_bytes("app", blob.digest()).is_some(), is_there);
        let stored = cli.store().join("blobs/sha256").join(blob.digest().encoded());
        assert_eq!(stored.exists(), is_there);
    }
    cli.run(&["verify", &source]).await.expect(0, "");
    cli.run(&["copy", &source, &target, "--platform", "linux/amd64"]).await.expect(0, "");
    cli.run(&["copy", &source, &target, "--platform", "linux/riscv64"])
        .await
        .expect(3, "linux/amd64, linux/arm64, linux/s390x, blobs (application/vnd.example.disk)");
}

#[tokio::test]
async fn copy_nested_index_platforms_keeps_listing_index() {
    let (from, to, cli) = (FakeRegistry::start().await, FakeRegistry::start().await, Cli::new());
    let entries = three_platforms(&from);
    let inner = list(&entries[1..]);
    inner.publish(&from, "app", None);
    list(&[entries[0].clone(), json!(inner.descriptor)]).publish(&from, "app", Some("1"));
    let (source, target) = (from.repository("app") + ":1", to.repository("app") + ":1");
    let some = ["--platform", "linux/amd64", "--platform", "linux/arm64"];
    cli.run(&[&["pull", &source], &some[..]].concat()).await.expect(0, "");
    let pruned = cli.run(&["prune"]).await.expect(0, "").stdout.clone();
    assert!(pruned.contains("freed 0 B"), "{pruned}");
    cli.run(&["verify", &source]).await.expect(0, "");
    let stored = format!("store:{source}");
    for place in [&*target, "oci:layout:x", &stored] {
        if place != stored {
            cli.run(&[&["copy", &source, place], &some[..]].concat()).await.expect(0, "");
        }
        for architecture in ["amd64", "arm64"] {
            let platform = format!("linux/{architecture}");
            let asked = ["config", place, "--platform", &platform];
            let config = cli.run(&asked).await.expect(0, "").stdout.clone();
            assert!(config.contains(architecture), "{place}: {config}");
        }
    }
    let named = cli.run(&["manifest", &target]).await.expect(0, "").stdout.clone();
    assert!(
        !named.contains("s390x") && !named.contains("image.index.v1+json\",\"digest"),
        "{named}"
    );
}

#[tokio::test]
async fn copy_index_of_unsupported_manifests_fails() {
    let (from, to, cli) = (FakeRegistry::start().await, FakeRegistry::start().await, Cli::new());
    let (source, target) = (from.repository("app") + ":1", to.repository("app") + ":1");
    for (kind, code, why) in [
        // A registry keeps manifests of any kind apart from blobs.
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", 1, "which is unsupported"),
        ("application/vnd.example.manifest.v3+json", 1, "which is unsupported"),
        ("application/vnd.example.thing", 3, "application/vnd.example.thing"),
    ] {
        let entry = Blob::new(kind.into(), "{}");
        list(&[json!(entry.descriptor)]).publish(&from, "app", Some("1"));
        let copied = cli.run(&["copy", &source, &target, "--retries", "0"]).await;
        copied.expect(code, kind).expect(code, why);
        assert_eq!(to.tagged("app", "1"), None);
    }
}

#[tokio::test]
async fn copy_index_of_blobs_through_docker_registry_keeps_bytes() {
    if !needs("copy_index_of_blobs_through_docker_registry_keeps_bytes", &["docker-registry"]) {
        return;
    }
    let (first, second) = (Live::start(&Access::Open), Live::start(&Access::Open));
    let (cli, cache, registry) = (Cli::new(), cache(), FakeRegistry::start().await);
    cache.publish(&registry, "ci", "x");
    let (at_first, at_second) =
        (format!("{}/ci:x", first.host()), format!("{}/ci:x", second.host()));
    cli.run(&["copy", &(registry.repository("ci") + ":x"), &at_first]).await.expect(0, "");
    copy_around(&cli, &cache, &at_first, &at_second).await;
    let (mounted, layout) = (format!("{}/other:x", second.host()), cli.dir().join("back"));
    cli.run(&["copy", &at_second, &mounted]).await.expect(0, "");
    cli.run(&["copy", &mounted, "oci:back:x"]).await.expect(0, "");
    assert_in_layout(&layout, &cache);
}
