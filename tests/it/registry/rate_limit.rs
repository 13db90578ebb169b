//! What registries say of their own limits: in reports, and by `limits`.

use serde_json::json;

use crate::support::cli::Cli;
use crate::support::fake_registry::{Auth, FakeRegistry, Options};
use crate::support::http::Reply;
use crate::support::samples::published_app;

fn limited(reply: Reply) -> Reply {
    reply
        .header("RateLimit-Limit", "100;w=21600")
        .header("RateLimit-Remaining", "76;w=21600")
        .header("Docker-RateLimit-Source", "192.0.2.1")
}

#[tokio::test]
async fn rate_limit_of_registry_is_reported() {
    let (registry, _held, name) = published_app().await;
    let report = Cli::new().report(&["pull", "--json", &name]).await;
    assert_eq!(report.get("rate_limit"), None, "it says nothing");
    let requests = report["requests"]["total"].clone();
    registry.override_response("/manifests/", 0..9, limited);
    let cli = Cli::new();
    let report = cli.report(&["pull", "--json", &name]).await;
    let expected =
        json!({"limit": 100, "remaining": 76, "window_s": 21_600, "source": "192.0.2.1"});
    assert_eq!(report["rate_limit"], expected);
    assert_eq!(report["requests"]["total"], requests, "it costs no request");
    let line = "rate limit: 76 of 100 left, per 6 h, counted for 192.0.2.1\n";
    cli.run(&["pull", &name]).await.expect(0, line);
}

#[tokio::test]
async fn limits_of_registry_cost_one_request() {
    let registry = FakeRegistry::start().await;
    let (cli, host) = (Cli::new(), registry.server.host());
    let output = cli.run(&["limits", &host]).await;
    assert_eq!(output.expect(0, "").stdout, format!("{host}: reports no rate limit\n"));
    assert_eq!(registry.server.lines(), ["GET /v2/"]);
    let silent = cli.json(&["limits", "--json", &host]).await;
    assert_eq!(silent, json!({"registry": host, "rate_limit": null}));
    registry.override_response("GET /v2/", 0..9, limited);
    let output = cli.run(&["limits", &host]).await;
    let expected = format!("{host}: 76 of 100 left, per 6 h, counted for 192.0.2.1\n");
    assert_eq!(output.expect(0, "").stdout, expected);
    assert_eq!(registry.server.requests().len(), 3);
}

#[tokio::test]
async fn limits_in_refusal_are_shown() {
    for status in [429, 404, 403] {
        let registry = FakeRegistry::start().await;
        registry.override_response("GET /v2/", 0..9, move |_| {
            limited(Reply::new(status, "no").header("Retry-After", "300"))
        });
        let output = Cli::new().run(&["limits", &registry.server.host()]).await;
        assert!(output.expect(0, "").stdout.contains(": 76 of 100 left, per 6 h"), "{status}");
        assert_eq!(registry.server.requests().len(), 1);
    }
    let registry = FakeRegistry::start().await;
    registry.override_response("GET /v2/", 0..9, |_| Reply::new(429, "no"));
    let output = Cli::new().run(&["limits", "--retries", "0", &registry.server.host()]).await;
    output.expect(6, "429 too many requests: no");
    assert!(!output.stderr.contains("downloaded"), "{}", output.stderr);
}

#[tokio::test]
async fn rate_limit_source_shows_no_secret() {
    let auth = Auth::Basic { user: "user".into(), password: "hush-4a7b".into() };
    let registry = FakeRegistry::start_with(Options { auth, ..Options::default() }).await;
    registry.override_response("GET /v2/", 0..9, |reply| {
        let limit = reply.header("RateLimit-Limit", "100;w=21600");
        limit.header("Docker-RateLimit-Source", "hush-4a7b")
    });
    let host = registry.server.host();
    let words = ["limits", "-vv", "--creds", "user:hush-4a7b", &host];
    let output = Cli::new().run(&words).await;
    let shown = format!("{}{}", output.expect(0, "").stdout, output.stderr);
    assert!(shown.contains("100 in all") && !shown.contains("hush-4a7b"), "{shown}");
    assert_eq!(registry.server.requests().len(), 2, "the first is answered with 401");
}
