//! Pauses that a registry asks for by `Retry-After`.

use std::time::Instant;

use rustix::process::Signal;

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::Reply;
use crate::support::images::{Family, image, layer, random_blob};
use crate::support::wait::wait_until;

/// A registry with an image of six layers that answers the first request for a blob with this wait, and its full name.
async fn busy_registry(seconds: &str) -> (FakeRegistry, String) {
    let registry = FakeRegistry::start().await;
    let layers: Vec<_> = (0..6).map(|seed| layer(&[("a", &random_blob(500, seed))])).collect();
    image(Family::Oci, "amd64", &layers).publish(&registry, "app", Some("1"));
    let busy = Reply::error(429, "TOOMANYREQUESTS", "slow down").header("Retry-After", seconds);
    registry.fail_requests("GET /v2/app/blobs/", 0..1, busy);
    let name = registry.repository("app:1");
    (registry, name)
}

#[tokio::test]
async fn pause_is_announced_once_with_its_end() {
    let (registry, name) = busy_registry("2").await;
    let began = Instant::now();
    let output = Cli::new().run(&[&name]).await;
    let waiting = format!("waiting for {} until ", registry.server.host());
    assert_eq!(output.expect(0, &waiting).stderr.matches("waiting for ").count(), 1);
    let end = output.stderr.split_once(&waiting).unwrap().1;
    let (clock, rest) = end.split_once(' ').unwrap();
    assert!(clock.len() == 8 && rest.starts_with("UTC (asked by Retry-After)\n"), "{end}");
    assert!(began.elapsed().as_secs() >= 2);
    assert_eq!(registry.server.count("GET /v2/app/blobs/"), 8, "one is asked for again");
}

#[tokio::test]
async fn pause_short_and_repeated_is_announced_once() {
    let (registry, name) = busy_registry("1").await;
    let again = Reply::error(429, "TOOMANYREQUESTS", "slow down").header("Retry-After", "1");
    registry.override_response("GET /v2/app/blobs/", 6..7, move |_| again.clone());
    let output = Cli::new().run(&[&name]).await;
    assert_eq!(output.expect(0, "waiting for ").stderr.matches("waiting for ").count(), 1);
    assert_eq!(registry.server.count("GET /v2/app/blobs/"), 9, "one is asked for twice again");
}

#[tokio::test]
async fn pause_ends_with_interrupt() {
    let (registry, name) = busy_registry("55").await;
    let cli = Cli::new();
    let running = cli.spawn(&[&name]);
    wait_until("no blob is requested", async || registry.server.count("/blobs/") > 0).await;
    running.stop(Signal::INT).await.expect(130, "interrupted");
}

#[tokio::test]
async fn pause_longer_than_retry_for_fails_with_its_end() {
    let (registry, name) = busy_registry("30").await;
    let output = Cli::new().run(&["pull", "--retry-for", "5", &name]).await;
    output.expect(6, "slow down; the server asks to wait until ");
    assert!(!output.stderr.contains("waiting for "), "{}", output.stderr);
    assert!(registry.server.count("GET /v2/app/blobs/") <= 7);
}
