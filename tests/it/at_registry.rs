//! `catalog`, `referrers`, `tag` and `delete` against registries that answer as they like.

use std::sync::atomic::{AtomicUsize, Ordering};

use std::sync::Mutex;

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::http::{Reply, Server};
use crate::support::images::{Family, image, layer};
use crate::support::registry::Registry;
use crate::support::terminal::Terminal;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn hex(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

/// An index of one referrer for each digit.
fn list(digits: &str, kind: &str) -> Reply {
    let one = |digit| {
        json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": hex(digit),
               "size": 7, "artifactType": kind})
    };
    let manifests: Vec<Value> = digits.chars().map(one).collect();
    let body = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    Reply::new(200, body.to_string()).header("Content-Type", INDEX)
}

#[tokio::test]
async fn a_catalog_is_read_to_its_end_and_each_name_is_told_once() {
    let server = Server::start(|request| match request.query.as_str() {
        "n=1000" => Reply::json(200, &json!({"repositories": ["a", "b/c", "a", "\u{1b}[2J"]}))
            .header("Link", "</v2/_catalog?last=b>; rel=\"next\""),
        "last=b" => Reply::json(200, &json!({"repositories": ["d", null, ""]}))
            .header("Link", "<?last=d>; rel=next"),
        _ => Reply::json(200, &json!({"repositories": null})),
    })
    .await;
    let (cli, host) = (Cli::new(), server.host());
    let output = cli.run(&["catalog", &host]).await;
    assert_eq!(output.expect(0, "").stdout, "a\nb/c\n\\u{1b}[2J\nd\n");
    let listed = cli.json(&["catalog", "--json", &host]).await;
    let names = json!(["a", "b/c", "\u{1b}[2J", "d"]);
    assert_eq!(listed, json!({"registry": host, "repositories": names}));
}

#[tokio::test]
async fn lists_that_lead_round_or_away_are_refused() {
    for (link, code, words) in [
        ("<?n=1000>; rel=next", 5, "the list of pages does not end"),
        ("<https://evil.example/v2/_catalog>; rel=next", 6, "leads to another host"),
    ] {
        let server = Server::start(move |request| {
            let reply = if request.path.contains("/referrers/") {
                list("1", "a/b")
            } else {
                Reply::json(200, &json!({"repositories": ["a"]}))
            };
            reply.header("Link", link)
        })
        .await;
        let (cli, host) = (Cli::new(), server.host());
        cli.run(&["--retries", "0", "catalog", &host]).await.expect(code, words);
        let image = format!("{host}/app@{}", hex('0'));
        cli.run(&["--retries", "0", "referrers", &image]).await.expect(code, words);
    }
}

#[tokio::test]
async fn referrers_that_refer_to_each_other_are_told_once() {
    let server = Server::start(|request| {
        let found = request.path.rsplit_once(':').map_or("", |(_, hex)| &hex[..1]);
        match found {
            "0" => list("12", "a/sbom"),
            "1" => list("3", "a/signature"),
            "3" => list("0132", "a/loop"),
            _ => list("", ""),
        }
    })
    .await;
    let (cli, host) = (Cli::new(), server.host());
    let image = format!("{host}/app@{}", hex('0'));
    let tree = cli.json(&["referrers", "--json", &image]).await;
    assert_eq!(tree["digest"], hex('0'));
    let all = tree["referrers"].as_array().unwrap();
    let told: Vec<&Value> = all.iter().map(|one| &one["digest"]).collect();
    assert_eq!(told, [&json!(hex('1')), &json!(hex('2'))], "{tree}");
    assert_eq!(all[0]["referrers"][0]["digest"], hex('3'));
    assert_eq!(all[0]["referrers"][0]["referrers"], json!([]));
    assert_eq!(server.requests().len(), 4);
    let output = cli.run(&["referrers", &image]).await;
    assert!(
        output.stdout.contains(&format!("\n├── a/sbom {} 7 B\n│   └── a/signature", hex('1'))),
        "{}",
        output.stdout
    );

    // Nobody filtered: it is done here, at every level.
    let some = cli.json(&["referrers", "--json", "--artifact-type", "a/sbom", &image]).await;
    let kinds: Vec<&Value> =
        some["referrers"].as_array().unwrap().iter().map(|one| &one["artifact_type"]).collect();
    assert_eq!(kinds, ["a/sbom", "a/sbom"]);
    assert_eq!(some["referrers"][0]["referrers"], json!([]));
}

#[tokio::test]
async fn referrers_without_end_are_refused() {
    let count = Mutex::new(0_u64);
    let server = Server::start(move |_| {
        let mut count = count.lock().unwrap();
        *count += 1;
        let digest = format!("sha256:{:064x}", *count);
        let manifest = json!({"mediaType": "x/y", "digest": digest, "size": 1});
        Reply::new(200, json!({"manifests": [manifest]}).to_string()).header("Content-Type", INDEX)
    })
    .await;
    let image = format!("{}/app@{}", server.host(), hex('f'));
    Cli::new().run(&["referrers", &image]).await.expect(5, "levels of referrers");
    assert!(server.requests().len() < 20);
}

#[tokio::test]
async fn a_repository_that_is_not_there_has_no_referrers_to_be_without() {
    let registry = Registry::start().await;
    let (cli, host) = (Cli::new(), registry.server.host());
    cli.run(&["referrers", &format!("{host}/nowhere:1")]).await.expect(3, "");
    let gone =
        Server::start(|_| Reply::error(404, "NAME_UNKNOWN", "repository name not known")).await;
    let image = format!("{}/app@{}", gone.host(), hex('0'));
    cli.run(&["referrers", &image]).await.expect(3, "name unknown");
}

