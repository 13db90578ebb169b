//! Deltas between consecutive tags, with exact requests.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::Fleet;
use crate::support::assertions::assert_digests_are_right;
use crate::support::http::{Fault, Reply};
use crate::support::images::{Family, Image, image, index, layer, random_blob, with_config};
use crate::support::live::needs;
use crate::support::small::Small;
use crate::support::versions::version;
use crate::support::wait::wait_until;

const FILE: &str = "mirror: [{from: FROM/team/d, to: 'TO/m/d', deltas: {from: previous}}]";

/// `team/d` has 1.0, 1.1, and latest, which is 1.1.
async fn fleet() -> Fleet {
    let fleet = Fleet::start().await;
    version(1).publish(&fleet.from, "team/d", Some("1.0"));
    for tag in ["1.1", "latest"] {
        version(2).publish(&fleet.from, "team/d", Some(tag));
    }
    fleet.write(FILE);
    fleet
}

/// The number of artifacts that were pushed to a repository: the registry lists what refers to an image in a tag.
fn pushed(fleet: &Fleet, repository: &str) -> usize {
    fleet.to.server.count(&format!("PUT /v2/{repository}/manifests/sha256-"))
}

/// Pulls the older image from the target, and the newer one with its deltas.
async fn assert_rebuilt(fleet: &Fleet, old: &str, new: &str) {
    let [old, new] = [old, new].map(|tag| fleet.to.repository(&format!("m/d:{tag}")));
    fleet.cli.run(&["pull", &old]).await.expect(0, "");
    let report = fleet.cli.report(&["pull", "--json", "--delta", "always", &new]).await;
    let layer = report["blobs"].as_array().unwrap().iter().map(|blob| &blob["size"]);
    let largest = layer.max_by_key(|size| size.as_u64()).unwrap();
    assert_eq!(&report["bytes"]["rebuilt"], largest, "{report}");
    assert_digests_are_right(&fleet.cli.store());
}

#[tokio::test]
async fn delta_of_previous_tag_is_pushed_beside_image() {
    let fleet = fleet().await;
    let output = fleet.run(&[]).await;
    output.expect(0, "mirrored 3 images (0 unchanged), made deltas of 1 image (");
    assert_eq!(pushed(&fleet, "m/d"), 1, "{:?}", fleet.sent());
    assert!(output.stderr.contains("m/d:1.1 from "), "{}", output.stderr);
    assert_rebuilt(&fleet, "1.0", "1.1").await;
}

#[tokio::test]
async fn deltas_at_target_are_not_made_again() {
    let fleet = fleet().await;
    fleet.run(&[]).await.expect(0, "made deltas of 1 image");
    let heads = ["1.0", "1.1", "latest"].map(|tag| format!("HEAD /v2/m/d/manifests/{tag}"));
    fleet.run(&[]).await.expect(0, "(3 unchanged); ");
    assert_eq!(fleet.sent(), heads);

    // Without the state file, the target is asked: the newer manifest, and what refers to it.
    std::fs::remove_dir_all(fleet.cli.home().join(".local/state")).unwrap();
    fleet.run(&[]).await.expect(0, "(3 unchanged); ");
    let sent = fleet.sent();
    assert_eq!(sent.len(), 3 + 3, "{sent:#?}");
    assert!(sent.iter().all(|line| line.starts_with("HEAD ") || line.starts_with("GET ")));
    assert_eq!(fleet.to.server.count("GET /v2/m/d/manifests/sha256:"), 1, "{sent:#?}");
    assert_eq!(fleet.to.server.count("/v2/m/d/referrers/"), 1, "{sent:#?}");
    fleet.run(&[]).await.expect(0, "(3 unchanged); ");
    assert_eq!(fleet.sent(), heads);
}

#[tokio::test]
async fn new_tag_gets_only_its_own_delta() {
    let fleet = fleet().await;
    fleet.run(&[]).await.expect(0, "");
    version(3).publish(&fleet.from, "team/d", Some("1.2"));
    let plan = fleet.run(&["--plan"]).await;
    let summary = plan.stdout.lines().last().unwrap();
    assert!(summary.contains(", look at deltas of 1 image; "), "{summary}");
    let lines = fleet.run(&["--plan", "--json"]).await.expect(0, "").stdout.clone();
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    let reference = fleet.to.repository("m/d:1.2");
    assert_eq!(last, json!({"reference": reference, "outcome": "delta"}));

    let output = fleet.run(&["--json"]).await;
    output.expect(0, "made deltas of 1 image");
    let last: Value = serde_json::from_str(output.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&last["reference"], &last["outcome"]), (&json!(reference), &json!("delta")));
    assert_eq!(last["from"], json!(fleet.to.repository("m/d:1.1")));
    let bytes = |key: &str| last[key].as_u64().unwrap();
    assert!(bytes("delta_bytes") * 10 < bytes("replaced_bytes"), "{last}");
    assert_rebuilt(&fleet, "1.1", "1.2").await;
}

