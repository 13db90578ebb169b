//! Referrers that cannot be listed, fetched or stored never prevent the copy of the image.

use rpull::descriptor::Descriptor;
use rpull::document::Document;
use rpull::media::MediaType;
use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::Reply;
use crate::support::images::{Blob, Family, Image, index, referrer_to};
use crate::support::samples::{published, versions};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

const ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";

fn list_tag(subject: &Blob) -> String {
    subject.digest().as_str().replace(':', "-")
}

/// Answers every request for referrers with these.
fn list_referrers(registry: &FakeRegistry, manifests: &Value) {
    let body = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    let reply = Reply::new(200, body.to_string()).header("Content-Type", INDEX);
    registry.fail_requests("/referrers/", 0..1, reply);
    let none = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).to_string();
    registry.override_response("/referrers/", 0..99, move |_| {
        Reply::new(200, none.clone()).header("Content-Type", INDEX)
    });
}

#[tokio::test]
async fn copy_referrers_refused_by_api_and_tag_copies_image() {
    for api in [400, 401, 403, 404, 405, 501] {
        for (tag, challenge) in
            [(400, ""), (401, ""), (401, "Basic realm=\"x\""), (403, ""), (404, "")]
        {
            let (from, [image, _], name) = published().await;
            let to = FakeRegistry::start().await;
            from.fail_requests("/referrers/", 0..9, Reply::error(api, "DENIED", "no"));
            let list = format!("/manifests/{}", list_tag(&image.manifest));
            let reply = Reply::error(tag, "DENIED", "no");
            from.fail_requests(
                &list,
                0..9,
                match challenge {
                    "" => reply,
                    challenge => reply.header("WWW-Authenticate", challenge),
                },
            );
            let target = to.repository("mine:1");
            let copy = ["copy", "--referrers", "--retries", "0", &format!("{name}:1"), &target];
            Cli::new().run(&copy).await.expect(0, "included 0 referrers");
            assert!(to.tagged("mine", "1").is_some(), "{api} {tag}");
        }
    }
}

#[tokio::test]
async fn copy_referrers_unusable_response_copies_image() {
    let page = || Reply::new(200, "<html>log in</html>").header("Content-Type", "text/html");
    let away = |place: &str| Reply::new(302, "").header("Location", place);
    for (api, tag) in [
        (page(), page()),
        (away("https://login.example/"), Reply::new(404, "")),
        (away("ftp://login.example/"), away("https://login.example/")),
        (Reply::new(404, ""), Reply::new(200, "{}").header("Content-Type", "application/json")),
        (Reply::new(404, ""), Reply::new(200, "").header("Content-Type", INDEX)),
    ] {
        let (from, [image, _], name) = published().await;
        let to = FakeRegistry::start().await;
        // An address that a redirect may not lead to, and that gets no request.
        let local = |reply: Reply| match reply.status {
            302 => reply.without("Location").header("Location", "http://192.0.2.1/login"),
            _ => reply,
        };
        from.fail_requests("/referrers/", 0..9, local(api));
        from.fail_requests(&format!("/manifests/{}", list_tag(&image.manifest)), 0..9, local(tag));
        let target = to.repository("mine:1");
        let copy = ["copy", "--referrers", "--retries", "0", &format!("{name}:1"), &target];
        Cli::new().run(&copy).await.expect(0, "included 0 referrers");
        assert!(to.tagged("mine", "1").is_some());
    }
}

#[tokio::test]
async fn copy_referrers_server_error_copies_image_but_fails() {
    for (reply, code) in [
        (Reply::error(500, "UNKNOWN", "broken"), 6),
        (Reply::new(200, "{\"manifests\":[7]}").header("Content-Type", INDEX), 5),
    ] {
        let (from, _, name) = published().await;
        let (cli, to) = (Cli::new(), FakeRegistry::start().await);
        from.fail_requests("/referrers/", 0..9, reply);
        let target = to.repository("mine:1");
        let copy = ["copy", "--retries", "0", &format!("{name}:1"), &target];
        cli.run(&copy).await.expect(0, "");
        let with = [&copy[..], &["--referrers"]].concat();
        cli.run(&with).await.expect(code, "the image was copied without some of them");
        assert!(to.tagged("mine", "1").is_some());
    }
}