#[tokio::test]
async fn a_tag_at_the_registry_moves_nothing() {
    let registry = Registry::start().await;
    let held = image(Family::Docker, "amd64", &[layer(&[("a", b"a")])]);
    held.publish(&registry, "team/app", Some("1"));
    let (cli, name) = (Cli::new(), registry.repository("team/app"));
    let new = format!("docker://{name}:stable");
    cli.run(&["tag", &format!("{name}:1"), &new]).await.expect(0, ":1 is also ");
    assert_eq!(
        registry.server.lines(),
        ["GET /v2/team/app/manifests/1", "PUT /v2/team/app/manifests/stable"]
    );
    assert_eq!(
        registry.tagged("team/app", "stable").as_deref(),
        Some(held.manifest.digest().as_str())
    );
    let by_digest = format!("docker://{name}@{}", held.manifest.digest());
    cli.run(&["tag", &by_digest, &format!("docker://{name}:2")]).await.expect(0, "");
    registry.server.forget();
    for (source, target) in [
        (format!("{name}:1"), format!("docker://{}:1", registry.repository("other"))),
        (format!("docker://{name}:1"), "docker://other.example/team/app:1".to_owned()),
        (format!("store:{name}:1"), new.clone()),
    ] {
        cli.run(&["tag", &source, &target]).await.expect(2, "hint: `rpull copy SRC NAME`");
    }
    cli.run(&["tag", &by_digest, &by_digest]).await.expect(2, "the new name is a tag");
    cli.run(&["tag", &by_digest, "mine"]).await.expect(2, "docker:// before the new name");
    assert!(registry.server.requests().is_empty());
}

#[tokio::test]
async fn nothing_is_deleted_unless_it_is_meant() {
    let registry = Registry::start().await;
    let name = registry.repository("team/app");
    let cli = Cli::new();
    cli.run(&["delete", &format!("{name}:1")]).await.expect(2, "--yes");
    cli.run(&["delete", "--yes", &name]).await.expect(2, "say which tag or digest");
    let both = format!("{name}:1@{}", hex('0'));
    cli.run(&["delete", "--yes", &both]).await.expect(2, "either the tag or the digest");
    cli.run(&["delete", "--yes", "store:app:1"]).await.expect(2, "an image of a registry");
    assert!(registry.server.requests().is_empty());
    cli.run(&["delete", "--yes", &format!("{name}:1")]).await.expect(3, "manifest team/app:1");
}

#[tokio::test]
async fn at_a_terminal_a_deletion_is_asked_for_with_its_digest() {
    let server = Server::start(|request| match request.method.as_str() {
        "DELETE" => Reply::new(202, ""),
        _ => Reply::new(200, "")
            .header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
            .header("Docker-Content-Digest", hex('0')),
    })
    .await;
    let (cli, terminal) = (Cli::new(), Terminal::open());
    let image = format!("{}/app:1", server.host());
    for (answer, code, deletions) in [("\n", 1, 0), ("nein\n", 1, 0), ("Yes\n", 0, 1)] {
        terminal.type_in(answer);
        let output = cli.spawn_on(terminal.screen(), &["delete", &image]).wait().await;
        output.expect(code, &format!("delete the tag {image}, which is {}? [y/N]", hex('0')));
        assert_eq!(server.count("DELETE"), deletions, "{answer:?}");
    }
    assert_eq!(server.count("DELETE /v2/app/manifests/1"), 1, "the tag and nothing else");
}

#[tokio::test]
async fn where_a_tag_cannot_be_looked_at_its_manifest_is_not_deleted() {
    let server = Server::start(|request| match (request.method.as_str(), request.path.as_str()) {
        ("DELETE", _) => Reply::error(405, "UNSUPPORTED", "not by tag"),
        ("HEAD", "/v2/app/manifests/1") => Reply::new(200, "")
            .header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
            .header("Docker-Content-Digest", hex('0')),
        ("GET", "/v2/app/tags/list") => Reply::json(200, &json!({"tags": ["1", "2"]})),
        _ => Reply::error(403, "DENIED", "no"),
    })
    .await;
    let image = format!("{}/app:1", server.host());
    Cli::new()
        .run(&["--retries", "0", "delete", "--yes", &image])
        .await
        .expect(4, "manifest app:2");
    assert_eq!(server.count("DELETE"), 1);
}

#[tokio::test]
async fn a_tag_that_moved_meanwhile_takes_no_manifest_along() {
    let heads = AtomicUsize::new(0);
    let server =
        Server::start(move |request| match (request.method.as_str(), request.path.as_str()) {
            ("DELETE", _) => Reply::error(405, "UNSUPPORTED", "not by tag"),
            ("HEAD", "/v2/app/manifests/1") => {
                let digest = if heads.fetch_add(1, Ordering::Relaxed) == 0 { '0' } else { '1' };
                Reply::new(200, "")
                    .header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
                    .header("Docker-Content-Digest", hex(digest))
            }
            ("GET", "/v2/app/tags/list") => Reply::json(200, &json!({"tags": ["1"]})),
            _ => Reply::error(404, "MANIFEST_UNKNOWN", "no"),
        })
        .await;
    let image = format!("{}/app:1", server.host());
    let output = Cli::new().run(&["delete", "--yes", &image]).await;
    output.expect(1, "stands for another manifest by now; nothing was deleted");
    assert_eq!(server.count("DELETE"), 1, "the tag alone");
}
