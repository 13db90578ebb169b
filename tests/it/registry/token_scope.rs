//! Scopes of tokens requested by challenges, and the URL of the token server.

use serde_json::json;

use crate::support::cli::{Cli, Output};
use crate::support::http::{Reply, Request, Server};
use crate::support::images::{Family, Image, image, layer};

fn small() -> Image {
    image(Family::Oci, "amd64", &[layer(&[("a", b"a")])])
}

/// Starts a registry whose tokens are their requested scopes and which requires `scope` for each request. It answers
/// `refusal` to a token of another scope and names the required one.
async fn strict(
    refusal: u16,
    scope: impl Fn(&Request) -> String + Send + Sync + 'static,
) -> Server {
    let image = small();
    Server::start(move |request| {
        let host = request.header("host").unwrap();
        if request.path == "/token" {
            let scopes = request.pairs().into_iter().filter(|(key, _)| key == "scope");
            let scopes: Vec<String> = scopes.map(|(_, scope)| scope).collect();
            return Reply::json(200, &json!({"token": scopes.join("|")}));
        }
        let wanted = scope(request);
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"s\"");
        match request.header("authorization") {
            None => Reply::new(401, "").header("WWW-Authenticate", challenge),
            Some(sent) if sent != format!("Bearer {wanted}") => {
                let more = format!("{challenge},error=\"insufficient_scope\",scope=\"{wanted}\"");
                Reply::error(refusal, "DENIED", "insufficient").header("WWW-Authenticate", more)
            }
            Some(_) if request.path.ends_with("/tags/list") => {
                Reply::json(200, &json!({"name": "app", "tags": ["1"]}))
            }
            Some(_) if request.method == "DELETE" => Reply::new(202, ""),
            Some(_) => Reply::new(200, image.manifest.bytes.clone())
                .header("Content-Type", image.manifest.descriptor.media_type.as_str()),
        }
    })
    .await
}

async fn run(server: &Server, words: &[&str]) -> Output {
    let tag = if words.contains(&"tags") { "" } else { ":1" };
    let name = format!("{}/app{tag}", server.host());
    Cli::new().run(&[&["--retries", "0"], words, &[&name]].concat()).await
}

#[tokio::test]
async fn token_insufficient_scope_requests_scope_of_challenge() {
    for refusal in [401, 403] {
        for verb in ["tags", "digest", "manifest"] {
            let server = strict(refusal, |_| "repository:app:metadata_read".to_owned()).await;
            run(&server, &[verb]).await.expect(0, "");
            assert_eq!(server.count("GET /token"), 2, "{refusal} {verb}: {:?}", server.lines());
        }
    }
}

#[tokio::test]
async fn token_scope_changing_forever_fails() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let server = strict(401, move |_| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        format!("repository:app:pull,x{n}")
    })
    .await;
    run(&server, &["tags"]).await.expect(4, "401 unauthorized: ");
    assert_eq!(server.count("GET /token"), 3, "{:?}", server.lines());
}

#[tokio::test]
async fn token_same_scope_refused_is_requested_once() {
    let server = Server::start(|request| match request.path.as_str() {
        "/token" => Reply::json(200, &json!({"token": format!("t{}", fastrand::u64(..))})),
        _ => Reply::error(401, "DENIED", "never").header(
            "WWW-Authenticate",
            "Bearer realm=\"/token\",scope=\"repository:app:pull\",error=\"insufficient_scope\"",
        ),
    })
    .await;
    run(&server, &["tags"]).await.expect(4, "never");
    assert_eq!(server.count("GET /token"), 1);
}

#[tokio::test]
async fn token_realm_relative_is_resolved_against_registry() {
    for (realm, asked) in [
        ("/jwt/auth", "/jwt/auth?service=s"),
        ("/token?key=1", "/token?key=1&service=s"),
        ("token", "/v2/app/manifests/token?service=s"),
        ("../../auth", "/v2/auth?service=s"),
        ("//{}/token", "/token?service=s"),
    ] {
        let image = small();
        let server = Server::start(move |request| {
            let realm = realm.replace("{}", request.header("host").unwrap());
            let challenge = format!("Bearer realm=\"{realm}\",service=\"s\"");
            match request.header("authorization") {
                Some(_) => Reply::new(200, image.manifest.bytes.clone())
                    .header("Content-Type", image.manifest.descriptor.media_type.as_str()),
                None if request.query.contains("service=s") => {
                    Reply::json(200, &json!({"token": "t"}))
                }
                None => Reply::new(401, "").header("WWW-Authenticate", challenge),
            }
        })
        .await;
        run(&server, &["manifest"]).await.expect(0, "");
        let lines = server.lines();
        assert!(lines[1].starts_with(&format!("GET {asked}")), "{realm}: {lines:?}");
    }
}

#[tokio::test]
async fn token_of_delete_requests_scope_of_challenge() {
    let digest = small().manifest.digest().clone();
    let server = strict(401, |request| {
        let action = if request.method == "DELETE" { "delete" } else { "pull" };
        format!("repository:app:{action}")
    })
    .await;
    let name = format!("{}/app@{digest}", server.host());
    Cli::new().run(&["--retries", "0", "delete", "--yes", &name]).await.expect(0, "");
    let lines = server.lines();
    let last = lines.iter().rfind(|line| line.starts_with("GET /token")).unwrap();
    assert!(last.contains("scope=repository%3Aapp%3Adelete&"), "{lines:?}");
}

#[tokio::test]
async fn token_of_delete_falls_back_to_named_scope() {
    let image = small();
    let digest = image.manifest.digest().clone();
    let server = Server::start(move |request| {
        let query = request.pairs();
        let wants_all = query.iter().any(|(key, value)| key == "scope" && value.ends_with(":*"));
        let action = if request.method == "DELETE" { "delete" } else { "pull" };
        let challenge = format!("Bearer realm=\"/token\",scope=\"repository:app:{action}\"");
        match request.path.as_str() {
            "/token" if wants_all => Reply::error(401, "DENIED", "no such action"),
            "/token" => Reply::json(200, &json!({"token": query[0].1})),
            _ if request.header("authorization")
                != Some(&format!("Bearer repository:app:{action}")) =>
            {
                Reply::new(401, "").header("WWW-Authenticate", challenge)
            }
            _ if request.method == "DELETE" => Reply::new(202, ""),
            _ => Reply::new(200, image.manifest.bytes.clone())
                .header("Content-Type", image.manifest.descriptor.media_type.as_str()),
        }
    })
    .await;
    let name = format!("{}/app@{digest}", server.host());
    Cli::new().run(&["--retries", "0", "delete", "--yes", &name]).await.expect(0, "");
}
