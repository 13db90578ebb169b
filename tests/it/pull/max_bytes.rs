//! Runs that stop after a number of new bytes, and those that continue them.

use serde_json::Value;

use crate::support::assertions::assert_digests_are_right;
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, Image, image, layer, random_blob};
use crate::support::samples::stored;

/// An image with layers of 400, 300 and 200 kB in a registry.
async fn published() -> (FakeRegistry, Image, String) {
    let registry = FakeRegistry::start().await;
    let layers = [(400_000, 1), (300_000, 2), (200_000, 3)]
        .map(|(size, seed)| layer(&[("a", &random_blob(size, seed))]));
    let held = image(Family::Oci, "amd64", &layers);
    held.publish(&registry, "app", Some("1"));
    let name = registry.repository("app:1");
    (registry, held, name)
}

/// Runs the command until it succeeds; returns the reports.
async fn run_until_complete(cli: &Cli, words: &[&str], max: u64) -> Vec<Value> {
    let mut reports = Vec::new();
    loop {
        let output = cli.run(words).await;
        let report = match words[0] {
            "copy" => serde_json::from_str(&output.stdout).unwrap(),
            _ => output.report(),
        };
        let bytes = &report["bytes"];
        let count = |key: &str| bytes[key].as_u64().unwrap_or_default();
        let sum = ["transferred", "resumed", "mounted", "shared", "missing"].map(count);
        assert_eq!(count("total"), sum.iter().sum::<u64>(), "{bytes}");
        assert!(count("transferred") <= max, "{bytes}");
        reports.push(report);
        if output.code() == Some(0) {
            return reports;
        }
        output.expect(1, "B missing").expect(1, "hint: run the command again");
        assert_eq!(reports.last().unwrap()["stopped"], "max-bytes");
        assert!(reports.len() < 20, "no progress");
    }
}

