//! Requirements of the conformance suites of distribution-spec, the released one (v1.1.1) and the new one (`main`),
//! that other tests do not cover.

use rpull::digest::{Algorithm, Digest, Hasher};
use rpull::layout::{Layout, LayoutOptions, PruneOptions};
use rpull::serve::ServeOptions;
use serde_json::{Value, json};

use crate::support::images::{Family, index, random_blob};
use crate::support::samples::versions;
use crate::support::served_store::{HttpResponse, ServedStore};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn sha512(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(bytes);
    hasher.finish()
}

async fn put(served: &ServedStore, target: &str, media_type: &str, body: &[u8]) -> HttpResponse {
    let line = format!("PUT /v2/{target}");
    served.ask(&line, &[("Content-Type", media_type)], body).await
}

async fn status(served: &ServedStore, line: &str) -> u16 {
    served.ask(line, &[], b"").await.status
}

#[tokio::test]
async fn manifest_invalid_name_is_not_found() {
    let (served, [held, _]) = (ServedStore::start().await, versions());
    served.push("a", Some("1"), &held).await;
    for name in [".INVALID_MANIFEST_NAME", "sha256:baddigeststring", "a%20b", "-x", "a@b"] {
        for method in ["GET", "HEAD", "DELETE"] {
            let line = format!("{method} /v2/a/manifests/{name}");
            assert_eq!(status(&served, &line).await, 404, "{line}");
        }
        let answer = put(&served, &format!("a/manifests/{name}"), OCI, &held.manifest.bytes).await;
        assert_eq!(answer.status, 400, "{name}");
    }
}

#[tokio::test]
async fn blob_delete_fails_while_manifest_references_it() {
    let (served, [held, _]) = (ServedStore::start().await, versions());
    served.push("a", Some("1"), &held).await;
    let blob = served.blob("a", b"alone").await;
    let target = format!("/v2/a/blobs/{blob}");
    served.ask(&format!("DELETE {target}"), &[], b"").await.expect(202, "");
    served.get(&target).await.expect(404, "BLOB_UNKNOWN");
    assert_eq!(status(&served, &format!("HEAD {target}")).await, 404);
    assert_eq!(status(&served, &format!("DELETE {target}")).await, 404);
    // Nor can it be mounted from where it was.
    let post = "POST /v2/b/blobs/uploads/";
    for query in [format!("mount={blob}&from=a"), format!("mount={blob}")] {
        served.ask(&format!("{post}?{query}"), &[], b"").await.expect(202, "");
    }

    let layers: Vec<String> =
        held.blobs().map(|blob| format!("/v2/a/blobs/{}", blob.digest())).collect();
    for target in &layers {
        served.ask(&format!("DELETE {target}"), &[], b"").await.expect(405, "UNSUPPORTED");
        served.get(target).await.expect(200, "");
    }
    let line = format!("DELETE /v2/a/manifests/{}", held.manifest.digest());
    served.ask(&line, &[], b"").await.expect(202, "");
    for target in &layers {
        served.ask(&format!("DELETE {target}"), &[], b"").await.expect(202, "");
        served.get(target).await.expect(404, "BLOB_UNKNOWN");
    }
}

#[tokio::test]
async fn blob_is_served_only_in_its_repositories() {
    let (served, [held, other]) = (ServedStore::start().await, versions());
    served.push("a", Some("1"), &held).await;
    let target = |repository: &str| format!("GET /v2/{repository}/blobs/{}", held.config.digest());
    assert_eq!(status(&served, &target("a")).await, 200);
    assert_eq!(status(&served, &target("b")).await, 404);
    // An incomplete image is rejected although another repository has the missing blobs.
    let answer = served.put("b", "1", &held.manifest).await;
    answer.expect(400, "MANIFEST_BLOB_UNKNOWN");
    let both = index(Family::Oci, &[("amd64", held.clone()), ("arm64", other)]);
    served.push_index("a", "all", &both).await;
    served.put("b", "all", &both.document).await.expect(400, "MANIFEST_BLOB_UNKNOWN");
    for blob in held.blobs() {
        let line = format!("POST /v2/b/blobs/uploads/?mount={}&from=a", blob.digest());
        served.ask(&line, &[], b"").await.expect(201, "");
    }
    served.put("b", "1", &held.manifest).await.expect(201, "");
    assert_eq!(status(&served, &target("b")).await, 200);

    let served = ServedStore::over(served.stop().await, &ServeOptions::default()).await;
    let alone = served.blob("c", b"of c").await;
    for (repository, expected) in [("a", 200), ("b", 200), ("c", 404), ("a/b", 404)] {
        assert_eq!(status(&served, &target(repository)).await, expected, "{repository}");
    }
    // Blobs that were pulled into the store, or pushed to an earlier version, belong to the repository of a manifest.
    let folder = served.stop().await;
    let options = LayoutOptions::default().private();
    let layout = Layout::create(&folder.path().join("store"), options).unwrap();
    layout.prune(PruneOptions::default()).unwrap();
    drop(layout);
    let served = ServedStore::over(folder, &ServeOptions::default()).await;
    assert_eq!(status(&served, &format!("GET /v2/c/blobs/{alone}")).await, 404);
    std::fs::remove_dir_all(served.root().join("served")).unwrap();
    for (repository, expected) in [("a", 200), ("b", 200), ("c", 404)] {
        assert_eq!(status(&served, &target(repository)).await, expected, "{repository}");
    }
}

