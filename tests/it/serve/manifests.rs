//! Manifests and indexes at `rpull serve`: get, put, rejection, deletion.

use rpull::digest::Digest;
use rpull::media::MediaType;
use serde_json::{Value, json};

use crate::support::images::{Blob, Family, Image, image, index, layer, raw};
use crate::support::samples::versions;
use crate::support::served_store::{HttpResponse, ServedStore};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

async fn put(
    served: &ServedStore,
    name: &str,
    media_type: &str,
    body: impl AsRef<[u8]>,
) -> HttpResponse {
    let line = format!("PUT /v2/a/manifests/{name}");
    served.ask(&line, &[("Content-Type", media_type)], body.as_ref()).await
}

async fn status_of(served: &ServedStore, name: impl std::fmt::Display) -> u16 {
    served.get(&format!("/v2/a/manifests/{name}")).await.status
}

#[tokio::test]
async fn manifest_is_served_verbatim_by_tag_and_digest() {
    let served = ServedStore::start().await;
    for (family, tag) in [(Family::Oci, "1"), (Family::Docker, "Docker.v1_x-")] {
        let held = image(family, "amd64", &[layer(&[("a", tag.as_bytes())])]);
        let Blob { descriptor, bytes } = &held.manifest;
        for blob in held.blobs() {
            served.blob("a", &blob.bytes).await;
        }
        let answer = served.put("a", tag, &held.manifest).await;
        let digest = descriptor.digest.as_str();
        let location = format!("/v2/a/manifests/{digest}");
        assert_eq!(answer.expect(201, "").header("Location"), Some(location.as_str()));
        assert_eq!(answer.header("Docker-Content-Digest"), Some(digest));
        assert_eq!(answer.header("OCI-Subject"), None);
        for name in [tag, digest, &digest.replace(':', "%3A")] {
            for method in ["GET", "HEAD"] {
                let line = format!("{method} /v2/a/manifests/{name}");
                let answer = served.ask(&line, &[("Accept", "*/*")], b"").await;
                answer.expect(200, "");
                assert_eq!(answer.header("Content-Type"), Some(descriptor.media_type.as_str()));
                assert_eq!(answer.header("Docker-Content-Digest"), Some(digest));
                assert_eq!(answer.header("Content-Length"), Some(&*bytes.len().to_string()));
                assert!(method == "HEAD" || answer.body == *bytes, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn manifest_missing_has_error_code() {
    let (served, [held, _]) = (ServedStore::start().await, versions());
    served.get("/v2/a/manifests/1").await.expect(404, "NAME_UNKNOWN");
    served.push("a", Some("1"), &held).await;
    served.get("/v2/a/manifests/2").await.expect(404, "MANIFEST_UNKNOWN");
    let digest = Digest::sha256(b"missing content");
    let target = format!("/v2/a/manifests/{digest}");
    served.get(&target).await.expect(404, "MANIFEST_UNKNOWN");
    served.ask(&format!("DELETE {target}"), &[], b"").await.expect(404, "MANIFEST_UNKNOWN");
    served.ask("DELETE /v2/a/manifests/2", &[], b"").await.expect(404, "MANIFEST_UNKNOWN");
    served.ask("DELETE /v2/b/manifests/2", &[], b"").await.expect(404, "NAME_UNKNOWN");
    served.ask("POST /v2/a/manifests/1", &[], b"").await.expect(405, "UNSUPPORTED");
    // A digest is found only in repositories that the manifest was put to.
    served.push("b", Some("1"), &versions()[1]).await;
    let target = format!("/v2/b/manifests/{}", held.manifest.digest());
    served.get(&target).await.expect(404, "MANIFEST_UNKNOWN");
    // A blob is no manifest.
    let target = format!("/v2/a/manifests/{}", held.config.digest());
    served.get(&target).await.expect(404, "MANIFEST_UNKNOWN");
    for bad in [".x", "a%20b", "sha256:zz", &"a".repeat(129)] {
        let answer = served.get(&format!("/v2/a/manifests/{bad}")).await;
        assert_eq!(answer.status, 404, "{bad}");
        let line = format!("PUT /v2/a/manifests/{bad}");
        assert_eq!(served.ask(&line, &[("Content-Type", OCI)], b"{}").await.status, 400, "{bad}");
    }
    let gone = served.path_of(held.manifest.digest());
    std::fs::remove_file(gone).unwrap();
    served.get("/v2/a/manifests/1").await.expect(404, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn manifest_with_missing_blob_is_rejected() {
    let (served, [held, _]) = (ServedStore::start().await, versions());
    for missing in 0..3 {
        let lacks = |answer: &HttpResponse, digest: &Digest| {
            let message = answer.json()["errors"][0]["message"].to_string();
            assert!(message.contains(digest.as_str()), "{message}");
        };
        let piece = held.blobs().nth(missing).unwrap();
        for name in ["1", held.manifest.digest().as_str()] {
            let answer = served.put("a", name, &held.manifest).await;
            lacks(answer.expect(400, "MANIFEST_BLOB_UNKNOWN"), piece.digest());
        }
        served.blob("a", &piece.bytes).await;
    }
    served.put("a", "1", &held.manifest).await.expect(201, "");

    let both = index(Family::Oci, &[("amd64", held.clone()), ("arm64", versions()[1].clone())]);
    let answer = served.put("a", "all", &both.document).await;
    answer.expect(400, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(status_of(&served, "all").await, 404);
    served.push_index("a", "all", &both).await;
    assert_eq!(status_of(&served, "all").await, 200);

    // A size that the blob does not have.
    let mut text: Value = serde_json::from_slice(&held.manifest.bytes).unwrap();
    text["layers"][0]["size"] = json!(7);
    put(&served, "x", OCI, text.to_string()).await.expect(400, "MANIFEST_BLOB_UNKNOWN");
    // Foreign layers may be missing.
    let foreign = json!({"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "digest": Digest::sha256(b"foreign"), "size": 7, "urls": ["https://example.com/"]});
    text["layers"] = json!([foreign]);
    put(&served, "x", OCI, text.to_string()).await.expect(201, "");
}

#[tokio::test]
async fn manifest_ambiguous_is_rejected() {
    let (served, [held, _]) = (ServedStore::start().await, versions());
    served.push("a", Some("1"), &held).await;
    let own: Value = serde_json::from_slice(&held.manifest.bytes).unwrap();
    let with = |key: &str, value: Value| {
        let mut text = own.clone();
        text[key] = value;
        text.to_string()
    };
    let twice = held.manifest.bytes.strip_suffix(b"}").unwrap();
    let twice = [twice, br#","schemaVersion":2}"#].concat();
    let schema1 = json!({"schemaVersion": 1, "name": "a", "tag": "1", "fsLayers": [], "history": [],
        "signatures": []});
    let list = MediaType::OCI_INDEX;
    for (what, media_type, body) in [
        ("manifests beside layers", OCI, with("manifests", json!([]))),
        ("fsLayers", OCI, with("fsLayers", json!([]))),
        ("another version", OCI, with("schemaVersion", json!(1))),
        ("another type inside", OCI, with("mediaType", json!(list))),
        ("another type outside", list.as_str(), own.to_string()),
        ("a type that is none", OCI, with("mediaType", json!("x"))),
        ("no config", OCI, with("config", json!(null))),
        (
            "a digest that is none",
            OCI,
            with(
                "layers",
                json!([{"mediaType": "a/b", "size": 1, "digest": "sha256:../../../etc/passwd"}]),
            ),
        ),
        (
            "a negative size",
            OCI,
            with(
                "layers",
                json!([{"mediaType": "a/b", "size": -1, "digest": held.config.digest()}]),
            ),
        ),
        ("a key twice", OCI, String::from_utf8(twice).unwrap()),
        ("not JSON", OCI, "not JSON".to_owned()),
        ("nothing", OCI, String::new()),
        ("a list", OCI, "[]".to_owned()),
        ("depth", OCI, "[".repeat(100_000)),
        (
            "schema 1",
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            schema1.to_string(),
        ),
        ("schema 1 in disguise", OCI, schema1.to_string()),
        ("html", "text/html", "<html>".to_owned()),
    ] {
        let answer = put(&served, "bad", media_type, &body).await;
        assert_eq!(answer.status, 400, "{what}: {:?}", String::from_utf8_lossy(&answer.body));
        answer.expect(400, "MANIFEST_INVALID");
    }
    let own = own.to_string();
    let other = Digest::sha256(b"other");
    put(&served, other.as_str(), OCI, &own).await.expect(400, "DIGEST_INVALID");
    assert_eq!(status_of(&served, "bad").await, 404);
    assert!(!served.path_of(&other).exists());
}

#[tokio::test]
async fn manifest_over_4_mib_is_rejected() {
    let (served, [held, _]) = (ServedStore::start().await, versions());
    served.push("a", Some("1"), &held).await;
    let padded = |size: usize| {
        let mut text: Value = serde_json::from_slice(&held.manifest.bytes).unwrap();
        text["annotations"] = json!({"x": ""});
        let missing = size - text.to_string().len();
        text["annotations"]["x"] = json!("x".repeat(missing));
        text.to_string()
    };
    put(&served, "large", OCI, padded(4 << 20)).await.expect(201, "");
    assert_eq!(status_of(&served, "large").await, 200);
    // A client that sends everything before it reads gets the response too.
    for size in [(4 << 20) + 1, 12 << 20] {
        put(&served, "larger", OCI, padded(size)).await.expect(413, "MANIFEST_INVALID");
    }
    assert_eq!(status_of(&served, "larger").await, 404);
}

#[tokio::test]
async fn manifest_sha512_digest_is_accepted() {
    let served = ServedStore::start().await;
    let empty = served.blob("a", b"{}").await;
    let text = json!({"schemaVersion": 2, "mediaType": OCI, "artifactType": "a/b", "layers": [],
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2}})
    .to_string();
    let output = std::process::Command::new("sh")
        .args(["-c", "printf %s \"$1\" | sha512sum", "sh", &text])
        .output()
        .unwrap();
    let sum = String::from_utf8(output.stdout).unwrap();
    let digest = format!("sha512:{}", sum.split(' ').next().unwrap());
    let answer = put(&served, &digest, OCI, &text).await;
    assert_eq!(answer.expect(201, "").header("Docker-Content-Digest"), Some(digest.as_str()));
    let answer = served.get(&format!("/v2/a/manifests/{digest}")).await;
    assert_eq!(answer.expect(200, "").body, text.as_bytes());
}

#[tokio::test]
async fn manifest_damaged_is_repaired_by_next_put() {
    let (served, [held, _]) = (ServedStore::start().await, versions());
    for name in [Some("1"), None] {
        served.push("a", name, &held).await;
        let path = served.path_of(held.manifest.digest());
        let digest = held.manifest.digest().as_str();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "damaged").unwrap();
        assert_eq!(status_of(&served, digest).await, 500);
        served.put("a", digest, &held.manifest).await.expect(201, "");
        assert_eq!(status_of(&served, digest).await, 200, "{name:?}");
        std::fs::remove_file(&path).unwrap();
        served.put("a", digest, &held.manifest).await.expect(201, "");
        assert_eq!(status_of(&served, digest).await, 200, "{name:?}");
    }
}

async fn delete(served: &ServedStore, name: &str) -> u16 {
    served.ask(&format!("DELETE /v2/a/manifests/{name}"), &[], b"").await.status
}

#[tokio::test]
async fn delete_by_digest_removes_all_its_tags() {
    let (served, [one, two]) = (ServedStore::start().await, versions());
    for tag in ["1", "also-1", "once-1"] {
        served.push("a", Some(tag), &one).await;
    }
    served.push("a", Some("2"), &two).await;
    served.push("b", Some("1"), &one).await;
    assert_eq!(delete(&served, "once-1").await, 202);
    assert_eq!(delete(&served, "once-1").await, 404);
    let digest = one.manifest.digest().as_str();
    for (name, status) in [("once-1", 404), ("1", 200), ("also-1", 200), ("2", 200), (digest, 200)]
    {
        assert_eq!(status_of(&served, name).await, status, "{name}");
    }
    assert_eq!(delete(&served, digest).await, 202);
    for (name, status) in [("1", 404), ("also-1", 404), ("2", 200), (digest, 404)] {
        assert_eq!(status_of(&served, name).await, status, "{name}");
    }
    served.get("/v2/b/manifests/1").await.expect(200, "");
    assert_eq!(delete(&served, "2").await, 202);
    // Its blobs are still there.
    let tags = served.get("/v2/a/tags/list").await;
    assert_eq!(tags.expect(200, "").json(), json!({"name": "a", "tags": []}));
    served.get("/v2/a/manifests/2").await.expect(404, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn tag_moved_leaves_other_tags() {
    let (served, [one, two]) = (ServedStore::start().await, versions());
    served.push("a", Some("1"), &one).await;
    served.push("a", Some("stays"), &one).await;
    served.push("a", Some("1"), &two).await;
    for (name, held) in [("1", &two), ("stays", &one)] {
        let answer = served.get(&format!("/v2/a/manifests/{name}")).await;
        let digest = held.manifest.digest().as_str();
        assert_eq!(answer.expect(200, "").header("Docker-Content-Digest"), Some(digest));
    }
}

#[tokio::test]
async fn manifest_of_moved_tag_stays_by_digest() {
    let (served, [one, two]) = (ServedStore::start().await, versions());
    for held in [&one, &two, &two, &one, &two] {
        served.push("a", Some("1"), held).await;
    }
    let digest = one.manifest.digest().as_str();
    assert_eq!(status_of(&served, digest).await, 200);
    assert_eq!(served.get("/v2/a/tags/list").await.json()["tags"], json!(["1"]));
    assert_eq!(delete(&served, digest).await, 202);
    assert_eq!(status_of(&served, digest).await, 404);
    assert_eq!(status_of(&served, "1").await, 200);
}

#[tokio::test]
async fn manifest_of_index_lives_as_long_as_index() {
    let (served, [one, two]) = (ServedStore::start().await, versions());
    let both = index(Family::Docker, &[("amd64", one.clone()), ("arm64", two)]);
    served.push_index("a", "all", &both).await;
    let child = one.manifest.digest().as_str();
    assert_eq!(status_of(&served, child).await, 200);
    let line = format!("DELETE /v2/a/manifests/{child}");
    served.ask(&line, &[], b"").await.expect(405, "UNSUPPORTED");
    assert_eq!(served.get("/v2/a/tags/list").await.json()["tags"], json!(["all"]));
    // A tag of the child outlives the index.
    served.put("a", "one", &one.manifest).await.expect(201, "");
    assert_eq!(delete(&served, "all").await, 202);
    assert_eq!(status_of(&served, child).await, 200);
    assert_eq!(status_of(&served, both.document.digest()).await, 404);
    assert_eq!(delete(&served, "one").await, 202);
    assert_eq!(status_of(&served, child).await, 404);
}

#[tokio::test]
async fn index_pushed_again_adds_no_entries() {
    let (served, [one, two]) = (ServedStore::start().await, versions());
    let both = index(Family::Oci, &[("amd64", one), ("arm64", two)]);
    let digest = both.document.digest().as_str();
    for name in ["all", "all", digest, digest] {
        served.push_index("a", name, &both).await;
    }
    let names = std::fs::read_to_string(served.root().join("index.json")).unwrap();
    let names: Value = serde_json::from_str(&names).unwrap();
    // One entry for its tag and one for its digest.
    assert_eq!(names["manifests"].as_array().unwrap().len(), 2, "{names}");
}

#[tokio::test]
async fn manifest_put_by_digest_outlives_its_tags() {
    let [one, two] = versions();
    for puts in [&["1", "DIGEST"][..], &["DIGEST", "1"], &["DIGEST?tag=1"], &["1", "DIGEST?tag=2"]]
    {
        let served = ServedStore::start().await;
        for piece in one.blobs() {
            served.blob("a", &piece.bytes).await;
        }
        let digest = one.manifest.digest().as_str();
        for name in puts {
            served.put("a", &name.replace("DIGEST", digest), &one.manifest).await.expect(201, "");
        }
        served.push("a", Some("1"), &two).await;
        for tag in ["1", "2"] {
            delete(&served, tag).await;
        }
        assert_eq!(status_of(&served, digest).await, 200, "{puts:?}");
        assert_eq!(delete(&served, digest).await, 202, "{puts:?}");
        assert_eq!(status_of(&served, digest).await, 404, "{puts:?}");
    }
}

#[tokio::test]
async fn artifact_without_layers_is_accepted() {
    let served = ServedStore::start().await;
    let held: Image = raw(Family::Oci, b"anything".to_vec());
    served.push("a", None, &held).await;
    assert_eq!(status_of(&served, held.manifest.digest()).await, 200);
    assert_eq!(served.get("/v2/a/tags/list").await.json()["tags"], json!([]));
}
