//! A registry that announces its limit of pulls, of which a floor is left to others.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Fleet, names};

const LIMIT: &str = "100;w=21600";

/// The usual fleet, whose source counts GETs of manifests as Docker Hub does, and does so from `left`. After `heads` HEADs there are
/// fifty more.
async fn fleet(left: u64, heads: u64, floor: &str) -> Fleet {
    let fleet = Fleet::start().await;
    fleet.write(&format!(
        "registries: {{FROM: {{{floor}}}}}
defaults: {{to: 'TO/m/{{{{name}}}}'}}
mirror: [{{from: FROM/team/a}}, {{from: FROM/team/b}}]
"
    ));
    let (left, heads) = (AtomicU64::new(left), AtomicU64::new(heads));
    fleet.from.disturb(move |request, reply| {
        if !request.path.contains("/manifests/") {
            return reply;
        }
        if request.method == "GET" {
            left.fetch_sub(1, Ordering::Relaxed);
        } else if heads.fetch_sub(1, Ordering::Relaxed) == 1 {
            left.fetch_add(50, Ordering::Relaxed);
        }
        let remaining = format!("{};w=21600", left.load(Ordering::Relaxed));
        reply.header("RateLimit-Limit", LIMIT).header("RateLimit-Remaining", remaining)
    });
    fleet
}

#[tokio::test]
async fn rate_limit_floor_stops_pulls_and_says_until_when() {
    let fleet = fleet(12, 99, "rate-limit-floor: 10").await;
    let output = fleet.run(&["--json"]).await;
    // Pulls that are on their way count, too, and may not be announced yet.
    output
        .expect(1, " of 100 pulls left")
        .expect(1, ", and the floor is 10; all are available again by ");
    output.expect(1, "mirrored 2 of 4 images");
    assert!(output.stdout.contains("\"stopped\":\"rate-limit-floor\""), "{}", output.stdout);
    let asked = fleet.asked();
    assert_eq!(
        asked.iter().filter(|line| line.contains("GET") && line.contains("/manifests/")).count(),
        2
    );
    // A later run completes it.
    fleet.from.disturb(|_, reply| reply);
    fleet.run(&[]).await.expect(0, "mirrored 4 images (2 unchanged)");
}

#[tokio::test]
async fn rate_limit_floor_is_asked_by_head_before_first_pull() {
    let fleet = fleet(90, 99, "rate-limit-floor: 10").await;
    let output = fleet.run(&[]).await;
    output.expect(0, "mirrored 4 images");
    assert_eq!(names(&output), ["m/a:1.0", "m/a:1.1", "m/a:latest", "m/b:1.0"]);
    let lines = fleet.from.server.lines();
    let first = lines.iter().find(|line| line.contains("/manifests/")).unwrap();
    assert!(first.starts_with("HEAD "), "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("HEAD ")).count(), 1, "{lines:?}");
}

#[tokio::test]
async fn rate_limit_floor_is_waited_for() {
    // The first HEAD finds it reached, and so does the second.
    let fleet = fleet(10, 3, "rate-limit-floor: 10, rate-limit-wait: 10s").await;
    let output = fleet.run(&[]).await;
    output.expect(0, "10 of 100 pulls left, and the floor is 10; waiting until ");
    output.expect(0, "mirrored 4 images");
}

#[tokio::test]
async fn rate_limit_floor_without_announcement_costs_one_request() {
    let fleet = Fleet::start().await;
    fleet.write(
        "registries: {FROM: {rate-limit-floor: 10}}\nmirror: [{from: FROM/team/a, to: TO/m/a}]",
    );
    fleet.run(&[]).await.expect(0, "mirrored 3 images");
    assert_eq!(fleet.from.server.count("HEAD "), 1);
    fleet.write(
        "registries: {FROM: {rate-limit-wait: 1h}}\nmirror: [{from: FROM/team/a, to: TO/m/a}]",
    );
    fleet.run(&[]).await.expect(2, "`rate-limit-wait` requires `rate-limit-floor`");
    fleet.write("registries: {FROM: {rate-limit-floor: 1, rate-limit-wait: soon}}\nmirror: []");
    fleet.run(&[]).await.expect(2, "expected a duration such as 30s");
}

#[tokio::test]
async fn rate_limit_floor_of_configuration_file_stops_pull() {
    let fleet = fleet(10, 99, "").await;
    let host = fleet.from.server.host();
    let config = format!("[registry.\"{host}\"]\nrate-limit-floor = 10\n");
    std::fs::write(fleet.cli.dir().join("c.toml"), config).unwrap();
    let image = format!("{host}/team/a:1.0");
    let pull = ["--config", "c.toml", "pull", &image];
    fleet.cli.run(&pull).await.expect(1, "10 of 100 pulls left, and the floor is 10");
    assert_eq!(fleet.from.server.lines(), ["HEAD /v2/team/a/manifests/1.0"]);
}
