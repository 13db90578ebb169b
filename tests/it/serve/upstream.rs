//! `serve --upstream`: a cache of other registries.

use std::time::Duration;

use futures_util::future::join_all;
use rpull::registry::RegistryOptions;
use rpull::retry::{RetryPolicy, Timeouts};
use rpull::serve::{CacheOptions, ServeOptions, Upstream};
use serde_json::json;

use crate::support::fake_registry::FakeRegistry;
use crate::support::http::{Fault, Reply};
use crate::support::images::{Family, Image, image, layer, random_blob, referrer_to};
use crate::support::samples::versions;
use crate::support::served_store::ServedStore;
use crate::support::wait::wait_until;

/// Options of a client that tries twice and waits for a second.
pub(super) fn patient_for_a_second() -> RegistryOptions {
    let second = Duration::from_secs(1);
    let timeouts = Timeouts::default().connect(second).headers(second).idle(second);
    let retry = RetryPolicy::default().attempts(2).base_delay(Duration::from_millis(1));
    RegistryOptions::default().timeouts(timeouts).retry(retry)
}

pub(super) fn upstream(name: &str, registry: &FakeRegistry) -> Upstream {
    let text = format!("{name}=http://{}", registry.server.host());
    Upstream::new(&text, patient_for_a_second()).unwrap()
}

/// A cache of this registry as `docker.io`.
pub(super) async fn cache_of(registry: &FakeRegistry, cache: CacheOptions) -> ServedStore {
    let upstreams = vec![upstream("docker.io", registry)];
    ServedStore::start_with(&ServeOptions::default().upstreams(upstreams).cache(cache)).await
}

/// A registry with an image as `library/app:1`.
pub(super) async fn hub() -> (FakeRegistry, Image) {
    let (registry, [image, _]) = (FakeRegistry::start().await, versions());
    image.publish(&registry, "library/app", Some("1"));
    (registry, image)
}

