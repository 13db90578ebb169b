//! Answers that are no registry's, headers that are too much, waits that were asked for, tokens that are odd.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rpull::content::Source as _;
use rpull::error::{Error, ErrorKind};
use rpull::name::ImageName;
use rpull::reference::Reference;
use rpull::registry::{Client, RegistryOptions, Timeouts};
use rpull::retry::RetryPolicy;
use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::http::{Fault, Reply, Request, Server};
use crate::support::images::{Family, Image, image, layer};
use crate::support::registry::{Auth, Bearer, Options, Registry};

async fn published(options: Options) -> (Registry, Image, String) {
    let registry = Registry::start_with(options).await;
    let held = image(Family::Oci, "amd64", &[layer(&[("a", b"a")])]);
    held.publish(&registry, "app", Some("1"));
    let name = format!("{}:1", registry.repository("app"));
    (registry, held, name)
}

/// Asks a server for a manifest, without a second try and with little patience.
async fn ask(server: &Server) -> Error {
    let wait = Duration::from_millis(300);
    let timeouts = Timeouts { connect: wait, headers: wait, idle: wait, commit: wait };
    let retry = RetryPolicy { attempts: Some(1), ..RetryPolicy::default() };
    let client = Client::new(RegistryOptions { timeouts, retry, ..RegistryOptions::default() });
    let reference: Reference = format!("{}/app:1", server.host()).parse().unwrap();
    client.repository(&reference).unwrap().resolve(&ImageName::Tag("1".into())).await.unwrap_err()
}

/// Wants a token from the same port.
fn challenge(request: &Request) -> Reply {
    let realm = format!("http://{}/token", request.header("host").unwrap());
    Reply::new(401, "").header("WWW-Authenticate", format!("Bearer realm=\"{realm}\""))
}

#[tokio::test]
async fn a_web_page_is_told_from_a_registry() {
    let page = "<!DOCTYPE html><html><title>Please log in</title></html>";
    let (registry, held, name) = published(Options::default()).await;
    for part in ["/manifests/", "/tags/", held.config.digest().as_str()] {
        registry
            .twist(part, 0..1, move |_| Reply::new(200, page).header("Content-Type", "text/html"));
    }
    let cli = Cli::new();
    cli.run(&[&name]).await.expect(5, "not a registry answer");
    let repository = registry.repository("app");
    cli.run(&["tags", &repository]).await.expect(5, "not a registry answer");
    cli.run(&[&name]).await.expect(5, "bytes of text/html");
    cli.run(&[&name]).await.expect(0, "");
    // A token server's page.
    let server = Server::start(move |request| {
        if request.path == "/token" { Reply::new(200, page) } else { challenge(request) }
    })
    .await;
    let output = cli.run(&[&format!("{}/app:1", server.host())]).await;
    output.expect(4, "answers something that is not a token");
}

