//! Retries: transient errors, `Retry-After`, outages, and where they stop.

use std::time::{Duration, Instant};

use rpull::error::ErrorKind;

use super::Scenario;
use crate::support::assertions::assert_nothing_visible;
use crate::support::cli::Cli;
use crate::support::http::{Fault, Reply};
use crate::support::images::{Family, image, layer, random_blob};
use crate::support::samples::published_app;

#[tokio::test]
async fn retry_after_honoured_up_to_one_minute() {
    let later = |value: &'static str| {
        move |_: Reply| Reply::new(429, "slow down").header("Retry-After", value)
    };
    let (registry, _, name) = published_app().await;
    registry.override_response("/manifests/", 0..1, later("1"));
    let began = Instant::now();
    Cli::new().run(&[&name]).await.expect(0, "");
    assert!(began.elapsed() >= Duration::from_secs(1));
    let (registry, _, name) = published_app().await;
    registry.override_response("/manifests/", 0..9, later("99999"));
    let output = Cli::new().run(&[&name]).await;
    output.expect(6, "; the server asks to wait until ").expect(6, "`--retry-for TIME`");
    assert_eq!(registry.server.requests().len(), 1, "no second attempt");
    for odd in ["0", "-1", "soon", "Thu, 01 Jan 1970 00:00:00 GMT"] {
        let (registry, _, name) = published_app().await;
        registry.override_response("/manifests/", 0..1, later(odd));
        Cli::new().run(&[&name]).await.expect(0, "");
    }
}

#[tokio::test]
async fn pooled_connection_closed_sends_request_again() {
    let (registry, _, name) = published_app().await;
    registry.override_response("/blobs/", 0..1, |reply| reply.fault(Fault::HangUp));
    let output = Cli::new().run(&["--retries", "0", "--jobs", "1", "-v", &name]).await;
    output.expect(0, "");
    assert!(!output.stderr.contains("retrying"), "{}", output.stderr);
}

#[tokio::test]
async fn retry_during_outage_is_announced_once() {
    let (registry, _, name) = published_app().await;
    registry.fail_requests("/blobs/", 0..16, Reply::new(503, "restarting"));
    let output = Cli::new().run(&[&name]).await;
    output.expect(0, "");
    let told = |words: &str| output.stderr.matches(words).count();
    assert!(told("retrying for up to 120 s") <= 1, "{}", output.stderr);
    assert_eq!(told("again in"), 0, "{}", output.stderr);
    let (registry, _, name) = published_app().await;
    registry.fail_requests("/blobs/", 0..99, Reply::new(503, "restarting"));
    let output = Cli::new().run(&["--retry-for", "0", "--retries", "1", &name]).await;
    output.expect(6, "tried 2 times");
}

#[tokio::test]
async fn retry_after_on_head_sends_no_request_early() {
    for (status, wait) in [(429, "1"), (503, "1")] {
        let (registry, held, name) = published_app().await;
        registry.fail_requests("HEAD ", 0..1, Reply::new(status, "").header("Retry-After", wait));
        let began = Instant::now();
        let output = Cli::new().run(&["digest", &name]).await;
        output.expect(0, "");
        assert!(output.stdout.contains(held.manifest.digest().as_str()), "{}", output.stdout);
        assert!(began.elapsed() >= Duration::from_secs(1), "{status}");
        assert!(registry.server.lines().iter().all(|line| line.starts_with("HEAD ")));
    }
    let (registry, _, name) = published_app().await;
    let long = Reply::new(429, "").header("Retry-After", "99999999999999999999");
    registry.fail_requests("/manifests/", 0..9, long);
    Cli::new().run(&["digest", &name]).await.expect(6, "the server asks not to retry");
    assert_eq!(registry.server.requests().len(), 1);
}

#[tokio::test]
async fn retry_without_progress_stops_at_limit() {
    let scenario = Scenario::new(5000).await;
    scenario.override_response(0..1, |reply| reply.fault(Fault::Cut(700)));
    scenario.override_response(1..100, |reply| reply.fault(Fault::Cut(0)));
    let finished = scenario.pull().await;
    let error = finished.error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Transport);
    assert!(error.to_string().contains("at byte 700 of"), "{error}");
    assert!(error.to_string().contains("tried 5"), "{error}");
    assert_eq!(scenario.ranges().len(), 5);
    assert_nothing_visible(&scenario.store());
    // As long as something new comes each time, there is no limit.
    let scenario = Scenario::new(5000).await;
    scenario.override_response(0..20, |reply| reply.fault(Fault::Cut(200)));
    let finished = scenario.pull().await;
    scenario.assert_arrived(&finished);
    assert_eq!(scenario.ranges().len(), 21);
}

