//! Uploads in every way that registries and the networks before them spoil them.

use rpull::digest::Digest;
use serde_json::{Value, json};

use crate::support::cli::{Cli, Output};
use crate::support::http::{Fault, Reply, Server};
use crate::support::images::{Family, Image, Layer, gzip, image, random_blob, raw};
use crate::support::registry::{Auth, Bearer, Options, Registry};
use crate::support::samples::published;

/// Two registries and an image in the first.
struct Pair {
    from: Registry,
    to: Registry,
    image: Image,
    cli: Cli,
}

impl Pair {
    async fn new() -> Self {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        let ((from, [image, _], _), to) = (published().await, Registry::start_with(options).await);
        Self { from, to, image, cli: Cli::new() }
    }

    /// Copies the image to `team/app:1` of the second registry.
    async fn copy(&self, options: &[&str]) -> Output {
        let (source, target) =
            (self.from.repository("team/app:1"), self.to.repository("team/app:1"));
        self.cli.run(&[&["copy", "--json"], options, &[&source, &target]].concat()).await
    }

    /// The copy succeeds and everything is there; gives its report.
    async fn arrives(&self, options: &[&str]) -> Value {
        let output = self.copy(options).await;
        assert_eq!(output.code(), Some(0), "{}", output.stderr);
        self.assert_whole();
        serde_json::from_str(&output.stdout).unwrap()
    }

    fn assert_whole(&self) {
        let digest = self.image.manifest.digest().to_string();
        assert_eq!(self.to.tagged("team/app", "1"), Some(digest));
        for blob in self.image.blobs() {
            assert_eq!(self.to.held("team/app", blob.digest()).as_ref(), Some(&blob.bytes));
        }
    }

    fn largest(&self) -> &Digest {
        self.image.blobs().max_by_key(|blob| blob.bytes.len()).unwrap().digest()
    }
}

