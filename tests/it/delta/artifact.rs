//! `delta --push` and `pull --delta`: deltas at a registry.

use serde_json::{Value, json};

use super::Versions;
use crate::support::assertions::assert_digests_are_right;

const ALWAYS: [&str; 4] = ["pull", "--json", "--delta", "always"];

/// The requests since the first `from`.
fn lines(versions: &Versions, from: usize) -> Vec<String> {
    versions.registry.server.lines().split_off(from)
}

#[tokio::test]
async fn pull_rebuilds_layer_from_delta_of_registry() {
    let versions = Versions::new().await;
    versions.push_deltas().await;
    let (cli, new) = (&versions.cli, versions.name(2));

    let plan = cli.report(&[&ALWAYS[..], &["--plan", &new]].concat()).await;
    let (layer, bytes) = (&plan["blobs"][2], &plan["bytes"]);
    assert_eq!(layer["state"], json!("rebuildable"), "{plan}");
    assert_eq!(bytes["rebuildable"], json!(versions.layer_size()));
    let text = cli.run(&["pull", "--delta", "always", "--plan", &new]).await;
    text.expect(0, "");
    assert!(text.stdout.contains("rebuild from"), "{}", text.stdout);

    let before = versions.registry.server.requests().len();
    let report = cli.report(&[&ALWAYS[..], &[&new]].concat()).await;
    let delta = report["bytes"]["delta_bytes"].as_u64().unwrap();
    assert_eq!(report["bytes"]["rebuilt"], json!(versions.layer_size()), "{report}");
    assert!(delta < versions.layer_size() / 20);
    let layer = &report["blobs"][2];
    assert_eq!((&layer["outcome"], &layer["delta_bytes"]), (&json!("rebuilt"), &json!(delta)));
    // Manifest and config of the image, the list of deltas in both places, its manifest, and the delta.
    let sent = lines(&versions, before);
    assert_eq!(sent.len(), 6, "{sent:#?}");
    let count = |part| sent.iter().filter(|line| line.contains(part)).count();
    assert_eq!((count("/referrers/"), count("/manifests/"), count("/blobs/")), (1, 3, 2));
    assert_digests_are_right(&cli.store());
    cli.run(&["verify"]).await.expect(0, "");
    let sums = cli.json(&["stats", "--json"]).await;
    assert_eq!(sums["rebuilt"], json!(versions.layer_size()), "{sums}");
    assert_eq!(sums["delta_saved"], report["bytes"]["delta_saved"], "{sums}");
    let text = cli.run(&["stats"]).await.stdout;
    for row in ["\nrebuilt ", "\ndeltas ", "\nsaved "] {
        assert!(text.contains(row), "{text}");
    }
    cli.run(&["report", "--stats", "-o", "page.html"]).await.expect(0, "");
    let page = std::fs::read_to_string(cli.dir().join("page.html")).unwrap();
    for number in ["<dt>Rebuilt</dt>", "<dt>Deltas</dt>", "<dt>Saved</dt>"] {
        assert!(page.contains(number), "{page}");
    }
}

#[tokio::test]
async fn blobs_to_rebuild_are_not_counted_as_to_fetch() {
    let versions = Versions::new().await;
    versions.push_deltas().await;
    let output = versions.cli.run(&["pull", "--delta", "always", &versions.name(2)]).await;
    output.expect(0, "\n1 of 3 blobs to fetch, 528 B of 1.5 MB; 1 to rebuild from ");
}

#[tokio::test]
async fn deltas_of_images_with_one_manifest_are_looked_for_once() {
    let versions = Versions::new().await;
    versions.push_deltas().await;
    versions.new.publish(&versions.registry, "app", Some("latest"));
    let before = versions.registry.server.requests().len();
    let latest = versions.registry.repository("app:latest");
    let [pull, _, delta, always] = ALWAYS;
    versions.cli.run(&[pull, delta, always, &versions.name(2), &latest]).await.expect(0, "rebuilt");
    let sent = lines(&versions, before);
    let count = |part| sent.iter().filter(|line| line.contains(part)).count();
    assert_eq!(count("/referrers/"), 1, "{sent:#?}");
}

#[tokio::test]
async fn pull_of_loopback_registry_does_not_look_for_deltas() {
    let versions = Versions::new().await;
    versions.push_deltas().await;
    let before = versions.registry.server.requests().len();
    let report = versions.cli.report(&["pull", "--json", &versions.name(2)]).await;
    assert_eq!(report["bytes"]["rebuilt"], json!(null));
    let sent = lines(&versions, before);
    assert!(sent.iter().all(|line| !line.contains("referrers")), "{sent:#?}");
}

#[tokio::test]
async fn pull_at_limited_rate_rebuilds_layer_by_itself() {
    let versions = Versions::new().await;
    versions.push_deltas().await;
    let args = ["pull", "--json", "--limit-rate", "1M", &versions.name(2)];
    let report = versions.cli.report(&args).await;
    assert_eq!(report["bytes"]["rebuilt"], json!(versions.layer_size()), "{report}");
}

#[tokio::test]
async fn pull_without_delta_or_old_image_transfers_the_layer() {
    let versions = Versions::new().await;
    let (cli, new) = (&versions.cli, versions.name(2));
    let transfers = |report: &Value| {
        assert_eq!(report["bytes"]["rebuilt"], json!(null), "{report}");
        assert_eq!(report["bytes"]["missing"], json!(null));
    };
    // No delta is at the registry; then the store has no image that it would need.
    let elsewhere = |store| [&["--store", store][..], &ALWAYS, &[&new]].concat();
    transfers(&cli.report(&elsewhere("first")).await);
    versions.push_deltas().await;
    transfers(&cli.report(&elsewhere("second")).await);
    // An empty store has nothing that a delta needs, and costs no request for one.
    cli.run(&["--store", "second", "rm", &new]).await.expect(0, "");
    cli.run(&["--store", "second", "prune"]).await.expect(0, "");
    let before = versions.registry.server.requests().len();
    transfers(&cli.report(&elsewhere("second")).await);
    let sent = lines(&versions, before);
    assert!(sent.iter().all(|line| !line.contains("referrers")), "{sent:#?}");
    // The user wants none.
    let never = ["pull", "--json", "--delta", "never", "--limit-rate", "5M", &new];
    transfers(&cli.report(&never).await);
}