fn transferred(reports: &[Value]) -> Vec<u64> {
    reports.iter().map(|report| report["bytes"]["transferred"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn max_bytes_pull_completes_in_later_runs() {
    let (registry, held, name) = published().await;
    let cli = Cli::new();
    let words = ["pull", "--json", "--max-bytes", "250k", &name];
    let reports = run_until_complete(&cli, &words, 250_000).await;
    let size = held.size();
    let moved = transferred(&reports);
    assert_eq!(moved[..3], [250_000; 3]);
    assert_eq!(moved.iter().sum::<u64>(), size, "nothing is fetched twice");
    assert_eq!(reports[0]["bytes"]["missing"], size - 250_000);
    assert_eq!(reports[0]["error"]["kind"], "stopped");
    assert_eq!(reports[3].get("stopped"), None);
    assert_digests_are_right(&cli.store());
    assert!(registry.server.count("/blobs/") <= 4 * 4);
}

#[tokio::test]
async fn max_bytes_of_exactly_the_image_suffices() {
    let (registry, held, name) = published().await;
    for (less, code) in [(1, 1), (0, 0)] {
        let max = (held.size() - less).to_string();
        let output = Cli::new().run(&["pull", "--jobs", "1", "--max-bytes", &max, &name]).await;
        assert_eq!(output.code(), Some(code), "{}", output.stderr);
    }
    // Each layer and the config once per run.
    assert_eq!(registry.server.count("/blobs/"), 8);
}

#[tokio::test]
async fn max_bytes_reached_requests_no_further_blob() {
    let (registry, _, name) = published().await;
    let words = ["pull", "--json", "--jobs", "1", "--max-bytes", "100k", &name];
    Cli::new().run(&words).await.expect(1, "app:1: stopped after 100.0 kB of new data");
    assert_eq!(registry.server.count("/blobs/"), 2, "the config and the largest layer");
}

#[tokio::test]
async fn max_bytes_upload_resumes_in_next_run() {
    let (cli, name, to, held) = stored(3_000_000).await;
    let target = to.repository("app:1");
    let words = ["push", "--json", "--chunk-size", "500k", "--max-bytes", "1200k", &name, &target];
    let reports = run_until_complete(&cli, &words, 1_200_000).await;
    assert_eq!(reports.len(), 3, "{reports:?}");
    assert!(reports[1]["bytes"]["resumed"].as_u64() >= Some(1_000_000), "{}", reports[1]);
    assert_eq!(to.tagged("app", "1"), Some(held.manifest.digest().to_string()));
    assert_eq!(to.open_uploads(), 0);
}

#[tokio::test]
async fn max_bytes_counts_blob_for_copy_once() {
    let (_from, held, name) = published().await;
    let (to, cli) = (FakeRegistry::start().await, Cli::new());
    let target = to.repository("app:1");
    let words = ["copy", "--json", "--max-bytes", "500k", &name, &target];
    let reports = run_until_complete(&cli, &words, 500_000).await;
    assert_eq!(transferred(&reports).iter().sum::<u64>(), held.size(), "nothing is sent twice");
    assert_eq!(to.tagged("app", "1"), Some(held.manifest.digest().to_string()));
}

#[tokio::test]
async fn max_bytes_pull_unpack_leaves_no_directory() {
    let (_registry, _, name) = published().await;
    let cli = Cli::new();
    let pull = |max: &'static str| {
        let (cli, name) = (&cli, &name);
        async move { cli.run(&["pull", "--unpack", "root", "--max-bytes", max, name]).await }
    };
    pull("600k").await.expect(1, "stopped after 600.0 kB of new data; ");
    assert!(!cli.dir().join("root").exists());
    pull("600k").await.expect(0, "");
    assert_eq!(std::fs::read(cli.dir().join("root/a")).unwrap(), random_blob(200_000, 3));
}

#[tokio::test]
async fn max_bytes_copy_continues_in_middle_of_layer() {
    let (cli, name, to, held) = stored(3_000_000).await;
    let (source, target) = (format!("store:{name}"), to.repository("app:1"));
    let words =
        ["copy", "--json", "--chunk-size", "500k", "--max-bytes", "1200k", &source, &target];
    assert_eq!(run_until_complete(&cli, &words, 1_200_000).await.len(), 3);
    assert_eq!(to.tagged("app", "1"), Some(held.manifest.digest().to_string()));
}

#[tokio::test]
async fn max_bytes_push_begins_only_blobs_within_limit() {
    let (_from, held, name) = published().await;
    let (to, cli) = (FakeRegistry::start().await, Cli::new());
    cli.run(&[&name]).await.expect(0, "");
    let target = to.repository("app:1");
    let words = ["push", "--jobs", "1", "--max-bytes", "350k", &name, &target];
    let output = cli.run(&words).await;
    let largest = held.blobs().map(|blob| blob.descriptor.size).max().unwrap();
    output.expect(1, "; a layer of 422.0 kB is larger than what is left; ");
    output.expect(1, &format!("hint: pass `--max-bytes {largest}` or more"));
    assert_eq!(to.open_uploads(), 0);
    let words = ["push", "--json", "--max-bytes", "450k", &name, &target];
    let sent = transferred(&run_until_complete(&cli, &words, 450_000).await);
    assert!(sent.len() > 1 && sent.iter().all(|bytes| *bytes > 0), "{sent:?}");
    assert_eq!(to.tagged("app", "1"), Some(held.manifest.digest().to_string()));
}

#[tokio::test]
async fn max_bytes_push_in_chunks_ends_between_them() {
    let (from, to, cli) = (FakeRegistry::start().await, FakeRegistry::start().await, Cli::new());
    let layers = [1, 2, 3].map(|seed| layer(&[("a", &random_blob(1_200_000, seed))]));
    let held = image(Family::Oci, "amd64", &layers);
    held.publish(&from, "app", Some("1"));
    let (name, target) = (from.repository("app:1"), to.repository("app:1"));
    cli.run(&[&name]).await.expect(0, "");
    let words = ["push", "--json", "--chunk-size", "200k", "--max-bytes", "700k", &name, &target];
    let sent = transferred(&run_until_complete(&cli, &words, 700_000).await);
    assert_eq!(sent.iter().sum::<u64>(), held.size(), "nothing is sent twice: {sent:?}");
    assert_eq!(to.tagged("app", "1"), Some(held.manifest.digest().to_string()));
    assert_eq!(to.open_uploads(), 0);
}

#[tokio::test]
async fn max_bytes_for_archive_is_rejected() {
    let (registry, _, name) = published().await;
    let words = ["copy", "--max-bytes", "1k", &name, "oci-archive:a.tar"];
    Cli::new().run(&words).await.expect(2, "an archive cannot be continued by a later run");
    assert_eq!(registry.server.requests().len(), 0);
}

#[tokio::test]
async fn max_bytes_without_size_is_rejected() {
    for size in ["0", "much", "-1", ""] {
        let output = Cli::new().run(&[&format!("--max-bytes={size}"), "localhost:1/a"]).await;
        output.expect(2, "expected a size such as 500MB or 2G");
    }
}
