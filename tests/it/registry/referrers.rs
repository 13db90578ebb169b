//! `referrers`: cycles, endless nesting, missing repositories.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::{INDEX, hex, list};
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::{Reply, Server};

#[tokio::test]
async fn referrers_cycle_lists_each_once() {
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
async fn referrers_nested_too_deep_are_rejected() {
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
async fn referrers_of_missing_repository_is_not_found() {
    let registry = FakeRegistry::start().await;
    let (cli, host) = (Cli::new(), registry.server.host());
    cli.run(&["referrers", &format!("{host}/nowhere:1")]).await.expect(3, "");
    let gone =
        Server::start(|_| Reply::error(404, "NAME_UNKNOWN", "repository name not known")).await;
    let image = format!("{}/app@{}", gone.host(), hex('0'));
    cli.run(&["referrers", &image]).await.expect(3, "name unknown");
}
