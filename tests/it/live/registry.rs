//! Login, tags, lists and deletions at docker-registry; skopeo looks at the result.

use serde_json::json;
use tokio::process::Command;

use crate::support::certs::Certs;
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Image, referrer_to};
use crate::support::live::{Access, Live, needs};
use crate::support::real::RealImage;
use crate::support::recorder;
use crate::support::tokens::{Policy, TokenServer};

const REGISTRY: &[&str] = &["docker-registry", "skopeo", "dpkg"];

fn layout(name: &str) -> String {
    format!("oci:{}:{name}", RealImage::get().layout().display())
}

/// Whether skopeo can read an image. It runs on another thread, because this one runs the token server.
async fn skopeo_sees(cli: &Cli, image: &str) -> bool {
    let output = Command::new("skopeo")
        .args(["inspect", "--raw", "--tls-verify=false", "--authfile"])
        .arg(cli.home().join(".docker/config.json"))
        .arg(format!("docker://{image}"))
        .output()
        .await
        .unwrap();
    output.status.success()
}

#[tokio::test]
async fn login_credential_serves_every_command_and_skopeo() {
    let test = "login_credential_serves_every_command_and_skopeo";
    if !needs(test, &[REGISTRY, &["htpasswd"]].concat()) {
        return;
    }
    let (certs, cli) = (Certs::new(), Cli::new());
    let ca = certs.cert(Certs::CA).to_str().unwrap().to_owned();
    let tokens = TokenServer::start(Policy::default()).await;
    for access in [Access::Htpasswd(&certs), Access::Token(&tokens)] {
        let tls: &[&str] =
            if matches!(access, Access::Token(_)) { &[] } else { &["--ca-file", &ca] };
        let registry = Live::start(&access);
        let (host, image) = (registry.host(), format!("{}/team/real:v1", registry.host()));
        let login = [tls, &["login", "-u", "user", "--password-stdin", host]].concat();
        cli.run_on("wrong", &login).await.expect(4, "login: ");
        cli.run_on("pass", &login).await.expect(0, "logged in");
        cli.run(&[tls, &["push", &layout("v1"), &image]].concat()).await.expect(0, "");
        let listed = cli.json(&[tls, &["catalog", "--json", host]].concat()).await;
        assert_eq!(listed["repositories"], json!(["team/real"]));
        assert!(skopeo_sees(&cli, &image).await);
        cli.run(&[tls, &["delete", "--yes", &image]].concat()).await.expect(0, "");
        assert!(!skopeo_sees(&cli, &image).await);
        cli.run(&["logout", host]).await.expect(0, "logged out");
        cli.run(&[tls, &["tags", &format!("{host}/team/real")]].concat()).await.expect(4, "");
    }
}

#[tokio::test]
async fn tag_and_delete_keep_other_tags() {
    if !needs("tag_and_delete_keep_other_tags", REGISTRY) {
        return;
    }
    let (image, cli) = (RealImage::get(), Cli::new());
    let registry = Live::start(&Access::Open);
    let front = recorder::in_front_of(registry.host()).await;
    let name = |tag: &str| format!("{}/team/real:{tag}", front.host());
    for tag in ["v1", "v2"] {
        cli.run(&["push", &layout(tag), &name(tag)]).await.expect(0, "");
    }
    front.forget();
    cli.run(&["tag", &name("v1"), &format!("docker://{}", name("also"))]).await.expect(0, "");
    assert_eq!(front.requests().len(), 2, "{:?}", front.lines());

    let hint = format!("hint: run `rpull delete {}/team/real@sha256:", front.host());
    cli.run(&["delete", "--yes", &name("v1")])
        .await
        .expect(1, "also has the tags also")
        .expect(1, &hint);
    let tags = cli.run(&["tags", &name("")[..name("").len() - 1]]).await.stdout;
    assert_eq!(tags.lines().count(), 3, "{tags}");
    cli.run(&["delete", "--yes", &name("v2")]).await.expect(0, "");
    let by_digest = format!("{}/team/real@{}", front.host(), image.v1.manifest.digest());
    let deleted = cli.json(&["delete", "--json", "--yes", &by_digest]).await;
    assert_eq!(deleted["deleted"], "manifest");
    for tag in ["v1", "v2", "also"] {
        cli.run(&["digest", &name(tag)]).await.expect(3, "");
    }
    cli.run(&["delete", "--yes", &by_digest]).await.expect(3, "");
}

