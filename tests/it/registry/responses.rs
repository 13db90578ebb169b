//! Responses that are not a registry's, error bodies of every form, headers that are too many or missing.

use bytes::Bytes;
use rpull::error::ErrorKind;
use rpull::media::MediaType;
use serde_json::Value;

use super::{ask, challenge};
use crate::support::cli::Cli;
use crate::support::fake_registry::{FakeRegistry, Options};
use crate::support::http::{Fault, Reply, Server};
use crate::support::images::{Family, image, layer};
use crate::support::samples::published_app;

#[tokio::test]
async fn html_page_is_not_a_registry_response() {
    let page = "<!DOCTYPE html><html><title>Please log in</title></html>";
    let (registry, held, name) = published_app().await;
    for part in ["/manifests/", "/tags/", held.config.digest().as_str()] {
        registry.override_response(part, 0..1, move |_| {
            Reply::new(200, page).header("Content-Type", "text/html")
        });
    }
    let cli = Cli::new();
    cli.run(&[&name]).await.expect(5, "not a registry response");
    let repository = registry.repository("app");
    cli.run(&["tags", &repository]).await.expect(5, "not a registry response");
    cli.run(&[&name]).await.expect(5, "of text/html");
    cli.run(&[&name]).await.expect(0, "");
    // A token server's page.
    let server = Server::start(move |request| {
        if request.path == "/token" { Reply::new(200, page) } else { challenge(request) }
    })
    .await;
    let output = cli.run(&[&format!("{}/app:1", server.host())]).await;
    output.expect(4, "invalid token response");
}

#[tokio::test]
async fn error_body_of_any_form_is_one_line() {
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
        (
            403,
            "<?xml version=\"1.0\"?><Error><Code>RequestTimeTooSkewed</Code><Message>\x1bclock</Message></Error>",
            4,
            "403 forbidden: RequestTimeTooSkewed: \\u{1b}clock",
        ),
    ] {
        let (registry, _, name) = published_app().await;
        registry.override_response("/v2/", 0..9, move |_| Reply::new(status, body));
        let output = Cli::new().run(&["--retries", "0", &name]).await;
        output.expect(code, words);
        assert_eq!(output.stderr.lines().filter(|line| line.starts_with("error:")).count(), 1);
    }
    let (registry, _, name) = published_app().await;
    let long = Bytes::from("x".repeat(1 << 20));
    registry.override_response("/v2/", 0..9, move |_| Reply::new(400, long.clone()));
    let output = Cli::new().run(&[&name]).await;
    assert!(output.expect(6, "400 bad request: xxx").stderr.len() < 1000);
}

#[tokio::test]
async fn redirect_to_failing_host_names_registry() {
    let (registry, _, name) = published_app().await;
    registry.override_response("/blobs/", 0..9, |_| {
        Reply::new(307, "").header("Location", "http://127.0.0.1:1/st?sig=hush-4a7b")
    });
    let output = Cli::new().run(&["--retries", "0", &name]).await;
    let host = registry.server.host();
    output.expect(6, &format!(", redirected by {host}: Connection refused"));
    output.expect(6, "hint: check that this host is reachable");
    assert!(!output.stderr.contains("hush"), "{}", output.stderr);

    let registry =
        FakeRegistry::start_with(Options { blobs_elsewhere: true, ..Options::default() });
    let registry = registry.await;
    let held = image(Family::Oci, "amd64", &[layer(&[("a", b"a")])]);
    held.publish(&registry, "app", Some("1"));
    registry.override_response("sig", 0..9, |_| {
        Reply::new(403, "<Error><Code>AccessDenied</Code><Message>expired</Message></Error>")
    });
    let output = Cli::new().run(&["--retries", "0", &registry.repository("app:1")]).await;
    let host = registry.server.host();
    output.expect(4, &format!(", redirected by {host}: 403 forbidden: AccessDenied: expired"));
}

#[tokio::test]
async fn headers_oversized_are_tolerated_or_rejected() {
    let (registry, _, name) = published_app().await;
    registry.override_response("/manifests/", 0..1, |mut reply| {
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
async fn status_unexpected_is_error() {
    for status in [204, 206, 304, 300] {
        let server = Server::start(move |_| Reply::new(status, "")).await;
        let error = ask(&server).await;
        let text = error.to_string();
        let kinds = [ErrorKind::Registry, ErrorKind::Transport, ErrorKind::InvalidDocument];
        assert!(kinds.contains(&error.kind()), "{status}: {text}");
    }
    // A body after HEAD must not be read as the next response.
    let (registry, _, name) = published_app().await;
    let cli = Cli::new();
    cli.run(&[&name]).await.expect(0, "");
    let body = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Type: text/plain\r\n\r\nevil";
    registry.override_response("HEAD ", 0..1, |reply| reply.fault(Fault::Raw(body.into())));
    cli.run(&[&name]).await.expect(0, "(100 %)");
}

#[tokio::test]
async fn headers_missing_are_tolerated() {
    let (registry, held, name) = published_app().await;
    let cli = Cli::new();
    // No digest header, no usable type, no length; then no HEAD.
    registry.override_response("/manifests/", 0..1, |reply| {
        let bare = reply.without("docker-content-digest").without("content-type");
        bare.header("Content-Type", "text/plain").fault(Fault::Chunked(100))
    });
    cli.run(&[&name]).await.expect(0, "");
    for status in [405, 400, 404] {
        registry.override_response("HEAD ", 0..1, move |_| Reply::new(status, ""));
        let report: Value = cli.report(&["--json", &name]).await;
        assert_eq!(report["bytes"]["shared"], held.size());
    }
    registry.override_response("HEAD ", 0..1, |reply| reply.without("docker-content-digest"));
    cli.run(&["digest", &name]).await.expect(0, "");
}

#[tokio::test]
async fn response_without_end_is_aborted() {
    // The manifest, the error body, and the token.
    for (status, header, code) in [
        (200, ("Content-Type", MediaType::OCI_MANIFEST.as_str().to_owned()), 5),
        (400, ("Content-Type", "text/plain".to_owned()), 6),
        (401, ("WWW-Authenticate", "Bearer realm=\"http://HOST/token\"".to_owned()), 5),
    ] {
        let zeros = Bytes::from(vec![b'0'; 64 << 20]);
        let server = Server::start(move |request| {
            let endless = Reply::new(200, zeros.clone()).fault(Fault::ChunkedOpen(64 << 10));
            if request.path == "/token" {
                return endless;
            }
            let value = header.1.replace("HOST", request.header("host").unwrap());
            Reply { status, ..endless }.header(header.0, value)
        })
        .await;
        let output = Cli::new().run(&["--retries", "0", &format!("{}/a:1", server.host())]).await;
        // A client that reads to the end runs into a timeout, with another code.
        assert_eq!(output.code(), Some(code), "{status}: {}", output.stderr);
        assert!(output.stderr.len() < 2000, "{status}: {}", output.stderr);
    }
}
