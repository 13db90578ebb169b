//! Upstreams that lie, stall, refuse or disappear.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use rpull::serve::{CacheOptions, ServeOptions, Upstream};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::upstream::{cache_of, hub, patient_for_a_second, pull};
use crate::support::fake_registry::{Auth, FakeRegistry, Options};
use crate::support::http::{Fault, Reply};
use crate::support::images::{Image, random_blob};
use crate::support::samples::versions;
use crate::support::served_store::{HttpResponse, ServedStore, ask, read_answer};

/// Requests a blob. `None` if the connection breaks.
async fn blob(served: &ServedStore, image: &Image, range: Option<&str>) -> Option<HttpResponse> {
    let mut stream = TcpStream::connect(served.host()).await.unwrap();
    let range = range.map_or_else(String::new, |range| format!("Range: bytes={range}\r\n"));
    let target = format!("/v2/library/app/blobs/{}", image.layers[0].digest());
    let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{range}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    read_answer(&mut stream, false).await
}

fn expect_not_stored(served: &ServedStore, image: &Image) {
    assert!(!served.path_of(image.layers[0].digest()).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_wrong_bytes_break_every_connection() {
    let (registry, image) = hub().await;
    let (layer, served) = (&image.layers[0], cache_of(&registry, CacheOptions::default()).await);
    served.get("/v2/library/app/manifests/1").await.expect(200, "");
    let wrong = random_blob(layer.bytes.len(), 99);
    let mut last_byte = layer.bytes.to_vec();
    *last_byte.last_mut().unwrap() ^= 1;
    let short = layer.bytes.slice(..layer.bytes.len() - 1);
    let long = [&layer.bytes[..], b"x"].concat();
    for bytes in [Bytes::from(wrong), last_byte.into(), short, long.into()] {
        registry.blob_as("library/app", layer.digest(), bytes.clone());
        registry.override_response("GET /v2/library/app/blobs/", 0..1, |reply| {
            reply.fault(Fault::Slow(4_000, Duration::from_millis(20)))
        });
        let ranges = [None, None, Some("0-99"), Some("100-"), Some("-1")];
        let answers = join_all(ranges.map(|range| blob(&served, &image, range))).await;
        // Either nothing was sent, or not all of it.
        for answer in answers.iter().flatten() {
            answer.expect(502, "DIGEST_INVALID");
        }
        expect_not_stored(&served, &image);
    }
    registry.blob_as("library/app", layer.digest(), layer.bytes.clone());
    pull(&served, &image).await;
}

#[tokio::test]
async fn upstream_wrong_manifest_is_not_stored() {
    let (registry, image) = hub().await;
    let served = cache_of(&registry, CacheOptions::default()).await;
    let digest = image.manifest.digest();
    for (change, code) in
        [("{\"schemaVersion\": 2}", "DIGEST_INVALID"), ("<html>", "DIGEST_INVALID")]
    {
        let by_digest = format!("GET /v2/library/app/manifests/{digest}");
        registry.override_response(&by_digest, 0..1, move |reply| Reply {
            body: Bytes::from_static(change.as_bytes()),
            ..reply
        });
        served.get(&format!("/v2/library/app/manifests/{digest}")).await.expect(502, code);
        assert!(!served.path_of(digest).exists());
    }
    registry.override_response("GET /v2/library/app/manifests/1", 0..1, |_| {
        Reply::new(200, "<html>log in</html>").header("Content-Type", "text/html")
    });
    served.get("/v2/library/app/manifests/1").await.expect(502, "MANIFEST_INVALID");
    pull(&served, &image).await;
}

#[tokio::test]
async fn upstream_wrong_size_in_manifest_is_asked_for_anew() {
    let (registry, image) = hub().await;
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
    manifest["layers"][0]["size"] = 7.into();
    let media_type = image.manifest.descriptor.media_type.as_str();
    registry.document("library/app", Some("1"), media_type, manifest.to_string());
    let served = cache_of(&registry, CacheOptions::default()).await;
    served.get("/v2/library/app/manifests/1").await.expect(200, "");
    let refused = blob(&served, &image, None).await;
    assert!(refused.is_none_or(|answer| answer.status == 502));
    let answer = blob(&served, &image, None).await.unwrap();
    assert_eq!(answer.expect(200, "").body, image.layers[0].bytes);
}

#[tokio::test]
async fn upstream_breaking_off_is_resumed() {
    let (registry, image) = hub().await;
    let served = cache_of(&registry, CacheOptions::default()).await;
    for (fault, number) in [Fault::Cut(5_000), Fault::Reset(9_000)].into_iter().zip(0..) {
        registry.override_response(
            "GET /v2/library/app/blobs/",
            number..number + 1,
            move |reply| reply.fault(fault.clone()),
        );
    }
    pull(&served, &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_stalling_breaks_connection_and_is_tried_again() {
    let (registry, image) = hub().await;
    let served = cache_of(&registry, CacheOptions::default()).await;
    served.get("/v2/library/app/manifests/1").await.expect(200, "");
    for (fault, number) in [Fault::Stall(3_000), Fault::Stall(0)].into_iter().zip(0..) {
        registry.override_response(
            "GET /v2/library/app/blobs/",
            number..number + 1,
            move |reply| reply.fault(fault.clone()),
        );
    }
    assert!(blob(&served, &image, None).await.is_none());
    expect_not_stored(&served, &image);
    pull(&served, &image).await;
}

#[tokio::test]
async fn upstream_failure_becomes_error_code() {
    let (registry, _) = hub().await;
    let served = cache_of(&registry, CacheOptions::default()).await;
    let limited = Reply::error(429, "TOOMANYREQUESTS", "canary").header("Retry-After", "3600");
    for (reply, status, code) in [
        (Reply::error(401, "UNAUTHORIZED", "canary"), 403, "DENIED"),
        (Reply::error(403, "DENIED", "canary"), 403, "DENIED"),
        (Reply::error(404, "NAME_UNKNOWN", "canary"), 404, ""),
        (Reply::error(500, "UNKNOWN", "canary"), 502, "UNAVAILABLE"),
        (Reply::error(418, "UNKNOWN", "canary"), 502, "UNAVAILABLE"),
        (Reply::new(200, "").fault(Fault::Silence), 504, "UNAVAILABLE"),
        (Reply::new(200, "").fault(Fault::HangUp), 504, "UNAVAILABLE"),
        (limited, 429, "TOOMANYREQUESTS"),
    ] {
        let own = reply.clone();
        registry.disturb(move |_, _| own.clone());
        let blob = format!("blobs/sha256:{}", "1".repeat(64));
        for target in ["manifests/1", &blob, "tags/list"] {
            let answer = served.get(&format!("/v2/library/app/{target}")).await;
            answer.expect(status, code);
            let body = String::from_utf8_lossy(&answer.body);
            assert!(!body.contains("canary"), "{body}");
        }
    }
    let (registry, _) = hub().await;
    let served = cache_of(&registry, CacheOptions::default()).await;
    drop(registry);
    served.get("/v2/library/app/manifests/1").await.expect(502, "UNAVAILABLE");
}

#[tokio::test]
async fn credential_is_sent_to_its_upstream_only() {
    let auth = Auth::Basic { user: "user".to_owned(), password: "pass".to_owned() };
    let options = Options { auth, blobs_elsewhere: true, ..Options::default() };
    let private = FakeRegistry::start_with(options).await;
    let (public, _) = hub().await;
    let [image, _] = versions();
    image.publish(&private, "library/app", Some("1"));
    let credential = rpull::registry::credentials::parse_creds("user:pass").unwrap();
    let open = |name: &str, registry: &FakeRegistry| {
        let mut options = patient_for_a_second();
        let host = private.server.host();
        options.credentials = options.credentials.with(&host, credential.clone());
        Upstream::new(&format!("{name}=http://{}", registry.server.host()), options).unwrap()
    };
    let upstreams = vec![open("private.example", &private), open("docker.io", &public)];
    let served = ServedStore::start_with(&ServeOptions::default().upstreams(upstreams)).await;
    pull(&served, &image).await;
    // Neither a client's credential nor the private registry's goes to another host.
    let headers = [("Authorization", "Basic dXNlcjpwYXNz")];
    let line = "GET /v2/docker.io/library/app/manifests/1";
    ask(served.host(), line, &headers, b"").await.expect(200, "");
    let elsewhere = private.blobs.as_ref().unwrap().requests();
    assert!(!elsewhere.is_empty());
    for request in elsewhere.iter().chain(&public.server.requests()) {
        assert_eq!(request.header("authorization"), None, "{}", request.line());
    }
}