#[tokio::test]
async fn copy_referrer_with_wrong_listed_size_is_copied() {
    for (size, kind) in [(7, MediaType::OCI_MANIFEST.as_str()), (1 << 20, INDEX), (7, "a/b")] {
        let (from, [image, _], name) = published().await;
        let sbom = referrer_to(&image.manifest, "a/sbom");
        sbom.publish(&from, "team/app", None);
        let digest = sbom.manifest.digest();
        // An invalid media type and invalid annotations.
        let odd = json!({"mediaType": kind, "digest": digest, "size": size, "artifactType": "sbom", "annotations": {"a": 1}});
        list_referrers(&from, &json!([odd]));
        let cli = Cli::new();
        let source = format!("{name}:1");
        cli.run(&["copy", "--referrers", &source, "oci:out"]).await.expect(0, "1 referrer");
        let tree = cli.json(&["copy", "--json", "--referrers", "oci:out", "oci:two"]).await;
        assert_eq!(tree["referrers"], 1, "{size} {kind}");
    }
}

/// An artifact manifest about the subject, with one blob.
fn artifact(subject: &Blob, registry: &FakeRegistry) -> (Value, String) {
    let blob = registry.blob("team/app", "a signature");
    let manifest = json!({
        "mediaType": ARTIFACT, "artifactType": "a/signature", "subject": subject.descriptor,
        "blobs": [{"mediaType": "a/blob", "digest": blob, "size": 11}],
    });
    let bytes = manifest.to_string();
    let digest = registry.document("team/app", None, ARTIFACT, bytes.clone());
    let entry = json!({"mediaType": ARTIFACT, "digest": digest, "size": bytes.len()});
    (entry, blob.to_string())
}

#[tokio::test]
async fn copy_referrer_artifact_manifest_includes_blobs() {
    let (from, [image, _], name) = published().await;
    let (entry, blob) = artifact(&image.manifest, &from);
    list_referrers(&from, &json!([entry]));
    let (cli, to) = (Cli::new(), FakeRegistry::start().await);
    cli.run(&["copy", "--referrers", &format!("{name}:1"), "oci:out"]).await.expect(0, "");
    let hex = |digest: &str| format!("out/blobs/sha256/{}", digest.trim_start_matches("sha256:"));
    for digest in [entry["digest"].as_str().unwrap(), &blob] {
        assert!(cli.dir().join(hex(digest)).exists(), "{digest}");
    }
    let target = to.repository("mine:1");
    cli.run(&["copy", "--referrers", "oci:out", &target]).await.expect(0, "1 referrer");
    assert!(to.blob_bytes("mine", &blob.parse().unwrap()).is_some());
    // Current registries may reject this media type.
    let put = format!("PUT /v2/other/manifests/{}", entry["digest"].as_str().unwrap());
    to.fail_requests(&put, 0..9, Reply::error(400, "MANIFEST_INVALID", "unknown type"));
    let target = to.repository("other:1");
    cli.run(&["copy", "--referrers", "oci:out", &target]).await.expect(0, "failed to store");
    assert!(to.tagged("other", "1").is_some());
    // Alone it is copied like any document, but it has no platform.
    let whole = format!("{name}@{}", entry["digest"].as_str().unwrap());
    cli.run(&["copy", &whole, "oci:alone"]).await.expect(0, "");
    let platform = ["copy", "--platform", "linux/amd64", &whole, "oci:none"];
    cli.run(&platform).await.expect(3, "an artifact has no platform");
}