#[tokio::test]
async fn errors_of_any_form_are_told_in_one_line() {
    for (status, body, code, words) in [
        (
            404,
            r#"{"errors":[{"code":"NAME_UNKNOWN","message":"no such repository"}]}"#,
            3,
            "no such repository",
        ),
        (403, r#"{"errors":[{"code":"DENIED","message":null,"detail":{"a":[1]}}]}"#, 4, "denied"),
        (403, r#"{"details":"quota exceeded"}"#, 4, "quota exceeded"),
        (400, r#"{"errors":null}"#, 6, "400 bad request"),
        (400, "{half", 6, "{half"),
        (418, "", 6, "418"),
        (401, "", 4, "401 unauthorized"),
        (507, "<html>full</html>", 6, "a web page instead"),
    ] {
        let (registry, _, name) = published(Options::default()).await;
        registry.twist("/v2/", 0..9, move |_| Reply::new(status, body));
        let output = Cli::new().run(&["--retries", "0", &name]).await;
        output.expect(code, words);
        assert_eq!(output.stderr.lines().filter(|line| line.starts_with("error:")).count(), 1);
    }
    let (registry, _, name) = published(Options::default()).await;
    let long = Bytes::from("x".repeat(1 << 20));
    registry.twist("/v2/", 0..9, move |_| Reply::new(400, long.clone()));
    let output = Cli::new().run(&[&name]).await;
    assert!(output.expect(6, "400 bad request: xxx").stderr.len() < 1000);
}

#[tokio::test]
async fn nothing_that_a_server_says_steers_the_terminal() {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\r\u{9b}31m\u{202e}";
    let (registry, _, name) = published(Options::default()).await;
    let body = json!({"errors": [{"code": "DENIED", "message": evil}]}).to_string();
    registry.twist("/v2/", 0..1, move |_| Reply::new(403, body.clone()));
    registry.twist("/v2/", 1..2, |reply| reply.header("Warning", "299 - \"\u{9b}31m old client\""));
    let cli = Cli::new();
    let refused = cli.run(&["-vv", &name]).await;
    let warned = cli.run(&["-vv", &name]).await;
    refused.expect(4, "owned");
    warned.expect(0, "old client");
    let history = json!([{"created_by": evil, "comment": evil, "created": evil}]);
    let config = json!({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": []}, "history": history,
        "config": {"Env": [evil], "Labels": {"a": evil}}, "author": evil});
    let config_type = "application/vnd.oci.image.config.v1+json";
    let digest = registry.blob("app", config.to_string());
    let config =
        json!({"mediaType": config_type, "digest": digest, "size": config.to_string().len()});
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": []});
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    registry.document("app", Some("evil"), manifest_type, manifest.to_string());
    let evil_name = name.replace(":1", ":evil");
    let mut shown = vec![refused, warned];
    for verb in [&["history"][..], &["layers"], &["inspect"], &["history", "--no-trunc"]] {
        shown.push(cli.run(&[verb, &[&evil_name]].concat()).await);
    }
    for output in shown {
        let text = format!("{}{}", output.stdout, output.stderr);
        let dangerous = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(dangerous), "{text:?}");
    }
    let rows = cli.json(&["history", "--json", &evil_name]).await;
    assert_eq!(rows[0]["created_by"], evil, "JSON has the text as it is");
}

#[tokio::test]
async fn a_wait_that_was_asked_for_is_kept_up_to_a_minute() {
    let later = |value: &'static str| {
        move |_: Reply| Reply::new(429, "slow down").header("Retry-After", value)
    };
    let (registry, _, name) = published(Options::default()).await;
    registry.twist("/manifests/", 0..1, later("1"));
    let began = Instant::now();
    Cli::new().run(&[&name]).await.expect(0, "");
    assert!(began.elapsed() >= Duration::from_secs(1));
    let (registry, _, name) = published(Options::default()).await;
    registry.twist("/manifests/", 0..9, later("99999"));
    let began = Instant::now();
    let output = Cli::new().run(&[&name]).await;
    output.expect(6, "it asks to wait 99999 s").expect(6, "hint: log in to be allowed more");
    assert!(began.elapsed() < Duration::from_secs(5));
    for odd in ["0", "-1", "soon", "Thu, 01 Jan 1970 00:00:00 GMT"] {
        let (registry, _, name) = published(Options::default()).await;
        registry.twist("/manifests/", 0..1, later(odd));
        let began = Instant::now();
        Cli::new().run(&[&name]).await.expect(0, "");
        assert!(began.elapsed() < Duration::from_secs(5), "{odd}");
    }
}

#[tokio::test]
async fn a_token_that_wears_out_is_renewed() {
    let bearer = Bearer { uses: 2, elsewhere: true, ..Bearer::default() };
    let options = Options { auth: Auth::Bearer(bearer), ..Options::default() };
    let registry = Registry::start_with(options).await;
    let layers: Vec<_> = (0..8_u8).map(|n| layer(&[("n", &[n])])).collect();
    let held = image(Family::Oci, "amd64", &layers);
    held.publish(&registry, "app", Some("1"));
    let name = format!("{}:1", registry.repository("app"));
    // One after the other, because a token that others have used up while it was fetched is a second refusal.
    let report = Cli::new().json(&["--json", "--jobs", "1", &name]).await;
    assert_eq!(report["bytes"]["transferred"], held.size());
    assert_eq!(registry.token_requests().len(), 5, "ten requests, two for each token");
}

#[tokio::test]
async fn odd_tokens_are_used_or_refused() {
    for (answer, good) in [
        (json!({"token": "t"}), true),
        (
            json!({"access_token": "t", "expires_in": "60", "issued_at": "2100-01-01T00:00:00Z"}),
            true,
        ),
        (json!({"token": "t", "access_token": "u", "expires_in": 0}), true),
        (json!({"token": "t", "expires_in": 1e12}), true),
        (json!({"token": ""}), false),
        (json!({}), false),
        (json!({"token": 5}), false),
    ] {
        let body = answer.to_string();
        let server = Server::start(move |request| match request.path.as_str() {
            "/token" => Reply::new(200, body.clone()),
            _ if request.header("authorization") == Some("Bearer t") => {
                Reply::new(404, "found nothing")
            }
            _ => challenge(request),
        })
        .await;
        let error = ask(&server).await;
        let expected = if good { ErrorKind::NotFound } else { ErrorKind::Denied };
        assert_eq!(error.kind(), expected, "{answer}: {error}");
    }
}

#[tokio::test]
async fn too_many_and_too_long_headers_are_survived() {
    let (registry, _, name) = published(Options::default()).await;
    registry.twist("/manifests/", 0..1, |mut reply| {
        for n in 0..50 {
            reply = reply.header(&format!("X-{n}"), "é".repeat(100));
        }
        reply.header("Warning", "x".repeat(20_000)).header("Link", "<".repeat(20_000))
    });
    Cli::new().run(&[&name]).await.expect(0, "");
    for fault in [
        "HTTP/1.1 200 OK\r\nX: ".to_owned() + &"x".repeat(2 << 20) + "\r\n\r\n",
        "HTTP/1.1 200 OK\r\n".to_owned() + &"X: y\r\n".repeat(5000) + "\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n".repeat(100_000),
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzzz".to_owned(),
        "junk\r\n\r\n".to_owned(),
    ] {
        let server =
            Server::start(move |_| Reply::new(200, "").fault(Fault::Raw(fault.clone().into())))
                .await;
        let error = ask(&server).await;
        let kinds = [ErrorKind::Transport, ErrorKind::InvalidDocument];
        assert!(kinds.contains(&error.kind()), "{error}");
        assert!(error.to_string().len() < 500, "{error}");
    }
}

#[tokio::test]
async fn statuses_that_nobody_asked_for_are_errors() {
    for status in [204, 206, 304, 300] {
        let server = Server::start(move |_| Reply::new(status, "")).await;
        let error = ask(&server).await;
        let text = error.to_string();
        let kinds = [ErrorKind::Registry, ErrorKind::Transport, ErrorKind::InvalidDocument];
        assert!(kinds.contains(&error.kind()), "{status}: {text}");
    }
    // A body after HEAD must not be taken for the next answer.
    let (registry, _, name) = published(Options::default()).await;
    let cli = Cli::new();
    cli.run(&[&name]).await.expect(0, "");
    let body = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Type: text/plain\r\n\r\nevil";
    registry.twist("HEAD ", 0..1, |reply| reply.fault(Fault::Raw(body.into())));
    cli.run(&[&name]).await.expect(0, "(100 %)");
}

#[tokio::test]
async fn a_pooled_connection_that_was_closed_is_no_failure() {
    let (registry, _, name) = published(Options::default()).await;
    registry.twist("/blobs/", 0..1, |reply| reply.fault(Fault::HangUp));
    let output = Cli::new().run(&["--retries", "0", "--jobs", "1", "-v", &name]).await;
    output.expect(0, "");
    assert!(!output.stderr.contains("trying again"), "{}", output.stderr);
}

#[tokio::test]
async fn nobody_waits_for_ever() {
    let silent = Server::start(|_| Reply::new(200, "").fault(Fault::Silence)).await;
    let error = ask(&silent).await;
    assert!(error.to_string().contains("no answer within 0.3 s"), "{error}");
    assert!(error.to_string().contains(&silent.host()), "{error}");
    // Accepts and never answers: the listener's backlog takes the connection.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let reference: Reference = format!("{}/app:1", listener.local_addr().unwrap()).parse().unwrap();
    let timeouts = Timeouts { headers: Duration::from_millis(200), ..Timeouts::default() };
    let retry = RetryPolicy { attempts: Some(1), ..RetryPolicy::default() };
    let client = Client::new(RegistryOptions { timeouts, retry, ..RegistryOptions::default() });
    let began = Instant::now();
    let error = client.repository(&reference).unwrap().tags().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn registries_that_say_little_are_enough() {
    let (registry, held, name) = published(Options::default()).await;
    let cli = Cli::new();
    // No digest header, no usable type, no length; then no HEAD.
    registry.twist("/manifests/", 0..1, |reply| {
        let bare = reply.without("docker-content-digest").without("content-type");
        bare.header("Content-Type", "text/plain").fault(Fault::Chunked(100))
    });
    cli.run(&[&name]).await.expect(0, "");
    for status in [405, 400, 404] {
        registry.twist("HEAD ", 0..1, move |_| Reply::new(status, ""));
        let report: Value = cli.json(&["--json", &name]).await;
        assert_eq!(report["bytes"]["shared"], held.size());
    }
    registry.twist("HEAD ", 0..1, |reply| reply.without("docker-content-digest"));
    cli.run(&["digest", &name]).await.expect(0, "");
}

#[tokio::test]
async fn outage_that_all_blobs_meet_is_announced_once() {
    let (registry, _, name) = published(Options::default()).await;
    registry.refuse("/blobs/", 0..16, Reply::new(503, "restarting"));
    let output = Cli::new().run(&[&name]).await;
    output.expect(0, "");
    let told = |words: &str| output.stderr.matches(words).count();
    assert!(told("trying again for up to 120 s") <= 1, "{}", output.stderr);
    assert_eq!(told("again in"), 0, "{}", output.stderr);
    let (registry, _, name) = published(Options::default()).await;
    registry.refuse("/blobs/", 0..99, Reply::new(503, "restarting"));
    let output = Cli::new().run(&["--retry-for", "0", "--retries", "1", &name]).await;
    output.expect(6, "tried 2 times");
}

#[tokio::test]
async fn digest_head_429_nothing_is_asked_before_retry_after() {
    for (status, wait) in [(429, "1"), (503, "1")] {
        let (registry, held, name) = published(Options::default()).await;
        registry.refuse("HEAD ", 0..1, Reply::new(status, "").header("Retry-After", wait));
        let began = Instant::now();
        let output = Cli::new().run(&["digest", &name]).await;
        output.expect(0, "");
        assert!(output.stdout.contains(held.manifest.digest().as_str()), "{}", output.stdout);
        assert!(began.elapsed() >= Duration::from_secs(1), "{status}");
        assert!(registry.server.lines().iter().all(|line| line.starts_with("HEAD ")));
    }
    let (registry, _, name) = published(Options::default()).await;
    let long = Reply::new(429, "").header("Retry-After", "99999999999999999999");
    registry.refuse("/manifests/", 0..9, long);
    Cli::new().run(&["digest", &name]).await.expect(6, "it asks to wait");
    assert_eq!(registry.server.requests().len(), 1);
}
