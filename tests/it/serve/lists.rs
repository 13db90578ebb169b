//! Tags, repositories and referrers at `rpull serve`.

use rpull::digest::Digest;
use rpull::media::MediaType;
use serde_json::{Value, json};

use crate::support::samples::versions;
use crate::support::served_store::{HttpResponse, ServedStore};

/// Returns the entries of a list under this key from all pages, and the number of pages.
async fn walk(served: &ServedStore, target: &str, key: &str) -> (Vec<Value>, usize) {
    let (mut target, mut found, mut pages) = (target.to_owned(), Vec::new(), 0);
    loop {
        let answer = served.get(&target).await;
        found.extend(answer.expect(200, "").json()[key].as_array().unwrap().iter().cloned());
        pages += 1;
        match next(&answer) {
            Some(next) => target = next,
            None => return (found, pages),
        }
    }
}

fn next(answer: &HttpResponse) -> Option<String> {
    let link = answer.header("Link")?;
    let (target, rest) = link.strip_prefix('<').unwrap().split_once('>').unwrap();
    assert_eq!(rest, "; rel=\"next\"");
    Some(target.to_owned())
}

#[tokio::test]
async fn tags_are_sorted_and_paged() {
    let (served, [held, _]) = (ServedStore::start().await, versions());
    served.get("/v2/team/app/tags/list").await.expect(404, "NAME_UNKNOWN");
    let tags = ["v10", "v9", "latest", "A_b.c-d", "_x"];
    for tag in tags {
        served.push("team/app", Some(tag), &held).await;
    }
    served.push("team/app/more", Some("not-here"), &held).await;
    let sorted = ["A_b.c-d", "_x", "latest", "v10", "v9"].map(Value::from);
    let whole = served.get("/v2/team/app/tags/list").await;
    assert_eq!(whole.json(), json!({"name": "team/app", "tags": sorted}));
    assert_eq!(whole.header("Content-Type"), Some("application/json"));
    assert_eq!(next(&whole), None);
    for (n, expected) in [(1, 5), (2, 3), (5, 1), (9, 1)] {
        let target = format!("/v2/team/app/tags/list?n={n}");
        let (found, pages) = walk(&served, &target, "tags").await;
        assert_eq!((found.as_slice(), pages), (sorted.as_slice(), expected), "n={n}");
    }
    let after = |words: &str| format!("/v2/team/app/tags/list?{words}");
    assert_eq!(served.get(&after("last=latest")).await.json()["tags"], json!(["v10", "v9"]));
    assert_eq!(served.get(&after("n=1&last=b")).await.json()["tags"], json!(["latest"]));
    assert_eq!(served.get(&after("last=zz")).await.json()["tags"], json!([]));
    assert_eq!(served.get(&after("n=0")).await.json()["tags"], json!([]));
    assert_eq!(served.get(&after("n=")).await.json()["tags"], json!(sorted));
    for bad in ["n=-1", "n=x", "n=1.5", "n=99999999999999999999999999"] {
        served.get(&after(bad)).await.expect(400, "PAGINATION_NUMBER_INVALID");
    }
}

#[tokio::test]
async fn tags_page_size_is_limited() {
    let (served, [held, _]) = (ServedStore::start().await, versions());
    served.push("a", Some("t0000"), &held).await;
    // Pushing them one by one would take long.
    let path = served.root().join("index.json");
    let mut names: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let entry = names["manifests"][0].to_string();
    let entries = (0..2500).map(|n| entry.replace("t0000", &format!("t{n:04}")));
    let entries: Vec<Value> = entries.map(|text| serde_json::from_str(&text).unwrap()).collect();
    names["manifests"] = json!(entries);
    std::fs::write(path.with_extension("new"), names.to_string()).unwrap();
    std::fs::rename(path.with_extension("new"), &path).unwrap();
    for query in ["", "?n=1000000"] {
        let (found, pages) = walk(&served, &format!("/v2/a/tags/list{query}"), "tags").await;
        assert_eq!((found.len(), pages), (2500, 3));
        assert_eq!(found[2499], "t2499");
    }
}

#[tokio::test]
async fn catalog_lists_repository_paths() {
    let (served, [held, _]) = (ServedStore::start().await, versions());
    assert_eq!(served.get("/v2/_catalog").await.json(), json!({"repositories": []}));
    let names = ["z", "a/b", "a", "docker.io/library/alpine", "reg.local_5000/x"];
    for name in names {
        served.push(name, Some("1"), &held).await;
    }
    let sorted = ["a", "a/b", "docker.io/library/alpine", "reg.local_5000/x", "z"].map(Value::from);
    let (found, pages) = walk(&served, "/v2/_catalog?n=2", "repositories").await;
    assert_eq!((found.as_slice(), pages), (sorted.as_slice(), 3));
    served.get("/v2/_catalog?n=x").await.expect(400, "PAGINATION_NUMBER_INVALID");
    for name in names {
        served.get(&format!("/v2/{name}/manifests/1")).await.expect(200, "");
    }
}