#[tokio::test]
async fn copy_referrer_missing_blob_keeps_image() {
    let (from, [image, _], name) = published().await;
    let sbom = referrer_to(&image.manifest, "a/sbom");
    sbom.publish(&from, "team/app", None);
    from.delete_blob("team/app", sbom.layers[0].digest());
    let one = serde_json::to_value(&sbom.manifest.descriptor).unwrap();
    list_referrers(&from, &json!([one]));
    let (cli, to) = (Cli::new(), FakeRegistry::start().await);
    let target = to.repository("mine:1");
    let copy = ["copy", "--json", "--referrers", &format!("{name}:1"), &target];
    let output = cli.run(&copy).await;
    output.expect(3, "the image was copied without some of them");
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(report["error"]["kind"], "not_found");
    assert_eq!(to.tagged("mine", "1").unwrap(), image.manifest.digest().as_str());
}

#[tokio::test]
async fn copy_index_where_referrers_tag_is_subject_succeeds() {
    let (from, to) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let [one, _] = versions();
    let proof = referrer_to(&one.manifest, "a/proof");
    let whole = index(Family::Oci, &[("amd64", one.clone())]);
    let children = [&one, &proof].map(|image: &Image| &image.manifest.descriptor);
    let bytes = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}).to_string();
    for image in [&one, &proof] {
        image.publish(&from, "app", None);
    }
    from.document("app", Some("1"), INDEX, bytes);
    // GitLab resolves this tag as if it were the digest.
    let subject = one.manifest.clone();
    to.override_response(&format!("/manifests/{}", list_tag(&one.manifest)), 0..9, move |_| {
        Reply::new(200, subject.bytes.clone())
            .header("Content-Type", subject.descriptor.media_type.as_str())
    });
    let cli = Cli::new();
    let (source, target) = (from.repository("app:1"), to.repository("app:1"));
    let output = cli.run(&["copy", &source, &target]).await;
    output.expect(0, "its digest is the subject's own");
    assert!(to.tagged("app", "1").is_some());
    assert!(to.tagged("app", &list_tag(&one.manifest)).is_none(), "it was left alone");
    // The same with an index as the subject: its manifests are no referrers.
    let document =
        Document::from_descriptor(whole.document.bytes.clone(), &whole.document.descriptor);
    assert!(document.is_ok());
    whole.publish(&from, "app", "2");
    let bytes = whole.document.bytes.clone();
    from.fail_requests("/referrers/", 0..9, Reply::new(404, ""));
    from.override_response(&format!("/manifests/{}", list_tag(&whole.document)), 0..9, move |_| {
        Reply::new(200, bytes.clone()).header("Content-Type", INDEX)
    });
    let copy = ["copy", "--referrers", &from.repository("app:2"), &to.repository("app:2")];
    let output = cli.run(&copy).await;
    output.expect(0, "included 0 referrers");
    assert!(!output.stderr.contains("is listed as a referrer"), "{}", output.stderr);
}

#[tokio::test]
async fn copy_referrers_beyond_byte_limit_are_not_fetched() {
    let (from, [image, _], name) = published().await;
    let padding = "x".repeat((4 << 20) - 2000);
    let listed: Vec<Value> = (0..20)
        .map(|number| {
            let bytes = json!({
                "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "artifactType": "a/b",
                "config": Descriptor::for_bytes(MediaType::OCI_EMPTY, b"{}"), "layers": [],
                "subject": image.manifest.descriptor,
                "annotations": {"number": number.to_string(), "padding": padding},
            });
            let (kind, bytes) = (MediaType::OCI_MANIFEST.as_str(), bytes.to_string());
            let size = bytes.len();
            let digest = from.document("team/app", None, kind, bytes);
            json!({"mediaType": kind, "digest": digest, "size": size})
        })
        .collect();
    from.blob("team/app", "{}");
    list_referrers(&from, &json!(listed));
    let copy = ["copy", "--referrers", &format!("{name}:1"), "oci:out"];
    let cli = Cli::new();
    cli.run(&copy).await.expect(5, "64 MiB");
    cli.run(&["history", "oci:out"]).await.expect(0, "");
    let requests = from.server.requests();
    let fetched = requests.iter().filter(|request| request.path.contains("/manifests/sha256:"));
    // 16 of them have just under 64 MiB.
    assert_eq!(fetched.count(), 17);
}
