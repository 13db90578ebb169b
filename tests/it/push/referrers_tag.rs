//! The referrers tag that clients maintain at registries without the referrers API.

use rpull::content::Role;
use rpull::document::Document;
use rpull::registry::{Client, RegistryOptions};
use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::Reply;
use crate::support::images::{Blob, Image, referrer_to};
use crate::support::samples::published;
use crate::support::writing::begin;

fn tag_of(subject: &Blob) -> String {
    subject.digest().as_str().replace(':', "-")
}

/// Returns the entries of the subject's referrers tag.
async fn listed(registry: &FakeRegistry, subject: &Blob) -> Vec<Value> {
    let url = registry.server.url(&format!("/v2/team/app/manifests/{}", tag_of(subject)));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(url).send().await.unwrap();
    if answer.status() == 404 {
        return Vec::new();
    }
    assert_eq!(answer.headers()["content-type"], "application/vnd.oci.image.index.v1+json");
    let list: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    list["manifests"].as_array().unwrap().clone()
}

/// Returns a registry with referrers tagged `a`, `b` and so on, another with their subject `1`, and both.
async fn scene(kinds: &[&str]) -> (FakeRegistry, FakeRegistry, Blob, Vec<Image>) {
    let (from, [image, _], _) = published().await;
    let to = FakeRegistry::start().await;
    image.publish(&to, "team/app", Some("1"));
    let referrers: Vec<Image> =
        kinds.iter().map(|kind| referrer_to(&image.manifest, kind)).collect();
    for (referrer, tag) in referrers.iter().zip('a'..) {
        referrer.publish(&from, "team/app", Some(&tag.to_string()));
    }
    (from, to, image.manifest, referrers)
}

#[tokio::test]
async fn copy_all_tags_leaves_out_lists_of_referrers() {
    let (from, [image, _], name) = published().await;
    let list = tag_of(&image.manifest);
    image.publish(&from, "team/app", Some(&list));
    for (more, is_told) in [(&["--referrers"][..], false), (&[], true)] {
        let (cli, to) = (Cli::new(), FakeRegistry::start().await);
        let target = to.repository("team/app");
        let copied = cli.run(&[&["copy", "--all-tags", &name, &target], more].concat()).await;
        let stderr = &copied.expect(0, "").stderr;
        assert_eq!(stderr.contains("left out 1 list of referrers"), is_told, "{stderr}");
        assert_eq!(stderr.contains("hint: add `--referrers`"), is_told, "{stderr}");
        assert!(to.tagged("team/app", "1").is_some() && to.tagged("team/app", &list).is_none());
    }
}

#[tokio::test]
async fn referrers_tag_is_updated_without_referrers_api() {
    let (from, to, subject, referrers) = scene(&["a/sbom", "a/signature"]).await;
    let (cli, list) = (Cli::new(), tag_of(&subject));
    let copy = async |tag: &str| {
        let name = format!("team/app:{tag}");
        to.server.forget();
        cli.run(&["copy", &from.repository(&name), &to.repository(&name)]).await.expect(0, "");
    };
    copy("a").await;
    let first = to.server.lines();
    copy("b").await;
    let entry = |image: &Image, kind| {
        let mut entry = serde_json::to_value(&image.manifest.descriptor).unwrap();
        entry["artifactType"] = json!(kind);
        entry["annotations"] = json!({"about": kind});
        entry
    };
    let both = [entry(&referrers[0], "a/sbom"), entry(&referrers[1], "a/signature")];
    assert_eq!(listed(&to, &subject).await, both);
    let end = [
        "PUT /v2/team/app/manifests/a".to_owned(),
        format!("GET /v2/team/app/manifests/{list}"),
        format!("PUT /v2/team/app/manifests/{list}"),
        format!("GET /v2/team/app/manifests/{list}"),
    ];
    assert_eq!(first[first.len() - 4..], end);

    // An existing tag proves that the manifest exists, not that it is listed.
    copy("b").await;
    assert_eq!(
        to.server.lines(),
        [
            "HEAD /v2/team/app/manifests/b".to_owned(),
            "PUT /v2/team/app/manifests/b".to_owned(),
            format!("GET /v2/team/app/manifests/{list}")
        ]
    );
    let name = to.repository("team/app");
    to.server.forget();
    cli.run(&["tag", &format!("{name}:a"), &format!("docker://{name}:c")]).await.expect(0, "");
    assert_eq!(to.server.count("PUT"), 1);
    assert_eq!(listed(&to, &subject).await, both);
}