#[tokio::test]
async fn mirror_ns_parameter_selects_registry() {
    let (served, [one, two]) = (ServedStore::start().await, versions());
    served.push("docker.io/library/alpine", Some("3"), &one).await;
    served.push("library/alpine", Some("3"), &two).await;
    let digest = async |query: &str| {
        let answer = served.get(&format!("/v2/library/alpine/manifests/3{query}")).await;
        answer.header("Docker-Content-Digest").map(str::to_owned)
    };
    assert_eq!(digest("?ns=docker.io").await.as_deref(), Some(one.manifest.digest().as_str()));
    assert_eq!(digest("").await.as_deref(), Some(two.manifest.digest().as_str()));
    assert_eq!(digest("?ns=").await.as_deref(), Some(two.manifest.digest().as_str()));
    assert_eq!(digest("?ns=ghcr.io").await, None);
    let by_digest = format!("/v2/library/alpine/manifests/{}?ns=docker.io", one.manifest.digest());
    served.get(&by_digest).await.expect(200, "");
    let tags = served.get("/v2/library/alpine/tags/list?ns=docker.io").await;
    assert_eq!(tags.expect(200, "").json()["tags"], json!(["3"]));
    for odd in ["../..", "%0d%0aX:y", "a/b/c", "docker.io:99999999", "%ff%fe"] {
        let target = format!("/v2/library/alpine/manifests/3?ns={odd}");
        served.get(&target).await.expect(404, "NAME_UNKNOWN");
    }
}

/// Puts a referrer of `subject` and returns its digest.
async fn refer(served: &ServedStore, subject: &Value, artifact_type: &str, seed: usize) -> Digest {
    let empty = served.blob("a", b"{}").await;
    let text = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
        "artifactType": artifact_type, "subject": subject, "annotations": {"seed": seed.to_string()},
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2},
        "layers": [{"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2}]})
    .to_string();
    let digest = Digest::sha256(text.as_bytes());
    let line = format!("PUT /v2/a/manifests/{digest}");
    let headers = [("Content-Type", MediaType::OCI_MANIFEST.as_str().to_owned())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let answer = served.ask(&line, &headers, text.as_bytes()).await;
    assert_eq!(answer.expect(201, "").header("OCI-Subject"), subject["digest"].as_str());
    digest
}

#[tokio::test]
async fn referrers_are_filtered_and_paged() {
    let (served, [held, other]) = (ServedStore::start().await, versions());
    served.push("a", Some("1"), &held).await;
    let subject = json!(held.manifest.descriptor);
    let target = format!("/v2/a/referrers/{}", held.manifest.digest());
    let none = served.get(&target).await;
    assert_eq!(none.expect(200, "").header("Content-Type"), Some(MediaType::OCI_INDEX.as_str()));
    assert_eq!(
        none.json(),
        json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": []})
    );

    let mut digests = Vec::new();
    for (seed, kind) in ["x/signature", "x/sbom", "x/signature"].into_iter().enumerate() {
        digests.push(refer(&served, &subject, kind, seed).await);
    }
    // The subject may be pushed later or never.
    refer(&served, &json!(other.manifest.descriptor), "x/sbom", 9).await;
    let all = served.get(&target).await.json();
    let found = all["manifests"].as_array().unwrap();
    assert_eq!(found.len(), 3);
    let signature = found.iter().find(|one| one["digest"] == json!(digests[0])).unwrap();
    assert_eq!(signature["artifactType"], "x/signature");
    assert_eq!(signature["annotations"]["seed"], "0");
    assert_eq!(signature["mediaType"], json!(MediaType::OCI_MANIFEST));
    assert!(signature["size"].as_u64().unwrap() > 300);

    let filtered = served.get(&format!("{target}?artifactType=x/signature")).await;
    assert_eq!(filtered.header("OCI-Filters-Applied"), Some("artifactType"));
    assert_eq!(filtered.json()["manifests"].as_array().unwrap().len(), 2);
    let nothing = served.get(&format!("{target}?artifactType=x%2Fnothing")).await;
    assert_eq!(nothing.expect(200, "").json()["manifests"], json!([]));
    let one_by_one = format!("{target}?artifactType=x/signature&n=1");
    let (found, pages) = walk(&served, &one_by_one, "manifests").await;
    assert_eq!((found.len(), pages), (2, 2));

    let later = format!("/v2/a/referrers/{}", other.manifest.digest());
    assert_eq!(served.get(&later).await.json()["manifests"].as_array().unwrap().len(), 1);
    let elsewhere = target.replace("/a/", "/b/");
    assert_eq!(served.get(&elsewhere).await.expect(200, "").json()["manifests"], json!([]));
    served.get("/v2/a/referrers/sha256:zz").await.expect(400, "DIGEST_INVALID");

    let line = format!("DELETE /v2/a/manifests/{}", digests[1]);
    served.ask(&line, &[], b"").await.expect(202, "");
    assert_eq!(served.get(&target).await.json()["manifests"].as_array().unwrap().len(), 2);
    served.ask("DELETE /v2/a/manifests/1", &[], b"").await.expect(202, "");
    assert_eq!(served.get(&target).await.json()["manifests"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn referrers_include_index_and_image() {
    let (served, [held, _]) = (ServedStore::start().await, versions());
    served.push("a", Some("1"), &held).await;
    let mut image: Value = serde_json::from_slice(&held.manifest.bytes).unwrap();
    image["subject"] = json!(held.manifest.descriptor);
    let list = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [],
        "artifactType": "x/list", "subject": held.manifest.descriptor});
    for (tag, text) in [("image", image), ("list", list)] {
        let media_type = text["mediaType"].as_str().unwrap().to_owned();
        let line = format!("PUT /v2/a/manifests/{tag}");
        let headers = [("Content-Type", media_type.as_str())];
        served.ask(&line, &headers, text.to_string().as_bytes()).await.expect(201, "");
    }
    let target = format!("/v2/a/referrers/{}", held.manifest.digest());
    let answer = served.get(&target).await.json();
    let mut kinds: Vec<&str> = answer["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["artifactType"].as_str().unwrap())
        .collect();
    kinds.sort_unstable();
    // Without `artifactType` the media type of the config counts.
    assert_eq!(kinds, [MediaType::OCI_CONFIG.as_str(), "x/list"]);
}