#[tokio::test]
async fn referrers_tag_is_read_without_api() {
    if !needs("referrers_tag_is_read_without_api", REGISTRY) {
        return;
    }
    let (image, cli) = (RealImage::get(), Cli::new());
    let registry = Live::start(&Access::Open);
    let host = registry.host();
    cli.run(&["push", &layout("v1"), &format!("{host}/real:v1")]).await.expect(0, "");
    cli.run(&["push", &layout("v2"), &format!("{host}/real:sbom")]).await.expect(0, "");
    let digest = image.v1.manifest.digest();
    let none = cli.run(&["referrers", &format!("{host}/real:v1")]).await;
    assert_eq!(none.expect(0, "no referrers of ").stdout, format!("{digest}\n"));

    let mut entry = serde_json::to_value(&image.v2.manifest.descriptor).unwrap();
    entry["artifactType"] = json!("application/spdx+json");
    let index = "application/vnd.oci.image.index.v1+json";
    let list = json!({"schemaVersion": 2, "mediaType": index, "manifests": [entry]});
    let tag = digest.as_str().replace(':', "-");
    let answer = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .put(format!("http://{host}/v2/real/manifests/{tag}"))
        .header("Content-Type", index)
        .body(list.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
    let tree = cli.json(&["referrers", "--json", &format!("{host}/real:v1")]).await;
    assert_eq!(tree["referrers"][0]["digest"], json!(image.v2.manifest.digest()));
    assert_eq!(tree["referrers"][0]["artifact_type"], "application/spdx+json");
    let other = ["referrers", "--json", "--artifact-type", "a/b", &format!("{host}/real:v1")];
    assert_eq!(cli.json(&other).await["referrers"], json!([]));
}

#[tokio::test]
async fn delete_tag_of_indexed_manifest_is_refused() {
    let test = "delete_tag_of_indexed_manifest_is_refused";
    if !needs(test, &["docker-registry", "skopeo", "dpkg"]) {
        return;
    }
    let (image, cli, registry) = (RealImage::get(), Cli::new(), Live::start(&Access::Open));
    let name = |tag: &str| format!("{}/real:{tag}", registry.host());
    for tag in ["multi", "v1"] {
        image.push(tag, &name(tag), &["--dest-tls-verify=false"]);
    }
    // `v1` is the manifest that the index lists for amd64; distribution deletes manifests only.
    let output = cli.run(&["delete", "--yes", &name("v1")]).await;
    output.expect(1, "cannot delete a single tag").expect(1, "multi");
    let whole = ["pull", "--platform", "linux/amd64", &name("multi")];
    cli.run(&whole).await.expect(0, "");
}

#[tokio::test]
async fn delete_referrer_removes_it_from_list() {
    if !needs("delete_referrer_removes_it_from_list", REGISTRY) {
        return;
    }
    let (cli, registry, held) =
        (Cli::new(), Live::start(&Access::Open), FakeRegistry::start().await);
    let subject = &RealImage::get().v1.manifest;
    let name = |rest: &str| format!("{}/real{rest}", registry.host());
    cli.run(&["push", &layout("v1"), &name(":v1")]).await.expect(0, "");
    let referrers = ["a/sbom", "a/signature"].map(|kind| referrer_to(subject, kind));
    for (referrer, tag) in referrers.iter().zip(["a", "b"]) {
        referrer.publish(&held, "app", Some(tag));
        let from = held.repository(&format!("app:{tag}"));
        cli.run(&["copy", &from, &name(&format!(":{tag}"))]).await.expect(0, "");
    }
    let left = async || {
        let tree = cli.json(&["referrers", "--json", &name(":v1")]).await;
        tree["referrers"].as_array().unwrap().len()
    };
    assert_eq!(left().await, 2);
    let delete = async |image: &Image| {
        let by_digest = name(&format!("@{}", image.manifest.digest()));
        cli.run(&["delete", "--yes", &by_digest]).await.expect(0, "");
    };
    delete(&referrers[0]).await;
    assert_eq!(left().await, 1);
    delete(&referrers[1]).await;
    assert_eq!(left().await, 0);
    let tags = cli.json(&["tags", "--json", &name("")]).await;
    assert_eq!(tags["tags"], json!(["v1"]), "an empty list is none");
}
