//! A pull that is killed at each of its steps: the next one completes it, and no wrong bytes are ever under a digest.

use std::collections::BTreeSet;
use std::time::Duration;

use rpull::layout::{Layout, LayoutOptions};
use serde_json::json;

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::Fault;
use crate::support::images::{Family, image, layer, random_blob};
use crate::support::live::needs;
use crate::support::samples::published;
use crate::support::strace::{distinct, inject, trace};
use crate::support::writing;

/// Permissions do not bind root, so the commands run without its privileges.
const PROGRAMS: &[&str] = &["strace", "setpriv"];

/// Names of the files in `blobs/sha256/`.
fn committed(cli: &Cli) -> BTreeSet<String> {
    let entries = std::fs::read_dir(cli.store().join("blobs/sha256")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The next run completes the image and does not request committed blobs again.
async fn assert_completed(registry: &FakeRegistry, cli: &Cli, name: &str, point: &str) {
    let before = committed(cli);
    registry.server.forget();
    let report = cli.report(&["--json", name]).await;
    for request in registry.server.lines() {
        let asked = request.rsplit_once("/blobs/sha256:").map(|(_, digest)| digest);
        assert!(!asked.is_some_and(|digest| before.contains(digest)), "{request} after {point}");
    }
    let bytes = &report["bytes"];
    let parts = ["transferred", "resumed", "shared"].map(|part| bytes[part].as_u64().unwrap());
    assert_eq!(bytes["total"], parts.iter().sum::<u64>(), "after {point}");
    assert_eq!(bytes["resent"], 0, "after {point}");
    let verified = cli.json(&["verify", "--json"]).await;
    assert_eq!((&verified["bad"], &verified["blobs"]), (&json!([]), &json!(committed(cli).len())));
    let ingest = std::fs::read_dir(cli.store().join("ingest")).unwrap().count();
    assert_eq!(ingest, 0, "partials left after {point}");
}

/// Kills a pull at each of its calls, each time in a store from `prepare`. Returns the calls.
async fn kill_everywhere(
    registry: &FakeRegistry,
    name: &str,
    flags: &[&str],
    prepare: impl AsyncFn() -> Cli,
) -> BTreeSet<(String, String)> {
    let args = [flags, &[name]].concat();
    let (output, calls) = trace(&prepare().await, &args).await;
    output.expect(0, "");
    let points = distinct(&calls);
    for (call, path) in &points {
        let (cli, point) = (prepare().await, format!("{call} of {path}"));
        let output = inject(&cli, call, path, "signal=KILL", &args).await;
        assert_eq!(output.signal(), Some(9), "{point}: {output:?}");
        if cli.store().join("oci-layout").exists() {
            let seen = cli.json(&["verify", "--json"]).await;
            assert_eq!(seen["bad"], json!([]), "named or visible too early: {point}");
        }
        assert_completed(registry, &cli, name, &point).await;
    }
    points
}

fn has(points: &BTreeSet<(String, String)>, call: &str, path: &str) -> bool {
    points.iter().any(|(name, at)| name.starts_with(call) && at.starts_with(path))
}

#[tokio::test]
async fn pull_killed_at_any_step_completes_next_time() {
    if !needs("pull_killed_at_any_step_completes_next_time", PROGRAMS) {
        return;
    }
    let (registry, _, name) = published().await;
    let points = kill_everywhere(&registry, &format!("{name}:1"), &[], async || {
        Cli::new().without_privileges()
    })
    .await;
    for (call, path) in [
        ("mkdir", "/blobs"),
        ("mkdir", "/unsynced"),
        ("write", "/index.json.new"),
        ("fsync", "/oci-layout.new"),
        ("rename", "/oci-layout.new"),
        ("flock", "/ingest/sha256-"),
        ("pwrite64", "/ingest/sha256-"),
        ("fchmod", "/blobs/sha256/"),
        ("rename", "/ingest/sha256-"),
        ("rename", "/index.json.new"),
    ] {
        assert!(has(&points, call, path), "{call} of {path} is not among {points:?}");
    }
}

#[tokio::test]
async fn pull_next_version_killed_at_any_step_completes() {
    if !needs("pull_next_version_killed_at_any_step_completes", PROGRAMS) {
        return;
    }
    let (registry, _, name) = published().await;
    let first = format!("{name}:1");
    let prepare = async || {
        let cli = Cli::new().without_privileges();
        cli.run(&["-q", &first]).await.expect(0, "");
        cli
    };
    // With --sync there are more steps, and the journal of the first pull is removed.
    for flags in [&[][..], &["--sync"]] {
        let points = kill_everywhere(&registry, &format!("{name}:2"), flags, prepare).await;
        assert!(has(&points, "rename", "/index.json.new"), "{points:?}");
        assert_eq!(has(&points, "fsync", "/ingest/sha256-"), !flags.is_empty(), "{points:?}");
    }
}

#[tokio::test]
async fn pull_of_gaps_killed_at_any_step_completes() {
    if !needs("pull_of_gaps_killed_at_any_step_completes", PROGRAMS) {
        return;
    }
    let (registry, [held, _], name) = published().await;
    let blob = &held.layers[0];
    let prepare = async || {
        let cli = Cli::new().without_privileges();
        let layout = Layout::create(&cli.store(), LayoutOptions::default().private()).unwrap();
        let mut writer = writing::open(&*writing::begin(&layout).await, &blob.descriptor).await;
        let ranges = writer.ranges().unwrap();
        writer.write(blob.bytes.slice(..1000)).await.unwrap();
        for range in [2000..3000, 5000..6000] {
            ranges.write_at(range.start as u64, &blob.bytes.slice(range)).unwrap();
        }
        cli
    };
    let points = kill_everywhere(&registry, &format!("{name}:1"), &[], prepare).await;
    let of_list = points.iter().filter(|(_, path)| path.ends_with(".ranges"));
    let calls: BTreeSet<&str> = of_list.map(|(call, _)| call.as_str()).collect();
    assert!(calls.contains("pwrite64"), "{points:?}");
    assert!(calls.iter().any(|call| call.starts_with("unlink")), "{points:?}");
}

#[tokio::test]
async fn pull_with_ranges_killed_at_first_gap_completes() {
    if !needs("pull_with_ranges_killed_at_first_gap_completes", PROGRAMS) {
        return;
    }
    let registry = FakeRegistry::start().await;
    let held = image(Family::Oci, "amd64", &[layer(&[("a", &random_blob(12 << 20, 1))])]);
    held.publish(&registry, "app", Some("1"));
    let name = registry.repository("app") + ":1";
    let digest = held.layers[0].digest().to_string();
    let slow = || {
        let digest = digest.clone();
        registry.disturb(move |request, reply| {
            let fault = Fault::Slow(16 << 10, Duration::from_millis(20));
            if request.path.ends_with(&digest) { reply.fault(fault) } else { reply }
        });
    };
    slow();
    let new = || Cli::new().without_privileges();
    let (output, calls) = trace(&new(), &[&name]).await;
    output.expect(0, "");
    let points = distinct(&calls).into_iter().filter(|(_, path)| path.ends_with(".ranges"));
    let points: Vec<_> = points.collect();
    assert!(points.len() > 2, "{points:?}");
    for (call, path) in points {
        slow();
        let (cli, point) = (new(), format!("{call} of {path}"));
        let output = inject(&cli, &call, &path, "signal=KILL", &[&name]).await;
        assert_eq!(output.signal(), Some(9), "{point}: {output:?}");
        registry.disturb(|_, reply| reply);
        assert_completed(&registry, &cli, &name, &point).await;
    }
}

#[tokio::test]
async fn journal_truncated_by_kill_is_harmless() {
    if !needs("journal_truncated_by_kill_is_harmless", PROGRAMS) {
        return;
    }
    let (registry, _, name) = published().await;
    let name = format!("{name}:1");
    let (output, calls) = trace(&Cli::new().without_privileges(), &[&name]).await;
    output.expect(0, "");
    let of_journal = calls.iter().filter(|call| call.path.starts_with("/unsynced/"));
    let steps: Vec<&str> = of_journal.map(|call| call.name.as_str()).collect();
    assert_eq!(steps, ["openat", "flock", "write", "fdatasync"]);
    // Its name is random, so strace cannot select it by path; but only the journal is synced by fdatasync.
    let (cli, inject) = (Cli::new().without_privileges(), "inject=fdatasync:signal=KILL");
    let log = cli.dir().join("log");
    let strace = ["strace", "-f", "-o", log.to_str().unwrap(), "-e", inject];
    let output = cli.spawn_under(&strace, &[&name]).wait().await;
    assert_eq!(output.signal(), Some(9), "{output:?}");
    assert_eq!(committed(&cli), BTreeSet::new(), "renamed before the journal was durable");
    assert_eq!(std::fs::read_dir(cli.store().join("unsynced")).unwrap().count(), 1);
    assert_completed(&registry, &cli, &name, "fdatasync").await;
}

#[tokio::test]
async fn prune_killed_at_any_step_keeps_named_images() {
    if !needs("prune_killed_at_any_step_keeps_named_images", PROGRAMS) {
        return;
    }
    let (_registry, _, name) = published().await;
    let names = [1, 2].map(|tag| format!("{name}:{tag}"));
    let prepare = async || {
        let cli = Cli::new().without_privileges();
        cli.run(&["pull", "-q", &names[0], &names[1]]).await.expect(0, "");
        // The index alone forgets it, so that its blobs are prune's to delete.
        let index = cli.store().join("index.json");
        let mut value: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&index).unwrap()).unwrap();
        value["manifests"]
            .as_array_mut()
            .unwrap()
            .retain(|entry| !entry.to_string().contains(&names[1]));
        std::fs::write(&index, value.to_string()).unwrap();
        cli
    };
    let cli = prepare().await;
    let blobs = committed(&cli).len();
    let (output, calls) = trace(&cli, &["prune"]).await;
    output.expect(0, "");
    assert_eq!(committed(&cli).len(), blobs - 3, "config, layer and manifest");
    let points = distinct(&calls);
    assert!(has(&points, "unlink", "/blobs/sha256/"), "{points:?}");
    for (call, path) in &points {
        let (cli, point) = (prepare().await, format!("{call} of {path}"));
        let output = inject(&cli, call, path, "signal=KILL", &["prune"]).await;
        assert_eq!(output.signal(), Some(9), "{point}: {output:?}");
        let seen = cli.json(&["verify", "--json"]).await;
        assert_eq!(seen["bad"], json!([]), "{point}");
        cli.run(&["prune"]).await.expect(0, "");
        assert_eq!(committed(&cli).len(), blobs - 3, "{point}");
        let kept = cli.report(&["pull", "--json", &names[0]]).await;
        assert_eq!(kept["bytes"]["total"], kept["bytes"]["shared"], "{point}");
    }
}