#[tokio::test]
async fn tags_of_repository_without_tags_are_empty() {
    let (served, [held, _]) = (ServedStore::start().await, versions());
    served.get("/v2/a/tags/list").await.expect(404, "NAME_UNKNOWN");
    served.blob("a", b"alone").await;
    let empty = json!({"name": "a", "tags": []});
    assert_eq!(served.get("/v2/a/tags/list").await.expect(200, "").json(), empty);
    served.push("a", None, &held).await;
    assert_eq!(served.get("/v2/a/tags/list").await.expect(200, "").json(), empty);
    assert_eq!(served.get("/v2/a/tags/list?n=5&last=x").await.json(), empty);
    served.get("/v2/a/manifests/1").await.expect(404, "MANIFEST_UNKNOWN");
    served.get("/v2/b/manifests/1").await.expect(404, "NAME_UNKNOWN");
}

#[tokio::test]
async fn manifest_put_by_digest_sets_all_tags() {
    let (served, [one, two]) = (ServedStore::start().await, versions());
    for held in [&one, &two] {
        served.push("a", Some("v1"), held).await;
    }
    served.push("a", Some("v1.1"), &one).await;
    let put_tags = async |query: &str| {
        let target = format!("a/manifests/{}{query}", two.manifest.digest());
        put(&served, &target, OCI, &two.manifest.bytes).await
    };
    let answer = put_tags("?tag=v1&tag=v1.1&tag=latest&tag=v1").await;
    assert_eq!(answer.expect(201, "").headers("OCI-Tag"), ["v1", "v1.1", "latest"]);
    for tag in ["v1", "v1.1", "latest"] {
        let found = served.get(&format!("/v2/a/manifests/{tag}")).await;
        assert_eq!(found.header("Docker-Content-Digest"), Some(two.manifest.digest().as_str()));
    }
    // The former manifest of both moved tags stays.
    served.get(&format!("/v2/a/manifests/{}", one.manifest.digest())).await.expect(200, "");
    let tags = served.get("/v2/a/tags/list").await.json();
    assert_eq!(tags["tags"], json!(["latest", "v1", "v1.1"]));
    for bad in ["?tag=.x", "?tag=ok&tag=a%20b", "?tag=", "?tag=a:b"] {
        put_tags(bad).await.expect(400, "TAG_INVALID");
    }
    served.get("/v2/a/manifests/ok").await.expect(404, "MANIFEST_UNKNOWN");
    assert_eq!(put_tags("").await.expect(201, "").header("OCI-Tag"), None);
}

#[tokio::test]
async fn sha512_blob_and_manifest_are_served() {
    let served = ServedStore::start().await;
    let bytes = random_blob(5000, 1);
    let digest = sha512(&bytes);
    let line = "POST /v2/a/blobs/uploads/?digest-algorithm=sha512";
    let session = served.ask(line, &[], b"").await;
    let session = session.expect(202, "").header("Location").unwrap();
    let (first, rest) = bytes.split_at(2000);
    served.ask(&format!("PATCH {session}"), &[], first).await.expect(202, "");
    served.ask(&format!("PATCH {session}"), &[], rest).await.expect(202, "");
    served.ask(&format!("PUT {session}?digest={digest}"), &[], b"").await.expect(201, "");
    assert!(served.get(&format!("/v2/a/blobs/{digest}")).await.expect(200, "").body == bytes);
    let odd = "POST /v2/a/blobs/uploads/?digest-algorithm=md5";
    served.ask(odd, &[], b"").await.expect(400, "DIGEST_INVALID");
    // Another algorithm than announced is accepted too.
    let session = served.ask(line, &[], b"").await;
    let session = session.header("Location").unwrap();
    let line = format!("PUT {session}?digest={}", Digest::sha256(b"x"));
    served.ask(&line, &[], b"x").await.expect(201, "");

    let part = json!({"mediaType": "a/b", "digest": digest, "size": 5000});
    let text = json!({"schemaVersion": 2, "mediaType": OCI, "config": part, "layers": [part]});
    let text = text.to_string().into_bytes();
    let own = sha512(&text);
    for target in [format!("{own}?tag=1&tag=2"), format!("3?digest={own}"), own.to_string()] {
        let answer = put(&served, &format!("a/manifests/{target}"), OCI, &text).await;
        assert_eq!(answer.expect(201, "").header("Docker-Content-Digest"), Some(own.as_str()));
    }
    for name in ["1", "2", "3", own.as_str()] {
        let answer = served.get(&format!("/v2/a/manifests/{name}")).await;
        assert_eq!(answer.expect(200, "").header("Docker-Content-Digest"), Some(own.as_str()));
        assert!(answer.body == text);
    }
    let other = sha512(b"other");
    put(&served, &format!("a/manifests/4?digest={other}"), OCI, &text)
        .await
        .expect(400, "DIGEST_INVALID");
    let list = json!({"schemaVersion": 2, "mediaType": INDEX,
        "manifests": [{"mediaType": OCI, "digest": own, "size": text.len()}]});
    let list = list.to_string().into_bytes();
    put(&served, &format!("a/manifests/{}", sha512(&list)), INDEX, &list).await.expect(201, "");
    served.ask(&format!("DELETE /v2/a/blobs/{digest}"), &[], b"").await.expect(405, "UNSUPPORTED");
    for name in [sha512(&list), own] {
        served.ask(&format!("DELETE /v2/a/manifests/{name}"), &[], b"").await.expect(202, "");
    }
    served.ask(&format!("DELETE /v2/a/blobs/{digest}"), &[], b"").await.expect(202, "");
}