#[tokio::test]
async fn referrers_api_registry_gets_no_referrers_tag() {
    let (from, to, subject, _) = scene(&["a/sbom"]).await;
    let digest = subject.digest().to_string();
    to.override_response("PUT /v2/team/app/manifests/a", 0..1, move |reply| {
        reply.header("OCI-Subject", digest.as_str())
    });
    let name = "team/app:a";
    Cli::new().run(&["copy", &from.repository(name), &to.repository(name)]).await.expect(0, "");
    assert!(to.server.lines().last().unwrap().starts_with("PUT /v2/team/app/manifests/a"));
    assert!(listed(&to, &subject).await.is_empty());
}

#[tokio::test]
async fn referrers_tag_lost_update_is_retried() {
    let (from, to, subject, _) = scene(&["a/sbom"]).await;
    let list = format!("PUT /v2/team/app/manifests/{}", tag_of(&subject));
    to.fail_requests(&list, 0..2, Reply::new(201, ""));
    let copy = ["copy", &from.repository("team/app:a"), &to.repository("team/app:a")];
    Cli::new().run(&copy).await.expect(0, "");
    assert_eq!(to.server.count(&list), 3);
    assert_eq!(listed(&to, &subject).await.len(), 1);
}

#[tokio::test]
async fn referrers_tag_refused_warns() {
    let (from, to, subject, _) = scene(&["a/sbom"]).await;
    let list = format!("/v2/team/app/manifests/{}", tag_of(&subject));
    let copy =
        ["copy", "--retries", "1", &from.repository("team/app:a"), &to.repository("team/app:a")];
    to.fail_requests(&format!("PUT {list}"), 0..1, Reply::error(403, "DENIED", "no"));
    Cli::new().run(&copy).await.expect(0, "but not listed as a referrer of");
    assert!(to.tagged("team/app", "a").is_some() && listed(&to, &subject).await.is_empty());
    // The next run finds the manifest and continues with the referrers tag.
    Cli::new().run(&copy).await.expect(0, "");
    assert_eq!(listed(&to, &subject).await.len(), 1);
}

#[tokio::test]
async fn referrers_tag_of_other_content_is_not_overwritten() {
    let (from, to, subject, referrers) = scene(&["a/sbom"]).await;
    let tag = tag_of(&subject);
    referrers[0].publish(&to, "team/app", Some(&tag));
    let copy = ["copy", &from.repository("team/app:a"), &to.repository("team/app:a")];
    Cli::new().run(&copy).await.expect(0, "is not a referrers list");
    assert_eq!(to.tagged("team/app", &tag), to.tagged("team/app", "a"));
    assert_eq!(to.server.count(&format!("PUT /v2/team/app/manifests/{tag}")), 0);
}

#[tokio::test]
async fn referrers_tag_denied_for_missing_tag_is_created() {
    for status in [400, 401, 403] {
        let (from, to, subject, _) = scene(&["a/sbom"]).await;
        let list = format!("GET /v2/team/app/manifests/{}", tag_of(&subject));
        to.fail_requests(&list, 0..1, Reply::error(status, "DENIED", "no permission for it"));
        let copy = ["copy", &from.repository("team/app:a"), &to.repository("team/app:a")];
        Cli::new().run(&copy).await.expect(0, "");
        assert_eq!(listed(&to, &subject).await.len(), 1, "{status}");
    }
}

#[tokio::test]
async fn referrers_pushed_concurrently_are_all_listed() {
    let kinds = ["a/1", "a/2", "a/3", "a/4", "a/5", "a/6"];
    let (_, to, subject, referrers) = scene(&kinds).await;
    let client = Client::new(RegistryOptions::default());
    let name = to.repository("team/app:1").parse().unwrap();
    let put = referrers.iter().map(|referrer| {
        referrer.publish(&to, "team/app", None);
        let target = client.repository_for_push(&name).unwrap();
        async move {
            let (bytes, descriptor) =
                (referrer.manifest.bytes.clone(), &referrer.manifest.descriptor);
            let document = Document::from_descriptor(bytes, descriptor).unwrap();
            begin(&target).await.put_manifest(&document, Role::Child).await.unwrap();
        }
    });
    futures_util::future::join_all(put).await;
    assert_eq!(listed(&to, &subject).await.len(), kinds.len());
    let list = format!("PUT /v2/team/app/manifests/{}", tag_of(&subject));
    assert_eq!(to.server.count(&list), kinds.len(), "one after the other");
}