#[tokio::test]
async fn failed_delta_is_a_warning_and_made_by_next_run() {
    let fleet = fleet().await;
    // After the manifest of the newer image.
    fleet.to.fail_requests("PUT /v2/m/d/manifests/sha256:", 1..2, Reply::new(403, ""));
    let output = fleet.run(&[]).await;
    output.expect(0, "mirrored 3 images (0 unchanged); ").expect(0, "m/d:1.1 has no deltas: ");
    fleet.run(&[]).await.expect(0, "(3 unchanged), made deltas of 1 image");
    assert_rebuilt(&fleet, "1.0", "1.1").await;
}

#[tokio::test]
async fn layers_too_small_for_deltas_are_not_read() {
    let fleet = Fleet::start().await;
    fleet.write("mirror: [{from: FROM/team/a, to: 'TO/m/a', deltas: {from: previous}}]");
    fleet.run(&[]).await.expect(0, "mirrored 3 images (0 unchanged); ");
    assert_eq!(fleet.to.server.count("GET /v2/m/a/blobs/"), 0, "{:?}", fleet.sent());
    fleet.run(&[]).await.expect(0, "(3 unchanged)");
    assert_eq!(fleet.sent().len(), 3, "what does not pay is not looked at again");
}

#[tokio::test]
async fn deltas_of_tags_without_versions_follow_creation_times() {
    let fleet = Fleet::start().await;
    for (tag, number, created) in
        [("red", 1, "2026-11-02T00:00:00Z"), ("blue", 2, "2026-11-01T00:00:00Z")]
    {
        dated(&version(number), created).publish(&fleet.from, "team/d", Some(tag));
    }
    fleet.write(FILE);
    fleet.run(&[]).await.expect(0, "m/d:red from ");
    assert_rebuilt(&fleet, "blue", "red").await;
}

fn dated(image: &Image, created: &str) -> Image {
    let mut config: Value = serde_json::from_slice(&image.config.bytes).unwrap();
    config["created"] = json!(created);
    with_config(image, &config)
}

#[tokio::test]
async fn deltas_of_index_are_made_by_platform_once_for_all_targets() {
    let fleet = Fleet::start().await;
    for (tag, number) in [("1", 1), ("2", 2)] {
        index(Family::Oci, &[("amd64", version(number)), ("arm64", version(number + 2))]).publish(
            &fleet.from,
            "team/d",
            tag,
        );
    }
    fleet.write(
        "mirror: [{from: FROM/team/d, to: ['TO/m/d', 'TO/n/d', 'oci:layout'], deltas: {from: previous}}]",
    );
    fleet.run(&[]).await.expect(0, "mirrored 6 images (0 unchanged), made deltas of 2 images");
    assert_eq!(pushed(&fleet, "m/d"), 2, "{:?}", fleet.sent());
    assert_eq!(pushed(&fleet, "n/d"), 2, "{:?}", fleet.sent());
    assert_eq!(fleet.to.server.count("GET /v2/n/d/blobs/"), 0, "{:?}", fleet.sent());
    assert_rebuilt(&fleet, "1", "2").await;
}

/// A full disk was taken for deltas that do not pay, so that no run tried again.
#[tokio::test]
async fn deltas_failed_on_full_disk_are_made_by_next_run() {
    let test = "deltas_failed_on_full_disk_are_made_by_next_run";
    if !needs(test, &["mount", "umount"]) {
        return;
    }
    let mut fleet = Fleet::start().await;
    let content = random_blob(6 << 20, 1);
    for (tag, size) in [("1.0", content.len()), ("1.1", 2 << 20)] {
        let image = image(Family::Oci, "amd64", &[layer(&[("a", &content[..size])])]);
        image.publish(&fleet.from, "team/d", Some(tag));
    }
    fleet.write(FILE);
    let small = fleet.cli.dir().join("small");
    let Some(_small) = Small::mount(test, &small, "size=5m") else { return };
    let usual = std::env::temp_dir().display().to_string();
    fleet.cli = fleet.cli.env("TMPDIR", small.to_str().unwrap());
    let output = fleet.run(&[]).await;
    output
        .expect(0, "/m/d:1.1 has no deltas: temporary file: ")
        .expect(0, "No space left on device");
    assert_eq!(pushed(&fleet, "m/d"), 0);
    fleet.cli = fleet.cli.env("TMPDIR", usual);
    fleet.run(&[]).await.expect(0, "made deltas of 1 image");
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_deltas_count_in_duration() {
    let fleet = fleet().await;
    let layer = version(1).layers[1].digest().to_string();
    fleet.to.override_response(&format!("GET /v2/m/d/blobs/{layer}"), 0..9, |reply| {
        reply.fault(Fault::Stall(1))
    });
    let running = fleet.cli.spawn(&["mirror", "m.yaml"]);
    let is_read = async || fleet.to.server.count(&format!("GET /v2/m/d/blobs/{layer}")) > 0;
    wait_until("no layer is read for the delta", is_read).await;
    let started = Instant::now();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let making = started.elapsed().as_secs_f64();
    let output = running.stop(Signal::INT).await;
    let summary = output.expect(130, "mirrored 3 images").stderr.lines().last().unwrap();
    let (_, duration) = summary.strip_suffix(" s").unwrap().rsplit_once(", ").unwrap();
    assert!(duration.parse::<f64>().unwrap() >= making.floor(), "{making} s: {summary}");
}
