//! Uploads and every way in which registries and networks disturb them.

use serde_json::{Value, json};

use super::Pair;
use crate::support::cli::Cli;
use crate::support::fake_registry::{Auth, Bearer, FakeRegistry, Options};
use crate::support::http::{Fault, Reply, Server};
use crate::support::images::{Family, Layer, gzip, image, random_blob, raw};
use crate::support::samples::stored;

#[tokio::test]
async fn upload_location_is_validated() {
    for (named, goes) in [
        ("{host}{path}", true),
        ("http://{host}{path}", true),
        ("//{host}{path}", true),
        ("{path}#part", true),
        ("", false),
        ("http://user:pass@{host}{path}", false),
        ("http://169.254.169.254{path}", false),
        ("ftp://{host}{path}", false),
        ("http://[", false),
    ] {
        let pair = Pair::new().await;
        let (host, named) = (pair.to.server.host(), named.to_owned());
        pair.to.override_response("POST /v2/team/app/blobs/uploads/", 0..99, move |reply| {
            let location = reply.headers.iter().find(|(name, _)| name == "Location").unwrap();
            // Without a scheme a host would be a path: the first form is resolved like one.
            let named = named.replace(
                "{host}{path}",
                if named.starts_with('{') { "{path}" } else { "{host}{path}" },
            );
            let value = named.replace("{host}", &host).replace("{path}", &location.1);
            reply.without("Location").header("Location", value)
        });
        if goes {
            pair.arrives(&[]).await;
        } else {
            let output = pair.copy(&["--retries", "0"]).await;
            assert_eq!(output.code(), Some(6), "{}", output.stderr);
            assert_eq!(pair.to.tagged("team/app", "1"), None);
            assert_eq!(pair.to.server.count("PUT"), 0);
        }
    }
}

#[tokio::test]
async fn upload_location_on_other_host_gets_no_credential() {
    let elsewhere = FakeRegistry::start().await;
    let pair = Pair::with(Options {
        auth: Auth::Basic { user: "user".into(), password: "pass".into() },
        ..Options::default()
    })
    .await;
    let host = elsewhere.server.host();
    pair.to.override_response("POST", 0..99, move |reply| {
        let location = reply.headers.iter().find(|(name, _)| name == "Location").cloned();
        let Some((_, path)) = location else { return reply };
        reply.without("Location").header("Location", format!("http://{host}{path}"))
    });
    pair.copy(&["--dest-creds", "user:pass", "--retries", "0"]).await;
    let sent = elsewhere.server.requests();
    assert!(!sent.is_empty());
    assert!(sent.iter().all(|request| request.header("authorization").is_none()));
}

#[tokio::test]
async fn upload_response_lost_after_commit_is_not_repeated() {
    let pair = Pair::new().await;
    pair.to.override_response("PUT /v2/team/app/blobs/uploads/", 0..1, |reply| {
        reply.fault(Fault::HangUp)
    });
    let report = pair.arrives(&["--jobs", "1"]).await;
    assert_eq!(pair.to.server.count("PUT /v2/team/app/blobs/"), pair.image.blobs().count());
    assert!(
        report["bytes"]["resent"].as_u64() > Some(0),
        "what it sent counts as waste: the blob was there"
    );
}

#[tokio::test]
async fn upload_retry_on_transient_status_only() {
    for (status, code) in [(500, 0), (503, 0), (429, 0), (408, 0), (413, 6), (400, 6), (403, 4)] {
        let pair = Pair::new().await;
        let line = format!("digest=sha256%3A{}", pair.largest().encoded());
        let reply = Reply::new(status, "<html>no</html>").header("Retry-After", "0");
        pair.to.fail_requests(&line, 0..2, reply);
        let output = pair.copy(&[]).await;
        assert_eq!(output.code(), Some(code), "{status}: {}", output.stderr);
        if code == 0 {
            pair.assert_whole();
        } else {
            assert_eq!(pair.to.tagged("team/app", "1"), None);
        }
    }
}

#[tokio::test]
async fn upload_session_unknown_is_reopened() {
    let pair = Pair::new().await;
    pair.to.override_response("POST /v2/team/app/blobs/uploads/", 0..1, |reply| {
        reply.without("Location").header("Location", "/v2/team/app/blobs/uploads/gone?state=0")
    });
    pair.arrives(&["--jobs", "1"]).await;
}

#[tokio::test]
async fn token_expired_during_upload_is_refreshed() {
    let auth = Auth::Bearer(Bearer::default());
    let pair = Pair::with(Options { auth, ..Options::default() }).await;
    let login = ["--dest-creds", "user:pass"];
    pair.to.override_response("PUT /v2/team/app/blobs/uploads/", 0..1, |_| {
        Reply::new(401, "the token is too old")
    });
    let output = pair.copy(&login).await;
    assert_eq!(output.code(), Some(0), "{}", output.stderr);
    pair.assert_whole();
}