#[tokio::test]
async fn etag_match_returns_not_modified() {
    let (served, [held, other]) = (ServedStore::start().await, versions());
    served.push("a", Some("1"), &held).await;
    let (manifest, config) = (held.manifest.digest(), held.config.digest());
    for (target, digest) in [
        ("/v2/a/manifests/1".to_owned(), manifest),
        (format!("/v2/a/manifests/{manifest}"), manifest),
        (format!("/v2/a/blobs/{config}"), config),
    ] {
        let tag = served.get(&target).await.header("ETag").unwrap().to_owned();
        assert_eq!(tag, format!("\"{digest}\""));
        for method in ["GET", "HEAD"] {
            let ask = async |held: &str| {
                let line = format!("{method} {target}");
                served.ask(&line, &[("If-None-Match", held)], b"").await
            };
            for held in [&tag, digest.as_str(), &format!("W/{tag}"), &format!("\"x\", {tag}"), "*"]
            {
                let answer = ask(held).await;
                assert_eq!((answer.status, answer.body.len()), (304, 0), "{held}");
                assert_eq!(answer.header("ETag"), Some(tag.as_str()));
            }
            for held in ["\"x\"", "", other.manifest.digest().as_str()] {
                assert_eq!(ask(held).await.status, 200, "{held}");
            }
        }
    }
    let absent = format!("GET /v2/a/blobs/{}", Digest::sha256(b"no one has this"));
    let answer = served.ask(&absent, &[("If-None-Match", "*")], b"").await;
    answer.expect(404, "BLOB_UNKNOWN");
}

#[tokio::test]
async fn sparse_option_accepts_incomplete_manifest() {
    let options = ServeOptions::default().sparse();
    for (served, is_sparse) in
        [(ServedStore::start().await, false), (ServedStore::start_with(&options).await, true)]
    {
        let [held, absent] = versions();
        let expected = if is_sparse { 201 } else { 400 };
        let list = index(Family::Oci, &[("amd64", held.clone()), ("arm64", absent)]);
        served.push("a", None, &list.images[0]).await;
        assert_eq!(served.put("a", "index", &list.document).await.status, expected);
        let mut image: Value = serde_json::from_slice(&held.manifest.bytes).unwrap();
        image["layers"][1]["digest"] = json!(Digest::sha256(b"no one has this"));
        let answer = put(&served, "a/manifests/image", OCI, image.to_string().as_bytes()).await;
        assert_eq!(answer.status, expected);
        // An existing blob must match its descriptor.
        image["layers"][0]["size"] = json!(7);
        let answer = put(&served, "a/manifests/wrong", OCI, image.to_string().as_bytes()).await;
        answer.expect(400, "MANIFEST_BLOB_UNKNOWN");
        if is_sparse {
            for child in [list.images[0].manifest.digest(), list.document.digest()] {
                served.get(&format!("/v2/a/manifests/{child}")).await.expect(200, "");
            }
            let child = list.images[1].manifest.digest();
            served.get(&format!("/v2/a/manifests/{child}")).await.expect(404, "MANIFEST_UNKNOWN");
            // It may be pushed later.
            served.push("a", None, &list.images[1]).await;
            served.get(&format!("/v2/a/manifests/{child}")).await.expect(200, "");
        }
    }
}

#[tokio::test]
async fn index_of_blobs_requires_and_protects_them() {
    let served = ServedStore::start().await;
    let blob = served.blob("a", b"of a cache").await;
    let absent = Digest::sha256(b"no one has this");
    let kind = "application/vnd.oci.image.layer.v1.tar+gzip";
    let list = |digest: &Digest, size: usize| {
        json!({"schemaVersion": 2, "mediaType": INDEX,
            "manifests": [{"mediaType": kind, "digest": digest, "size": size}]})
        .to_string()
        .into_bytes()
    };
    put(&served, "a/manifests/cache", INDEX, &list(&absent, 15))
        .await
        .expect(400, "MANIFEST_BLOB_UNKNOWN");
    put(&served, "a/manifests/cache", INDEX, &list(&blob, 10)).await.expect(201, "");
    let line = format!("DELETE /v2/a/blobs/{blob}");
    served.ask(&line, &[], b"").await.expect(405, "UNSUPPORTED");
}
