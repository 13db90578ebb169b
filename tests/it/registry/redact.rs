//! Secrets that a server repeats in any printed part of a response are removed from all output.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::cli::{Cli, Output};
use crate::support::fake_registry::{FakeRegistry, Options};
use crate::support::http::{Reply, Request, Server};
use crate::support::images::{Family, image, layer};

const PASSWORD: &str = "cAnary-pass7";

fn pair() -> String {
    STANDARD.encode(format!("user:{PASSWORD}"))
}

#[track_caller]
fn assert_redacted(output: &Output, what: &str) {
    let text = format!("{}{}", output.stdout, output.stderr);
    let lower = text.to_lowercase();
    let pair = pair();
    let hex = PASSWORD.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    for secret in
        [PASSWORD, "cAnary", &pair, pair.trim_end_matches('='), &hex, "6e61727", "c3RhdGU"]
    {
        assert!(!lower.contains(&secret.to_lowercase()), "{what}: {secret} in {text}");
    }
}

/// Starts a registry that answers authenticated requests with what `echo` makes of the credential.
async fn echoing(echo: impl Fn(&Request, &str) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |request| match request.header("authorization") {
        None => Reply::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\""),
        Some(sent) => echo(request, sent),
    })
    .await
}

async fn run(server: &Server, words: &[&str]) -> Output {
    let mut args = vec!["-vv", "--retries", "0", "--creds"];
    let creds = format!("user:{PASSWORD}");
    args.push(&creds);
    args.extend(words);
    let name = format!("{}/app:1", server.host());
    args.push(&name);
    Cli::new().env("RPULL_LOG", "trace").run(&args).await
}

#[tokio::test]
async fn redact_secret_in_response_headers_is_hidden() {
    for (header, value) in [
        ("Warning", "299 - \"you sent {}\""),
        ("Location", "/v2/{}/x?y={}"),
        ("Location", "http://{}.invalid/"),
        ("Location", "ftp://x/{}"),
        ("Content-Type", "text/{}"),
        ("Docker-Content-Digest", "sha256:{}"),
        ("Docker-Content-Digest", "{}"),
        ("Content-Encoding", "{}"),
        ("Link", "</v2/{}?a={}>; rel=\"next\""),
        ("Link", "<http://{}.invalid/>; rel=next"),
        ("WWW-Authenticate", "{} realm=\"{}\""),
        ("WWW-Authenticate", "Bearer realm=\"http://127.0.0.1:1/{}?key={}\""),
        ("Retry-After", "{}"),
    ] {
        for secret in [PASSWORD.to_owned(), pair()] {
            for status in [200, 307, 403] {
                let value = value.replace("{}", &secret);
                let server = echoing(move |_, _| {
                    Reply::json(status, &json!({"tags": ["1"]})).header(header, &value)
                })
                .await;
                for words in [&["digest"][..], &["tags", "--json"]] {
                    let what = format!("{status} {header} {words:?}");
                    assert_redacted(&run(&server, words).await, &what);
                }
            }
        }
    }
}

#[tokio::test]
async fn redact_secret_in_response_bodies_is_hidden() {
    let escaped = PASSWORD.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
    let units =
        PASSWORD.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>().concat();
    let twice = STANDARD.encode(format!("Authorization: Basic {}", pair()));
    for secret in [PASSWORD, &pair(), &escaped, &twice] {
        for body in [
            json!({"errors": [{"code": secret, "message": secret, "detail": secret}]}).to_string(),
            json!({"errors": [{"code": "X", "message": {"Basic": secret}}]}).to_string(),
            json!({"details": secret}).to_string(),
            json!({"error": secret, "error_description": secret}).to_string(),
            format!("{{\"broken: {units} {secret}"),
            secret.to_owned(),
            json!({"mediaType": secret, "schemaVersion": 2, "manifests": []}).to_string(),
            json!({"name": secret, "tags": [secret, format!("a/{secret}")]}).to_string(),
        ] {
            for status in [200, 403] {
                let text = body.clone();
                let server = echoing(move |_, _| Reply::new(status, text.clone())).await;
                for words in [&["digest"][..], &["tags"]] {
                    let what = format!("{status} {body} {words:?}");
                    assert_redacted(&run(&server, words).await, &what);
                }
            }
        }
    }
}

#[tokio::test]
async fn redact_token_and_realm_query_are_hidden() {
    for status in [200, 307, 400, 401, 503] {
        let token = "cAnary-token-3f9a8b7c6d5e4f3a2b1c";
        let server = Server::start(move |request| {
            let host = request.header("host").unwrap();
            let seen = format!(
                "{} {}",
                request.target(),
                request.header("authorization").unwrap_or_default()
            );
            match (request.path.as_str(), request.header("authorization")) {
                ("/token", _) if status != 200 => Reply::json(
                    status,
                    &json!({"errors": [{"message": seen}], "details": PASSWORD}),
                )
                .header("Location", format!("/{seen}")),
                ("/token", _) => {
                    Reply::json(200, &json!({"token": token, "refresh_token": PASSWORD}))
                }
                (_, None) => {
                    let realm = format!("http://{host}/token?key=cAnary-of-the-realm");
                    let challenge = format!("Bearer realm=\"{realm}\",service=\"s\"");
                    Reply::new(401, "").header("WWW-Authenticate", challenge)
                }
                _ => Reply::error(403, "DENIED", &seen)
                    .header("Warning", format!("299 - \"{seen}\"")),
            }
        })
        .await;
        let output = run(&server, &["digest"]).await;
        output.expect(
            if status == 503 { 6 } else { 4 },
            if status == 307 { "unexpected redirect" } else { "***" },
        );
        assert_redacted(&output, &status.to_string());
    }
}

#[tokio::test]
async fn redact_upload_state_in_error_body_is_hidden() {
    let registry = FakeRegistry::start_with(Options::default()).await;
    let location = "/v2/app/blobs/uploads/cAnary0123456789abcdef?_state=cAnaryState0123&x=1";
    let opened = Reply::new(202, "").header("Location", location);
    registry.fail_requests("POST /v2/app/blobs/uploads/", 0..99, opened);
    let words = format!("bad {location} and {}", STANDARD.encode(location));
    let refused = Reply::error(400, "BLOB_UPLOAD_INVALID", &words);
    for method in ["PUT", "PATCH"] {
        registry.fail_requests(
            &format!("{method} /v2/app/blobs/uploads/cAnary"),
            0..99,
            refused.clone(),
        );
    }
    let source = FakeRegistry::start().await;
    image(Family::Oci, "amd64", &[layer(&[("a", b"a")])]).publish(&source, "app", Some("1"));
    let [source, target] = [&source, &registry].map(|end| format!("{}:1", end.repository("app")));
    for more in [&[][..], &["--chunk-size", "1M"]] {
        let args = [&["copy", "-vv", "--retries", "0"], more, &[&source, &target]].concat();
        let output = Cli::new().env("RPULL_LOG", "trace").run(&args).await;
        output.expect(6, "bad /v2/app/blobs/uploads/***");
        assert_redacted(&output, "upload");
        let args = [&["copy", "--json", "--retries", "0"], more, &[&source, &target]].concat();
        let output = Cli::new().run(&args).await;
        assert!(output.expect(6, "").stdout.contains("blobs/uploads/***"), "{}", output.stdout);
        assert_redacted(&output, "upload in JSON");
    }
}