#[tokio::test]
async fn push_damaged_store_blob_is_mismatch() {
    let (pair, cli) = (Pair::new().await, Cli::new());
    let name = pair.from.repository("team/app:1");
    cli.run(&[&name]).await.expect(0, "");
    let layer = pair.largest().clone();
    let path = cli.store().join("blobs/sha256").join(layer.encoded());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let target = pair.to.repository("team/app:1");
    cli.run(&["push", "--jobs", "1", &name, &target]).await.expect(5, layer.as_str());
    assert!(pair.to.blob_bytes("team/app", &layer).is_none());
    assert_eq!(pair.to.tagged("team/app", "1"), None);
    assert_eq!(pair.to.open_uploads(), 0, "what will not go on is cancelled");
}

#[tokio::test]
async fn upload_failed_is_cancelled() {
    // The source is missing a blob of its manifest.
    let pair = Pair::new().await;
    pair.from.delete_blob("team/app", pair.largest());
    let output = pair.copy(&["--jobs", "1"]).await;
    assert_eq!(output.code(), Some(3), "{}", output.stderr);
    assert_eq!((pair.to.open_uploads(), pair.to.server.count("DELETE")), (0, 1));

    // The registry rejects the blob, and the cancellation too.
    let pair = Pair::new().await;
    let line = format!("digest=sha256%3A{}", pair.largest().encoded());
    pair.to.fail_requests(&line, 0..9, Reply::error(403, "DENIED", "not this one"));
    pair.to.fail_requests("DELETE", 0..9, Reply::new(500, "broken"));
    let output = pair.copy(&["--jobs", "1"]).await;
    output.expect(4, "not this one");
    assert!(!output.stderr.contains("broken"), "{}", output.stderr);
    assert_eq!(pair.to.server.count("DELETE"), 1, "one try");
}

#[tokio::test]
async fn upload_blob_of_any_size_succeeds() {
    let sizes = [0, 1, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 1 << 20];
    let layers: Vec<Layer> = sizes.iter().map(|&size| gzip(&random_blob(size, 7))).collect();
    let mut held = image(Family::Oci, "amd64", &layers);
    held.layers.extend(raw(Family::Oci, Vec::new()).layers);
    let (from, to, cli) = (FakeRegistry::start().await, FakeRegistry::start().await, Cli::new());
    held.publish(&from, "app", Some("1"));
    cli.run(&["copy", &from.repository("app:1"), &to.repository("app:1")]).await.expect(0, "");
    for blob in &held.layers {
        assert_eq!(to.blob_bytes("app", blob.digest()).as_ref(), Some(&blob.bytes));
    }
}

#[tokio::test]
async fn upload_of_truncated_source_leaves_no_blob() {
    let pair = Pair::new().await;
    let line = format!("GET /v2/team/app/blobs/{}", pair.largest());
    pair.from.override_response(&line, 0..1, |reply| {
        let half = reply.body.len() / 2;
        reply.fault(Fault::Cut(half))
    });
    pair.from.override_response(&line, 1..2, |reply| reply.fault(Fault::Cut(0)));
    let output = pair.copy(&["--retries", "0"]).await;
    assert_eq!(output.code(), Some(6), "{}", output.stderr);
    assert_eq!(pair.to.tagged("team/app", "1"), None);
    assert!(pair.to.blob_bytes("team/app", pair.largest()).is_none());
    assert_eq!(pair.copy(&["--retries", "9"]).await.code(), Some(0));
    pair.assert_whole();
}

#[tokio::test]
async fn upload_unsupported_registry_is_denied() {
    let pair = Pair::new().await;
    let server = Server::start(|request| match request.method.as_str() {
        "HEAD" => Reply::new(404, ""),
        _ => Reply::error(405, "UNSUPPORTED", "The operation is unsupported."),
    })
    .await;
    let target = format!("{}/app:1", server.host());
    let output =
        pair.cli.run(&["copy", "--json", &pair.from.repository("team/app:1"), &target]).await;
    output.expect(4, "The operation is unsupported");
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(report["error"]["kind"], json!("denied"));
    // The same for manifests.
    let pair = Pair::new().await;
    pair.to.fail_requests(
        "PUT /v2/team/app/manifests/",
        0..9,
        Reply::error(405, "UNSUPPORTED", "no"),
    );
    pair.copy(&[]).await.expect(4, "405 method not allowed");
    assert_eq!(pair.to.server.count("PUT /v2/team/app/manifests/"), 1);
}

#[tokio::test]
async fn upload_broken_off_again_and_again_is_given_up() {
    let (cli, name, to, held) = stored(300_000).await;
    let layer = held.layers[0].digest().encoded().to_owned();
    let hang_up = Reply::new(201, "").fault(Fault::HangUp);
    to.fail_requests(&format!("digest=sha256%3A{layer}"), 0..99, hang_up);
    let output = cli.run(&["push", &name, &to.repository("app:1")]).await;
    output.expect(6, "(broken off ").expect(6, "hint: something on the way may limit");
    let uploads = to.server.count("PUT /v2/app/blobs/");
    assert!((7..20).contains(&uploads), "{uploads}");
}