#[tokio::test]
async fn retry_continues_through_registry_outage() {
    for reply in [
        Reply::new(503, "restarting"),
        Reply::new(429, "slow down"),
        Reply::new(200, "").fault(Fault::HangUp),
    ] {
        let scenario = Scenario::new(500).await;
        scenario.override_response(0..20, move |_| reply.clone());
        scenario.assert_arrived(&scenario.pull().await);
        assert_eq!(scenario.ranges().len(), 21);
    }
    // One that has never answered has five tries.
    let scenario = Scenario::new(500).await;
    scenario.registry.override_response("/v2/", 0..99, |_| Reply::new(503, "starting"));
    assert!(scenario.pull().await.error.unwrap().to_string().contains("tried 5 times"));
    assert_eq!(scenario.registry.server.requests().len(), 5);
}

#[tokio::test]
async fn retry_of_used_up_quota_stops_at_attempts() {
    let scenario = Scenario::new(500).await;
    scenario.override_response(0..99, |_| {
        Reply::new(429, "come back tomorrow").header("ratelimit-remaining", "0;w=21600")
    });
    let error = scenario.pull().await.error.unwrap();
    assert!(error.to_string().contains("tried 5 times"), "{error}");
}

#[tokio::test]
async fn retry_on_transient_status_and_not_on_permanent() {
    for status in [500, 502, 503, 504, 429, 408, 499, 522] {
        let scenario = Scenario::new(500).await;
        scenario
            .registry
            .override_response("/manifests/", 0..4, move |_| Reply::new(status, "busy"));
        scenario.override_response(0..4, move |_| Reply::new(status, "busy"));
        scenario.assert_arrived(&scenario.pull().await);
        assert_eq!(scenario.ranges().len(), 5, "{status}");
    }
    let mut scenario = Scenario::new(500).await;
    scenario.attempts = Some(5);
    scenario.override_response(0..99, |_| Reply::error(503, "UNAVAILABLE", "come back later"));
    let error = scenario.pull().await.error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Registry);
    let text = error.to_string();
    assert!(text.contains("503") && text.contains("later (tried 5 times)"), "{text}");
    assert_eq!(scenario.ranges().len(), 5);
    for status in [400, 404, 501] {
        let scenario = Scenario::new(500).await;
        scenario.override_response(0..99, move |_| Reply::new(status, ""));
        assert!(scenario.pull().await.error.is_some());
        assert_eq!(scenario.ranges().len(), 1, "{status} will not pass");
    }
}

#[tokio::test]
async fn refused_connections_are_not_counted_as_requests() {
    let (registry, _, name) = published_app().await;
    registry.override_response("/blobs/", 0..99, |_| {
        Reply::new(307, "").header("Location", "http://127.0.0.1:1/")
    });
    let output = Cli::new().run(&["--json", "--retries", "1", "--jobs", "1", &name]).await;
    let report: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    let sent = registry.server.requests().len();
    assert_eq!(report[0]["requests"]["total"], sent, "{}", output.stderr);
    let output = Cli::new().run(&["--json", "--retries", "1", "127.0.0.1:1/app:1"]).await;
    let report: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(report[0]["requests"]["total"], 0);
}

#[tokio::test]
async fn retries_of_all_blobs_share_tokens_of_host() {
    let mut scenario = Scenario::new(500).await;
    scenario.attempts = Some(5);
    let repositories: Vec<_> = (0..50).map(|number| format!("app{number}")).collect();
    for (seed, repository) in (10..).zip(&repositories) {
        let held = image(Family::Oci, "amd64", &[layer(&[("a", &random_blob(100, seed))])]);
        held.publish(&scenario.registry, repository, Some("1"));
    }
    scenario.registry.override_response("/blobs/", 0..999, |_| Reply::new(503, "down"));
    let finished = scenario.pull_all(&repositories).await;
    let failed = finished.iter().filter_map(|image| image.error.as_ref());
    let texts: Vec<_> = failed.map(ToString::to_string).collect();
    assert_eq!(texts.len(), 50);
    assert!(texts[49].contains("503") && texts[49].contains("tried "), "{}", texts[49]);
    let sent = scenario.registry.server.count("/blobs/");
    assert!((22..60).contains(&sent), "{sent} requests");
}