#[tokio::test]
async fn an_upload_goes_wherever_it_is_sent_and_nowhere_else() {
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
        pair.to.twist("POST /v2/team/app/blobs/uploads/", 0..99, move |reply| {
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
async fn an_upload_on_another_host_gets_no_credential() {
    let elsewhere = Registry::start().await;
    let pair = Pair::with(Options {
        auth: Auth::Basic { user: "user".into(), password: "pass".into() },
        ..Options::default()
    })
    .await;
    let host = elsewhere.server.host();
    pair.to.twist("POST", 0..99, move |reply| {
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
async fn a_mount_that_is_refused_becomes_an_upload() {
    for status in [400, 401, 403, 404, 405, 500, 503] {
        let pair = Pair::new().await;
        // Another repository of the same registry, from which it came.
        pair.image.publish(&pair.to, "team/base", Some("1"));
        pair.to.twist("POST /v2/team/app/blobs/uploads/?mount=", 0..99, move |_| {
            Reply::new(status, "no")
        });
        let (source, target) =
            (pair.to.repository("team/base:1"), pair.to.repository("team/app:1"));
        let report = pair.cli.json(&["copy", "--json", &source, &target]).await;
        pair.assert_whole();
        assert_eq!(report["bytes"]["transferred"], pair.image.size(), "{status}");
        assert_eq!(pair.to.server.count("?mount="), pair.image.blobs().count(), "one try per blob");
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_after_the_commit_costs_no_second_upload() {
    let pair = Pair::new().await;
    pair.to.twist("PUT /v2/team/app/blobs/uploads/", 0..1, |reply| reply.fault(Fault::HangUp));
    let report = pair.arrives(&["--jobs", "1"]).await;
    assert_eq!(pair.to.server.count("PUT /v2/team/app/blobs/"), pair.image.blobs().count());
    assert!(
        report["bytes"]["resent"].as_u64() > Some(0),
        "what it sent counts as waste: the blob was there"
    );
}

#[tokio::test]
async fn uploads_are_sent_again_where_that_can_help() {
    for (status, code) in [(500, 0), (503, 0), (429, 0), (408, 0), (413, 6), (400, 6), (403, 4)] {
        let pair = Pair::new().await;
        let line = format!("digest=sha256%3A{}", pair.largest().encoded());
        let reply = Reply::new(status, "<html>no</html>").header("Retry-After", "0");
        pair.to.refuse(&line, 0..2, reply);
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
async fn a_session_that_is_forgotten_is_opened_again() {
    let pair = Pair::new().await;
    pair.to.twist("POST /v2/team/app/blobs/uploads/", 0..1, |reply| {
        reply.without("Location").header("Location", "/v2/team/app/blobs/uploads/gone?state=0")
    });
    pair.arrives(&["--jobs", "1"]).await;
}

#[tokio::test]
async fn blobs_that_a_registry_only_says_it_has_are_sent_after_all() {
    let pair = Pair::new().await;
    pair.arrives(&[]).await;
    let layer = pair.largest().clone();
    pair.to.lose("team/app", &layer);
    // The former manifest still proves it.
    let target = pair.to.repository("team/app:1");
    pair.cli.run(&[&target]).await.expect(3, "blob unknown");
    let again = pair.to.repository("team/app:2");
    pair.cli.run(&["copy", &pair.from.repository("team/app:1"), &again]).await.expect(0, "");
    assert!(pair.to.held("team/app", &layer).is_some());

    // A mount that answers 201 for what is not there.
    pair.to.lose("team/app", &layer);
    let lie = format!("?mount=sha256%3A{}", layer.encoded());
    pair.to.twist(&lie, 0..9, |_| Reply::new(201, ""));
    pair.to.server.forget();
    let third = pair.to.repository("team/app:3");
    let report =
        pair.cli.json(&["copy", "--json", &pair.from.repository("team/app:1"), &third]).await;
    assert!(pair.to.held("team/app", &layer).is_some());
    assert_eq!(pair.to.server.count(&lie), 1, "asked once, then not believed");
    let held = pair.image.blobs().find(|blob| *blob.digest() == layer).unwrap();
    assert_eq!(report["bytes"]["transferred"], held.bytes.len());
}

#[tokio::test]
async fn a_manifest_that_lacks_nothing_that_was_sent_is_offered_twice_at_most() {
    let pair = Pair::new().await;
    let lacks = || Reply::error(400, "MANIFEST_BLOB_UNKNOWN", "not yet");
    pair.to.refuse("PUT /v2/team/app/manifests/1", 0..1, lacks());
    pair.arrives(&[]).await;
    let pair = Pair::new().await;
    pair.to.refuse("PUT /v2/team/app/manifests/1", 0..9, lacks());
    let output = pair.copy(&[]).await;
    assert_eq!(output.code(), Some(6), "{}", output.stderr);
    assert_eq!(pair.to.server.count("PUT /v2/team/app/manifests/1"), 2);
}

#[tokio::test]
async fn a_manifest_that_is_refused_names_nothing() {
    for (status, code) in [(400, 6), (413, 6), (401, 4), (403, 4), (429, 0), (500, 0)] {
        let pair = Pair::new().await;
        pair.to.refuse("PUT /v2/team/app/manifests/1", 0..1, Reply::new(status, "no"));
        let output = pair.copy(&[]).await;
        assert_eq!(output.code(), Some(code), "{status}: {}", output.stderr);
        assert_eq!(pair.to.tagged("team/app", "1").is_some(), code == 0);
    }
    let pair = Pair::new().await;
    let other = format!("sha256:{}", "0".repeat(64));
    pair.to.twist("PUT /v2/team/app/manifests/1", 0..1, move |reply| {
        reply.without("Docker-Content-Digest").header("Docker-Content-Digest", other.as_str())
    });
    pair.copy(&[]).await.expect(5, "the registry stored sha256:0000");
}

#[tokio::test]
async fn a_tag_that_cannot_be_changed_and_need_not_be_is_no_error() {
    let pair = Pair::new().await;
    pair.arrives(&[]).await;
    pair.to.twist("HEAD /v2/team/app/manifests/1", 0..1, |_| Reply::new(404, ""));
    pair.to.twist("PUT /v2/team/app/manifests/1", 0..1, |_| {
        Reply::error(400, "TAG_INVALID", "The image tag '1' already exists and is immutable")
    });
    pair.arrives(&[]).await;
}

#[tokio::test]
async fn a_token_that_runs_out_during_an_upload_is_renewed_once_for_all() {
    let auth = Auth::Bearer(Bearer::default());
    let pair = Pair::with(Options { auth, ..Options::default() }).await;
    let login = ["--dest-creds", "user:pass"];
    pair.to.twist("PUT /v2/team/app/blobs/uploads/", 0..1, |_| {
        Reply::new(401, "the token is too old")
    });
    let output = pair.copy(&login).await;
    assert_eq!(output.code(), Some(0), "{}", output.stderr);
    pair.assert_whole();
}

#[tokio::test]
async fn a_damaged_blob_of_the_store_is_not_pushed() {
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
    assert!(pair.to.held("team/app", &layer).is_none());
    assert_eq!(pair.to.tagged("team/app", "1"), None);
    assert_eq!(pair.to.open_uploads(), 0, "what will not go on is cancelled");
}

#[tokio::test]
async fn an_upload_that_will_not_go_on_is_cancelled_and_hides_no_error() {
    // The source has not what it lists.
    let pair = Pair::new().await;
    pair.from.lose("team/app", pair.largest());
    let output = pair.copy(&["--jobs", "1"]).await;
    assert_eq!(output.code(), Some(3), "{}", output.stderr);
    assert_eq!((pair.to.open_uploads(), pair.to.server.count("DELETE")), (0, 1));

    // The registry will not have it, nor hear of it again.
    let pair = Pair::new().await;
    let line = format!("digest=sha256%3A{}", pair.largest().encoded());
    pair.to.refuse(&line, 0..9, Reply::error(403, "DENIED", "not this one"));
    pair.to.refuse("DELETE", 0..9, Reply::new(500, "broken"));
    let output = pair.copy(&["--jobs", "1"]).await;
    output.expect(4, "not this one");
    assert!(!output.stderr.contains("broken"), "{}", output.stderr);
    assert_eq!(pair.to.server.count("DELETE"), 1, "one try");
}

#[tokio::test]
async fn blobs_of_any_size_arrive() {
    let sizes = [0, 1, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 1 << 20];
    let layers: Vec<Layer> = sizes.iter().map(|&size| gzip(&random_blob(size, 7))).collect();
    let mut held = image(Family::Oci, "amd64", &layers);
    held.layers.extend(raw(Family::Oci, Vec::new()).layers);
    let (from, to, cli) = (Registry::start().await, Registry::start().await, Cli::new());
    held.publish(&from, "app", Some("1"));
    cli.run(&["copy", &from.repository("app:1"), &to.repository("app:1")]).await.expect(0, "");
    for blob in &held.layers {
        assert_eq!(to.held("app", blob.digest()).as_ref(), Some(&blob.bytes));
    }
}

#[tokio::test]
async fn a_source_that_ends_in_the_middle_leaves_nothing_half() {
    let pair = Pair::new().await;
    let line = format!("GET /v2/team/app/blobs/{}", pair.largest());
    pair.from.twist(&line, 0..1, |reply| {
        let half = reply.body.len() / 2;
        reply.fault(Fault::Cut(half))
    });
    pair.from.twist(&line, 1..2, |reply| reply.fault(Fault::Cut(0)));
    let output = pair.copy(&["--retries", "0"]).await;
    assert_eq!(output.code(), Some(6), "{}", output.stderr);
    assert_eq!(pair.to.tagged("team/app", "1"), None);
    assert!(pair.to.held("team/app", pair.largest()).is_none());
    assert_eq!(pair.copy(&["--retries", "9"]).await.code(), Some(0));
    pair.assert_whole();
}

#[tokio::test]
async fn a_registry_that_takes_no_uploads_says_so() {
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
    // Nor manifests.
    let pair = Pair::new().await;
    pair.to.refuse("PUT /v2/team/app/manifests/", 0..9, Reply::error(405, "UNSUPPORTED", "no"));
    pair.copy(&[]).await.expect(4, "405 method not allowed");
    assert_eq!(pair.to.server.count("PUT /v2/team/app/manifests/"), 1);
}
