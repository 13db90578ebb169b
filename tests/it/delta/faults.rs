//! What does not fit ends in an ordinary transfer of the layer.

use rpull::digest::Digest;
use serde_json::{Value, json};

use super::Versions;
use crate::support::assertions::assert_digests_are_right;
use crate::support::cli::Output;
use crate::support::http::{Fault, Reply};

/// The only layer of the delta artifact, as the registry has it.
pub(super) async fn delta_blob(versions: &Versions) -> Value {
    let tree = versions.cli.json(&["referrers", "--json", &versions.name(2)]).await;
    let artifact = tree["referrers"][0]["digest"].as_str().unwrap().to_owned();
    let name = versions.registry.repository(&format!("app@{artifact}"));
    versions.cli.json(&["manifest", &name]).await["layers"][0].clone()
}

/// Pulls with deltas; the layer is transferred, with one warning.
async fn pull_without_rebuilding(versions: &Versions) -> Output {
    let args = ["pull", "--json", "--delta", "always", &versions.name(2)];
    let output = versions.cli.run(&args).await;
    let report = output.report();
    assert!(report["bytes"]["transferred"].as_u64().unwrap() > versions.layer_size(), "{report}");
    assert_eq!(report["bytes"]["rebuilt"], json!(null), "{report}");
    assert_eq!(output.stderr.matches("; transferring the layer").count(), 1, "{}", output.stderr);
    output
}

async fn assert_transferred(versions: &Versions, warning: &str) -> Value {
    let output = pull_without_rebuilding(versions).await;
    output.expect(0, warning);
    assert_digests_are_right(&versions.cli.store());
    output.report()
}

#[tokio::test]
async fn delta_damaged_at_registry_is_not_used() {
    let versions = Versions::new().await;
    versions.push_deltas().await;
    let blob = delta_blob(&versions).await;
    let digest: Digest = blob["digest"].as_str().unwrap().parse().unwrap();
    let mut bytes = versions.registry.blob_bytes("app", &digest).unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    versions.registry.blob_as("app", &digest, bytes);
    let report = assert_transferred(&versions, "; transferring the layer").await;
    assert!(report["bytes"]["delta_wasted"].as_u64().unwrap() > 0, "{report}");
}

#[tokio::test]
async fn delta_missing_at_registry_is_not_used() {
    let versions = Versions::new().await;
    versions.push_deltas().await;
    let blob = delta_blob(&versions).await;
    versions.registry.delete_blob("app", &blob["digest"].as_str().unwrap().parse().unwrap());
    assert_transferred(&versions, "; transferring the layer").await;
}

#[tokio::test]
async fn delta_stalled_at_registry_is_not_waited_for() {
    let versions = Versions::new().await;
    versions.push_deltas().await;
    let blob = delta_blob(&versions).await;
    let digest = blob["digest"].as_str().unwrap();
    versions.registry.override_response(digest, 0..9, |reply| reply.fault(Fault::Stall(100)));
    assert_transferred(&versions, "no byte for 10 s; transferring the layer").await;
}

#[tokio::test]
async fn delta_list_without_answer_is_not_waited_for() {
    let versions = Versions::new().await;
    versions.push_deltas().await;
    versions.registry.override_response("/referrers/", 0..9, |reply| reply.fault(Fault::Silence));
    let args = ["pull", "--json", "-v", "--delta", "always", &versions.name(2)];
    let output = versions.cli.run(&args).await;
    output.expect(0, "no answer for 10 s; no deltas are used");
    assert_eq!(output.report()["bytes"]["rebuilt"], json!(null));
}

#[tokio::test]
async fn delta_with_damaged_old_layer_is_not_used() {
    let versions = Versions::new().await;
    versions.push_deltas().await;
    let path = versions.old_layer_path();
    let sound = std::fs::read(&path).unwrap();
    let mut bytes = sound.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let output = pull_without_rebuilding(&versions).await;
    output.expect(0, "; transferring the layer");
    versions.cli.run(&["verify", &versions.name(2)]).await.expect(0, "");
    std::fs::write(&path, sound).unwrap();
    assert_digests_are_right(&versions.cli.store());
}

#[tokio::test]
async fn delta_with_missing_old_layer_is_not_used() {
    let versions = Versions::new().await;
    versions.push_deltas().await;
    std::fs::remove_file(versions.old_layer_path()).unwrap();
    let report =
        versions.cli.report(&["pull", "--json", "--delta", "always", &versions.name(2)]).await;
    let bytes = &report["bytes"];
    assert_eq!(
        (&bytes["rebuilt"], &bytes["delta_bytes"]),
        (&json!(null), &json!(null)),
        "{report}"
    );
}

#[tokio::test]
async fn delta_of_layer_pruned_meanwhile_is_not_used() {
    let versions = Versions::new().await;
    versions.push_deltas().await;
    let delta = delta_blob(&versions).await["digest"].as_str().unwrap().to_owned();
    let path = versions.old_layer_path();
    versions.registry.override_response(&delta, 0..1, move |reply| {
        std::fs::remove_file(&path).unwrap();
        reply
    });
    let report = assert_transferred(&versions, "; transferring the layer").await;
    assert_eq!(report["bytes"]["delta_wasted"], report["bytes"]["delta_bytes"], "{report}");
}

#[tokio::test]
async fn delta_list_failure_leaves_ordinary_pull() {
    let versions = Versions::new().await;
    versions.push_deltas().await;
    versions.registry.fail_requests("/referrers/", 0..100, Reply::new(500, ""));
    let args = ["--retries", "0", "pull", "--json", "--delta", "always", &versions.name(2)];
    let report = versions.cli.report(&args).await;
    assert_eq!(report["bytes"]["rebuilt"], json!(null), "{report}");
}

#[tokio::test]
async fn delta_artifact_for_another_layer_is_not_used() {
    let versions = Versions::new().await;
    versions.push_deltas().await;
    // Of the right digest, and no delta.
    let blob = delta_blob(&versions).await;
    let digest: Digest = blob["digest"].as_str().unwrap().parse().unwrap();
    let size = usize::try_from(blob["size"].as_u64().unwrap()).unwrap();
    versions.registry.blob_as("app", &digest, vec![0; size]);
    assert_transferred(&versions, "; transferring the layer").await;
}

#[tokio::test]
async fn unavailable_delta_leaves_partial_of_layer() {
    const KEPT: usize = 900_000;
    let versions = Versions::new().await;
    versions.push_deltas().await;
    let layer = versions.new.layers[1].digest().as_str();
    versions.registry.override_response(layer, 0..1, |reply| reply.fault(Fault::Cut(KEPT)));
    let args = ["--retries", "0", "pull", "--delta", "never", &versions.name(2)];
    versions.cli.run(&args).await.expect(6, "");
    let blob = delta_blob(&versions).await;
    versions.registry.delete_blob("app", &blob["digest"].as_str().unwrap().parse().unwrap());
    let args = ["pull", "--json", "--delta", "always", &versions.name(2)];
    let output = versions.cli.run(&args).await;
    output.expect(0, "; transferring the layer");
    let bytes = output.report()["bytes"].clone();
    assert_eq!((&bytes["resumed"], &bytes["resent"]), (&json!(KEPT), &json!(0)), "{bytes}");
    assert_digests_are_right(&versions.cli.store());
}