/// Requests the image as docker does, which names no registry.
pub(super) async fn pull(served: &ServedStore, image: &Image) {
    let manifest = served.get("/v2/library/app/manifests/1").await;
    assert_eq!(manifest.expect(200, "").body, image.manifest.bytes);
    for blob in image.blobs() {
        let answer = served.get(&format!("/v2/library/app/blobs/{}", blob.digest())).await;
        assert_eq!(answer.expect(200, "").body, blob.bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn upstream_blob_is_fetched_once_for_100_clients() {
    let (registry, image) = hub().await;
    // Slow enough that all clients come while each blob arrives.
    registry.override_response("GET /v2/library/app/blobs/", 0..3, |reply| {
        reply.fault(Fault::Slow(2_000, Duration::from_millis(30)))
    });
    let served = cache_of(&registry, CacheOptions::default()).await;
    join_all((0..100).map(|_| pull(&served, &image))).await;
    let digests = image.blobs().map(|blob| format!("GET /v2/library/app/blobs/{}", blob.digest()));
    let mut expected: Vec<String> = digests.collect();
    expected.push("GET /v2/library/app/manifests/1".to_owned());
    let mut lines = registry.server.lines();
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected);
    // By digest, from another path, and everything once more.
    pull(&served, &image).await;
    let digest = image.manifest.digest();
    for path in ["library/app", "docker.io/library/app"] {
        served.get(&format!("/v2/{path}/manifests/{digest}")).await.expect(200, "");
    }
    assert_eq!(registry.server.lines().len(), 4);
    for blob in image.blobs().chain([&image.manifest]) {
        assert_eq!(std::fs::read(served.path_of(blob.digest())).unwrap(), blob.bytes);
    }
}

#[tokio::test]
async fn upstream_is_chosen_by_ns_then_path_then_order() {
    let (first, second) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let [one, two] = versions();
    one.publish(&first, "team/app", Some("1"));
    two.publish(&second, "team/app", Some("1"));
    let upstreams = vec![upstream("a.example", &first), upstream("b.example:5000", &second)];
    let options = ServeOptions::default().upstreams(upstreams);
    // An image of the store, which was there before.
    let stored = ServedStore::start().await;
    stored.push("own/app", Some("1"), &two).await;
    let served = ServedStore::over(stored.stop().await, &options).await;
    for (target, expected) in [
        ("team/app/manifests/1", &one),
        ("team/app/manifests/1?ns=a.example", &one),
        ("a.example/team/app/manifests/1", &one),
        ("team/app/manifests/1?ns=b.example:5000", &two),
        ("b.example_5000/team/app/manifests/1", &two),
        ("own/app/manifests/1", &two),
    ] {
        let answer = served.get(&format!("/v2/{target}")).await;
        assert_eq!(answer.expect(200, "").body, expected.manifest.bytes, "{target}");
    }
    first.server.forget();
    for (target, code) in [
        ("team/app/manifests/1?ns=c.example", "NAME_UNKNOWN"),
        ("team/app/manifests/1?ns=b.example", "NAME_UNKNOWN"),
        ("team/app/tags/list?ns=..", "NAME_UNKNOWN"),
    ] {
        served.get(&format!("/v2/{target}")).await.expect(404, code);
    }
    assert_eq!(first.server.lines(), [""; 0], "the first one is asked for nothing");
}

#[tokio::test]
async fn upstream_tag_is_checked_by_head_after_ttl() {
    let (registry, image) = hub().await;
    let [_, next] = versions();
    let served = cache_of(&registry, CacheOptions::default().ttl(Duration::ZERO)).await;
    let get = async || served.get("/v2/library/app/manifests/1").await;
    get().await.expect(200, "");
    registry.server.forget();
    for _ in 0..2 {
        let answer = get().await;
        assert_eq!(answer.expect(200, "").body, image.manifest.bytes);
        assert_eq!(answer.header("Docker-Content-Digest"), Some(image.manifest.digest().as_str()));
    }
    assert_eq!(registry.server.lines(), ["HEAD /v2/library/app/manifests/1"; 2]);
    next.publish(&registry, "library/app", Some("1"));
    registry.server.forget();
    assert_eq!(get().await.expect(200, "").body, next.manifest.bytes);
    let by_digest = format!("GET /v2/library/app/manifests/{}", next.manifest.digest());
    assert_eq!(registry.server.lines(), ["HEAD /v2/library/app/manifests/1", by_digest.as_str()]);
    // Back to the first, which is in the store.
    image.publish(&registry, "library/app", Some("1"));
    registry.server.forget();
    assert_eq!(get().await.expect(200, "").body, image.manifest.bytes);
    assert_eq!(registry.server.lines(), ["HEAD /v2/library/app/manifests/1"]);
}

#[tokio::test]
async fn upstream_away_is_answered_from_cache_while_allowed() {
    let (registry, image) = hub().await;
    let options = CacheOptions::default().ttl(Duration::ZERO);
    let served = cache_of(&registry, options).await;
    pull(&served, &image).await;
    registry.disturb(|_, _| Reply::error(503, "UNAVAILABLE", "canary"));
    registry.server.forget();
    pull(&served, &image).await;
    let get = "GET /v2/library/app/manifests/1";
    assert_eq!(registry.server.lines(), ["HEAD /v2/library/app/manifests/1", get, get]);
    pull(&served, &image).await;
    assert_eq!(registry.server.lines().len(), 3, "it is left alone for a while");
    served.get("/v2/library/app/manifests/2").await.expect(502, "UNAVAILABLE");
    // Another server over the same store, whose registry is gone.
    let (folder, gone) = (served.stop().await, upstream("docker.io", &registry));
    drop(registry);
    let with = |cache| ServeOptions::default().upstreams(vec![gone.clone()]).cache(cache);
    let served = ServedStore::over(folder, &with(options)).await;
    pull(&served, &image).await;
    let strict = options.stale_if_error(Duration::ZERO);
    let served = ServedStore::over(served.stop().await, &with(strict)).await;
    let answer = served.get("/v2/library/app/manifests/1").await;
    answer.expect(502, "UNAVAILABLE");
    // What has a digest cannot be stale.
    let digest = image.manifest.digest();
    served.get(&format!("/v2/library/app/manifests/{digest}")).await.expect(200, "");
}

#[tokio::test]
async fn upstream_removal_of_tag_or_access_is_passed_on() {
    let (registry, image) = hub().await;
    let served = cache_of(&registry, CacheOptions::default().ttl(Duration::ZERO)).await;
    pull(&served, &image).await;
    let head = "HEAD /v2/library/app/manifests/1";
    registry.fail_requests(head, 0..1, Reply::error(404, "MANIFEST_UNKNOWN", "gone"));
    served.get("/v2/library/app/manifests/1").await.expect(404, "MANIFEST_UNKNOWN");
    registry.disturb(|_, _| Reply::error(403, "DENIED", "canary"));
    let denied = served.get("/v2/library/app/manifests/1").await;
    denied.expect(403, "DENIED");
    assert!(!String::from_utf8_lossy(&denied.body).contains("canary"));
}

#[tokio::test]
async fn upstream_lists_are_passed_on() {
    let (registry, image) = hub().await;
    let [_, next] = versions();
    next.publish(&registry, "library/app", Some("2"));
    let signature = referrer_to(&image.manifest, "a/signature");
    signature.publish(&registry, "library/app", None);
    let subject = image.manifest.digest();
    let list = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [signature.manifest.descriptor],
    });
    let referrers = format!("GET /v2/library/app/referrers/{subject}");
    registry.fail_requests(
        &referrers,
        0..1,
        Reply::json(200, &list)
            .without("Content-Type")
            .header("Content-Type", "application/vnd.oci.image.index.v1+json"),
    );
    let served = cache_of(&registry, CacheOptions::default()).await;
    let tags = served.get("/v2/library/app/tags/list?n=1").await;
    assert_eq!(tags.expect(200, "").json()["tags"], json!(["1"]));
    let next = tags.header("Link").unwrap();
    let next = next.trim_start_matches('<').split('>').next().unwrap();
    assert_eq!(served.get(next).await.json()["tags"], json!(["2"]));
    assert_eq!(registry.server.count("/tags/list"), 1, "the pages are of one list");
    let found = served.get(&format!("/v2/library/app/referrers/{subject}")).await;
    let digest = &found.expect(200, "").json()["manifests"][0]["digest"];
    assert_eq!(*digest, json!(signature.manifest.digest()));
    served.get("/v2/library/none/tags/list").await.expect(404, "NAME_UNKNOWN");
}

