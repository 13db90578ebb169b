//! The machine fails while a layer is rebuilt: killed at any system call, disk full at any byte. The next run completes it.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::Versions;
use super::faults::delta_blob;
use crate::support::assertions::{assert_digests_are_right, kept_bytes};
use crate::support::cli::Cli;
use crate::support::live::needs;
use crate::support::small::{Small, leave_free};
use crate::support::strace::{self, distinct, trace};

impl Versions {
    fn pull(&self) -> [String; 5] {
        let [pull, json, delta, always] =
            ["pull", "--json", "--delta", "always"].map(str::to_owned);
        [pull, json, delta, always, self.name(2)]
    }

    /// Asserts that the old image is there and nothing is wrong, and pulls the new one.
    async fn complete(&self, cli: &Cli, point: &str) -> Value {
        let verified = cli.json(&["verify", "--json"]).await;
        assert_eq!(verified["bad"], json!([]), "after {point}");
        cli.run(&["history", &format!("store:{}", self.name(1))]).await.expect(0, "");
        let report = cli.report(&self.pull()).await;
        let bytes = &report["bytes"];
        let parts = ["transferred", "resumed", "shared", "rebuilt"]
            .map(|part| bytes[part].as_u64().unwrap_or_default());
        assert_eq!(parts.iter().sum::<u64>(), self.new.size(), "after {point}: {bytes}");
        assert_digests_are_right(&cli.store());
        assert_eq!(kept_bytes(cli).await, 0, "a partial is left after {point}");
        report
    }
}

#[tokio::test]
async fn rebuild_killed_at_any_step_is_completed_by_next_run() {
    if !needs("rebuild_killed_at_any_step_is_completed_by_next_run", &["strace"]) {
        return;
    }
    let versions = Versions::new().await;
    versions.push_deltas().await;
    let args = versions.pull();
    let (output, calls) = trace(&versions.cli, &args.each_ref().map(String::as_str)).await;
    output.expect(0, "rebuilt");
    let layer = versions.new.layers[1].digest().encoded().to_owned();
    let points: BTreeSet<_> = distinct(&calls);
    // Temporary files have no names: they are opened in the store itself.
    let is_here = |path: &String| path.contains(&layer) || path.is_empty();
    let mut points: Vec<_> = points.into_iter().filter(|(_, path)| is_here(path)).collect();
    assert!(points.iter().any(|(call, _)| call == "pwrite64"), "{points:?}");
    let ingest = format!("/ingest/sha256-{layer}");
    points.extend(
        ["pwrite64:when=2", "pwrite64:when=5"].map(|call| (call.to_owned(), ingest.clone())),
    );
    let killed = stream::iter(points).map(|(call, path)| kill_at(&versions, call, path));
    let killed: Vec<bool> = killed.buffer_unordered(3).collect().await;
    assert!(killed.into_iter().filter(|killed| *killed).count() >= 4);
}

/// Kills a pull at a call, and runs it again; returns whether it came to that call.
async fn kill_at(versions: &Versions, call: String, path: String) -> bool {
    let point = format!("{call} of `{path}`");
    let cli = Cli::new();
    cli.run(&["pull", "--sync", &versions.name(1)]).await.expect(0, "");
    let args = versions.pull();
    let args = args.each_ref().map(String::as_str);
    let output = strace::kill_at(&cli, &call, &path, &args).await;
    let is_killed = output.signal() == Some(9);
    assert!(is_killed || output.code() == Some(0), "{point}: {output:?}");
    versions.complete(&cli, &point).await;
    is_killed
}

#[tokio::test]
async fn rebuild_on_full_disk_is_completed_by_next_run() {
    let test = "rebuild_on_full_disk_is_completed_by_next_run";
    if !needs(test, &["mount", "umount"]) {
        return;
    }
    let versions = Versions::new().await;
    versions.push_deltas().await;
    let size = versions.layer_size();
    let delta = delta_blob(&versions).await["digest"].as_str().unwrap().to_owned();
    // The old layer in a temporary file, then also some of the new one, all of it, and the documents after it.
    for space in
        [0, 8192, 200_000, size + 8192, size + 500_000, 2 * size, 2 * size + 100_000, 9 << 20]
    {
        let cli = Cli::new();
        let Some(_small) = Small::mount(test, &cli.store(), "size=16m") else { return };
        cli.run(&["pull", &versions.name(1)]).await.expect(0, "");
        // Others take the space when the pull has found the delta.
        let (store, taken) = (cli.store(), cli.store().join("taken"));
        let take = taken.clone();
        versions.registry.override_response(&delta, 0..1, move |reply| {
            leave_free(&store, &take, space);
            reply
        });
        let output = cli.run(&versions.pull()).await;
        let point = format!("{space} bytes: {}", output.stderr);
        match output.code() {
            Some(0) => assert!(space > size, "{point}"),
            _ => drop(output.expect(7, "hint: free disk space")),
        }
        std::fs::remove_file(taken).unwrap();
        let report = versions.complete(&cli, &point).await;
        if output.code() == Some(7) && !output.stderr.contains("transferring the layer") {
            assert_eq!(report["bytes"]["rebuilt"], json!(size), "after {point}: {report}");
        }
    }
}

/// A disk that has room for the layer, but not for the layer and the old one beside it.
#[tokio::test]
async fn layer_is_transferred_where_disk_is_too_small_to_rebuild_it() {
    let test = "layer_is_transferred_where_disk_is_too_small_to_rebuild_it";
    if !needs(test, &["mount", "umount"]) {
        return;
    }
    let versions = Versions::new().await;
    versions.push_deltas().await;
    let size = versions.layer_size();
    let cli = Cli::new();
    let Some(_small) = Small::mount(test, &cli.store(), "size=16m") else { return };
    cli.run(&["pull", &versions.name(1)]).await.expect(0, "");
    leave_free(&cli.store(), &cli.store().join("taken"), size + size / 2 + 200_000);
    let output = cli.run(&versions.pull()).await;
    output.expect(0, "bytes are needed for old layers and ");
    assert_eq!(output.report()["bytes"]["rebuilt"], json!(null), "{}", output.stdout);
    assert_digests_are_right(&cli.store());
}
