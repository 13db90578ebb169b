//! Tags: adding one at the registry, and lists of tags that do not end.

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::{Reply, Server};
use crate::support::images::{Family, image, layer};

#[tokio::test]
async fn tag_at_registry_transfers_no_blob() {
    let registry = FakeRegistry::start().await;
    let held = image(Family::Docker, "amd64", &[layer(&[("a", b"a")])]);
    held.publish(&registry, "team/app", Some("1"));
    let (cli, name) = (Cli::new(), registry.repository("team/app"));
    let new = format!("docker://{name}:stable");
    cli.run(&["tag", &format!("{name}:1"), &new]).await.expect(0, "tagged ");
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
        cli.run(&["tag", &source, &target]).await.expect(2, "hint: use `rpull copy SRC DST`");
    }
    cli.run(&["tag", &by_digest, &by_digest]).await.expect(2, "expected a tag as the new name");
    cli.run(&["tag", &by_digest, "mine"]).await.expect(2, "before the new name");
    assert!(registry.server.requests().is_empty());
}

/// A repository whose list of tags is what `pages` says for each query.
async fn tags_of(pages: impl Fn(&str) -> Reply + Send + Sync + 'static) -> (Server, String) {
    let server = Server::start(move |request| pages(&request.query)).await;
    let name = format!("{}/app", server.host());
    (server, name)
}

fn page(tags: &Value, next: &str) -> Reply {
    let reply = Reply::json(200, &json!({"name": "app", "tags": tags}));
    if next.is_empty() { reply } else { reply.header("Link", format!("<{next}>; rel=\"next\"")) }
}

#[tokio::test]
async fn tags_pagination_without_end_is_refused() {
    let itself = |_: &str| page(&json!(["1"]), "/v2/app/tags/list?n=1000");
    let (server, name) = tags_of(itself).await;
    Cli::new().run(&["tags", &name]).await.expect(5, "never end");
    assert_eq!(server.requests().len(), 1);

    let circle = |query: &str| {
        page(&json!(["1"]), if query.contains("last=a") { "?last=b" } else { "?last=a" })
    };
    let (server, name) = tags_of(circle).await;
    Cli::new().run(&["tags", &name]).await.expect(5, "never end");
    assert_eq!(server.requests().len(), 3);

    let counter = std::sync::atomic::AtomicUsize::new(0);
    let endless = move |_: &str| {
        let next = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        page(&json!(["same"]), &format!("?last={next}"))
    };
    let (server, name) = tags_of(endless).await;
    Cli::new().run(&["tags", &name]).await.expect(5, "more than 1000 requests");
    assert!(server.requests().len() <= 1001);

    let elsewhere = |_: &str| page(&json!(["1"]), "http://127.0.0.1:1/v2/app/tags/list");
    let (_server, name) = tags_of(elsewhere).await;
    Cli::new().run(&["tags", &name]).await.expect(6, "another host");
}