#[tokio::test]
async fn upstream_blob_ranges_and_head_are_answered() {
    let (registry, image) = hub().await;
    let served = cache_of(&registry, CacheOptions::default()).await;
    let blob = &image.layers[0];
    let target = format!("/v2/library/app/blobs/{}", blob.digest());
    let head = served.ask(&format!("HEAD {target}"), &[], b"").await;
    let size = blob.bytes.len().to_string();
    assert_eq!(head.expect(200, "").header("Content-Length"), Some(size.as_str()));
    registry.override_response(&format!("GET {target}"), 0..1, |reply| {
        reply.fault(Fault::Slow(5_000, Duration::from_millis(20)))
    });
    let part = |from: usize, to: usize| {
        let (served, target) = (&served, &target);
        async move {
            let range = format!("bytes={from}-{}", to - 1);
            served.ask(&format!("GET {target}"), &[("Range", &range)], b"").await
        }
    };
    let last = blob.bytes.len();
    let parts = [(0, 100), (4_000, 9_000), (last - 10, last)];
    for (answer, (from, to)) in
        join_all(parts.map(|(from, to)| part(from, to))).await.iter().zip(parts)
    {
        assert_eq!(answer.expect(206, "").body, blob.bytes[from..to]);
    }
    assert_eq!(registry.server.count("HEAD "), 1);
    assert_eq!(registry.server.count(&format!("GET {target}")), 1);
    let missing = "sha256:".to_owned() + &"0".repeat(64);
    for method in ["GET", "HEAD"] {
        let line = format!("{method} /v2/library/app/blobs/{missing}");
        assert_eq!(served.ask(&line, &[], b"").await.status, 404, "{method}");
    }
}

#[tokio::test]
async fn cache_rejects_pushes_and_deletes() {
    let (registry, image) = hub().await;
    let served = cache_of(&registry, CacheOptions::default()).await;
    pull(&served, &image).await;
    for line in [
        "PUT /v2/library/app/manifests/1",
        "POST /v2/library/app/blobs/uploads/",
        "POST /v2/own/blobs/uploads/?ns=docker.io",
        "DELETE /v2/docker.io/library/app/manifests/1",
    ] {
        served.ask(line, &[], b"{}").await.expect(405, "UNSUPPORTED");
    }
    assert_eq!(registry.server.lines().len(), 4);
}

/// Bytes of all blobs in the store.
fn stored_bytes(served: &ServedStore) -> u64 {
    let entries = std::fs::read_dir(served.root().join("blobs/sha256")).unwrap();
    // One may be deleted meanwhile.
    entries.map(|entry| entry.unwrap().metadata().map_or(0, |found| found.len())).sum()
}

#[tokio::test]
async fn eviction_removes_least_recently_used_and_spares_names() {
    let registry = FakeRegistry::start().await;
    let images: Vec<Image> = (0..6)
        .map(|seed| image(Family::Oci, "amd64", &[layer(&[("a", &random_blob(30_000, seed))])]))
        .collect();
    for (number, image) in images.iter().enumerate() {
        image.publish(&registry, "library/app", Some(&number.to_string()));
    }
    let stored = ServedStore::start().await;
    stored.push("own/app", Some("1"), &images[0]).await;
    let upstreams = vec![upstream("docker.io", &registry)];
    let options = ServeOptions::default().upstreams(upstreams);
    let options = options.cache(CacheOptions::default().max_size(130_000));
    let served = ServedStore::over(stored.stop().await, &options).await;
    for (number, image) in images.iter().enumerate() {
        served.get(&format!("/v2/library/app/manifests/{number}")).await.expect(200, "");
        for blob in image.blobs() {
            served.get(&format!("/v2/library/app/blobs/{}", blob.digest())).await.expect(200, "");
        }
        // The second is used again and again.
        let used = format!("/v2/library/app/blobs/{}", images[1].layers[0].digest());
        served.get(&used).await.expect(200, "");
        let small = async || stored_bytes(&served) <= 130_000;
        wait_until("nothing is evicted", small).await;
        // More than the resolution of file times.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let is_there = |image: &Image| served.path_of(image.layers[0].digest()).exists();
    let there: Vec<bool> = images.iter().map(is_there).collect();
    assert_eq!(there, [true, true, false, false, true, true]);
    registry.server.forget();
    served
        .get(&format!("/v2/library/app/blobs/{}", images[2].layers[0].digest()))
        .await
        .expect(200, "");
    assert_eq!(registry.server.count("GET "), 1, "it is fetched anew");
}
