//! The client against registries with faults, mostly in authentication.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wiremock::matchers::{body_string_contains, header, method, path, path_regex, query_param};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use rpull::content::{BlobRequest, Lookup as _, Source as _};
use rpull::descriptor::Descriptor;
use rpull::document::Document;
use rpull::error::{Error, ErrorKind, Result};
use rpull::media::MediaType;
use rpull::name::ImageName;
use rpull::registry::credentials::{CredentialOptions, Credentials, Environment, parse_creds};
use rpull::registry::{Client, RegistryOptions, Repository};
use rpull::retry::RetryPolicy;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn options(credentials: Credentials) -> RegistryOptions {
    let retry = RetryPolicy::default().attempts(1);
    RegistryOptions::default().credentials(credentials).retry(retry)
}

fn user(text: &str) -> Credentials {
    let options = CredentialOptions::default().explicit(parse_creds(text).unwrap());
    Credentials::new(options).unwrap()
}

fn repository(client: &Client, server: &MockServer, name: &str) -> Repository {
    let reference = format!("{}/{name}:1", server.address());
    client.repository(&reference.parse().unwrap()).unwrap()
}

async fn pull(server: &MockServer, credentials: Credentials) -> Result<Document> {
    let client = Client::new(options(credentials));
    repository(&client, server, "team/app").resolve(&ImageName::Tag("1".into())).await
}

fn manifest() -> ResponseTemplate {
    let digest = format!("sha256:{}", "0".repeat(64));
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 2});
    let body = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []});
    ResponseTemplate::new(200).set_body_raw(body.to_string(), MANIFEST)
}

fn unauthorized(challenge: &str, words: &str) -> ResponseTemplate {
    let body = json!({"errors": [{"code": "UNAUTHORIZED", "message": words}]});
    ResponseTemplate::new(401).insert_header("www-authenticate", challenge).set_body_json(body)
}

/// Serves manifests to requests with this `Authorization`, and the challenge to others.
async fn guard(server: &MockServer, authorization: &str, challenge: &str) {
    let manifests = || Mock::given(method("GET")).and(path_regex("^/v2/.*/manifests/1$"));
    manifests()
        .and(header("authorization", authorization))
        .respond_with(manifest())
        .mount(server)
        .await;
    manifests().respond_with(unauthorized(challenge, "words of the registry")).mount(server).await;
}

fn bearer(server: &MockServer) -> String {
    format!(r#"Bearer realm="{}/token",service="s""#, server.uri())
}

fn token(text: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({"token": text, "expires_in": 300}))
}

async fn requests(server: &MockServer, to: &str) -> Vec<Request> {
    let all = server.received_requests().await.unwrap();
    all.into_iter().filter(|request| request.url.path() == to).collect()
}

#[track_caller]
fn assert_denied(error: &Error, words: &str) {
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
}

#[tokio::test]
async fn token_concurrent_requests_share_one_refresh() {
    let server = MockServer::start().await;
    let given = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&given);
    let slow = move |_: &Request| {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        token(&format!("token-{number}")).set_delay(Duration::from_millis(50))
    };
    Mock::given(path("/token")).respond_with(slow).mount(&server).await;
    guard(&server, "Bearer token-1", &bearer(&server)).await;
    let client = Client::new(options(Credentials::anonymous()));
    let repository = repository(&client, &server, "team/app");
    let all = || {
        let name = ImageName::Tag("1".into());
        let repository = &repository;
        futures_util::future::join_all((0..6).map(move |_| {
            let name = name.clone();
            async move { repository.resolve(&name).await.map(drop) }
        }))
    };
    assert!(all().await.into_iter().all(|result| result.is_ok()));
    assert_eq!(given.load(Ordering::Relaxed), 1);

    server.reset().await;
    let count = Arc::clone(&given);
    let again = move |_: &Request| {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        token(&format!("token-{number}")).set_delay(Duration::from_millis(50))
    };
    Mock::given(path("/token")).respond_with(again).mount(&server).await;
    guard(&server, "Bearer token-2", &bearer(&server)).await;
    assert!(all().await.into_iter().all(|result| result.is_ok()));
    assert_eq!(given.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn token_scope_is_not_reused_for_other_repository() {
    let server = MockServer::start().await;
    Mock::given(path("/token")).respond_with(token("t")).mount(&server).await;
    let challenge = format!(r#"{},scope="repository:team/a:pull,push""#, bearer(&server));
    guard(&server, "Bearer t", &challenge).await;
    let client = Client::new(options(Credentials::anonymous()));
    for name in ["team/a", "team/b"] {
        repository(&client, &server, name).resolve(&ImageName::Tag("1".into())).await.unwrap();
    }
    let scopes: Vec<String> = requests(&server, "/token")
        .await
        .iter()
        .map(|request| request.url.query_pairs().find(|(key, _)| key == "scope").unwrap().1.into())
        .collect();
    assert_eq!(scopes, ["repository:team/a:pull,push", "repository:team/b:pull"]);
}

/// Creates an auth file with a user and an identity token.
fn both_kinds(dir: &tempfile::TempDir, server: &MockServer) -> Credentials {
    let entry = json!({"auth": "dXNlcjpwYXNz", "identitytoken": "canary"});
    let path = dir.path().join("auth.json");
    let text = json!({"auths": {server.address().to_string(): entry}});
    std::fs::write(&path, text.to_string()).unwrap();
    let environment = Environment::default();
    let options = CredentialOptions::default().authfile(path).environment(environment);
    Credentials::new(options).unwrap()
}

#[tokio::test]
async fn token_post_refused_falls_back_to_password() {
    for status in [400, 401, 404, 405] {
        let (server, dir) = (MockServer::start().await, tempfile::tempdir().unwrap());
        Mock::given(method("POST"))
            .and(path("/token"))
            .and(body_string_contains("grant_type=refresh_token&refresh_token=canary"))
            .respond_with(ResponseTemplate::new(status))
            .expect(1)
            .mount(&server)
            .await;
        Mock::given(method("GET"))
            .and(path("/token"))
            .and(header("authorization", "Basic dXNlcjpwYXNz"))
            .and(query_param("account", "user"))
            .respond_with(token("t"))
            .expect(1)
            .mount(&server)
            .await;
        guard(&server, "Bearer t", &bearer(&server)).await;
        pull(&server, both_kinds(&dir, &server)).await.unwrap();
    }
}

#[tokio::test]
async fn token_post_prefers_access_token_field() {
    let (server, dir) = (MockServer::start().await, tempfile::tempdir().unwrap());
    let answer = json!({"token": "other", "access_token": "t"});
    Mock::given(method("POST"))
        .and(path("/token"))
        .respond_with(ResponseTemplate::new(200).set_body_json(answer))
        .mount(&server)
        .await;
    guard(&server, "Bearer t", &bearer(&server)).await;
    pull(&server, both_kinds(&dir, &server)).await.unwrap();
}

#[tokio::test]
async fn auth_failure_shows_server_message() {
    let server = MockServer::start().await;
    Mock::given(path("/token")).respond_with(token("canary")).mount(&server).await;
    guard(&server, "Bearer never", &bearer(&server)).await;
    let error = pull(&server, Credentials::anonymous()).await.unwrap_err();
    assert_denied(&error, "words of the registry");
    assert_eq!(requests(&server, "/token").await.len(), 1);

    let server = MockServer::start().await;
    let words = json!({"details": "words of the token server"});
    let refusal = ResponseTemplate::new(401).set_body_json(words);
    Mock::given(path("/token")).respond_with(refusal).mount(&server).await;
    guard(&server, "Bearer never", &bearer(&server)).await;
    assert_denied(&pull(&server, user("u:canary")).await.unwrap_err(), "words of the token server");

    let server = MockServer::start().await;
    guard(&server, "Basic never", r#"Basic realm="x""#).await;
    assert_denied(&pull(&server, user("u:canary")).await.unwrap_err(), "words of the registry");
}

#[tokio::test]
async fn challenge_unsupported_is_explained() {
    for (challenge, words) in [
        ("Negotiate abc==, NTLM", "negotiate or ntlm"),
        (r#"Bearer service="s""#, "names no token server"),
        (r#"Bearer realm="""#, "names no token server"),
        (r#"Bearer realm="http://[/token""#, "the token server is not a URL"),
        (r#"Bearer realm="http://169.254.169.254/token?canary""#, "never allowed"),
        (r#"Bearer realm="http://10.0.0.1/token""#, "private address"),
        (r#"Bearer realm="http://canary@127.0.0.1/token""#, "with a user name"),
        (r#"Bearer realm="file:///etc/passwd""#, "not an http or https URL"),
        (r#"Bearer realm="http://127.0.0.1:1/token#x""#, "fragment"),
        (r#"Basic realm="x""#, "no credentials found"),
    ] {
        let server = MockServer::start().await;
        guard(&server, "never", challenge).await;
        let credentials = Credentials::anonymous();
        assert_denied(&pull(&server, credentials).await.unwrap_err(), words);
        assert_eq!(server.received_requests().await.unwrap().len(), 1, "{challenge}");
    }
}

#[tokio::test]
async fn credential_over_http_is_refused() {
    let server = MockServer::start().await;
    let challenge = r#"Bearer realm="http://registry.invalid/token""#;
    guard(&server, "never", challenge).await;
    assert_denied(&pull(&server, user("u:canary")).await.unwrap_err(), "over plain HTTP");
    assert_denied(&pull(&server, user("<token>:canary")).await.unwrap_err(), "over plain HTTP");
}

#[tokio::test]
async fn token_server_redirect_is_not_followed() {
    let (server, other) = (MockServer::start().await, MockServer::start().await);
    let elsewhere = ResponseTemplate::new(307).insert_header("location", other.uri());
    Mock::given(path("/token")).respond_with(elsewhere).mount(&server).await;
    guard(&server, "never", &bearer(&server)).await;
    assert_denied(&pull(&server, user("u:canary")).await.unwrap_err(), "unexpected redirect");
    assert!(other.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn credential_basic_challenge_after_token_is_answered() {
    // Nexus: bearer authentication may be disabled for one repository and enabled for another.
    let server = MockServer::start().await;
    Mock::given(path("/token")).respond_with(token("t")).mount(&server).await;
    guard(&server, "Bearer t", &bearer(&server)).await;
    let client = Client::new(options(user("user:pass")));
    let repository = repository(&client, &server, "team/app");
    repository.resolve(&ImageName::Tag("1".into())).await.unwrap();
    server.reset().await;
    guard(&server, "Basic dXNlcjpwYXNz", "Basic").await;
    repository.resolve(&ImageName::Tag("1".into())).await.unwrap();
}

/// Redirects to the same URL forever.
struct Loop;

impl Respond for Loop {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        ResponseTemplate::new(302).insert_header("location", request.url.path())
    }
}

#[tokio::test]
async fn redirect_loop_or_forbidden_target_fails() {
    let server = MockServer::start().await;
    Mock::given(method("GET")).respond_with(Loop).mount(&server).await;
    let error = pull(&server, Credentials::anonymous()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Transport && error.to_string().contains("10 redirects"));
    for target in ["file:///etc/passwd", "http://10.0.0.1/x", "http://u@127.0.0.1/", "http://["] {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(302).insert_header("location", target);
        Mock::given(method("GET")).respond_with(answer).mount(&server).await;
        let error = pull(&server, Credentials::anonymous()).await.unwrap_err();
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Transport, false), "{target}");
    }
}

#[tokio::test]
async fn redirect_of_foreign_layer_drops_credential() {
    let [registry, foreign, cdn] =
        [MockServer::start().await, MockServer::start().await, MockServer::start().await];
    guard(&registry, "Basic dXNlcjpwYXNz", "Basic").await;
    let moved = ResponseTemplate::new(302).insert_header("location", format!("{}/b", cdn.uri()));
    Mock::given(path("/a")).respond_with(moved).mount(&foreign).await;
    let bytes = ResponseTemplate::new(200).set_body_raw("layer", "application/octet-stream");
    Mock::given(path("/b")).respond_with(bytes).mount(&cdn).await;
    let media_type = MediaType::from("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
    let mut layer = Descriptor::for_bytes(media_type, b"layer");
    layer.urls = vec![format!("{}/a", foreign.uri())];
    for wanted in [false, true] {
        let mut settings = options(user("user:pass"));
        settings.foreign_layers = wanted;
        let client = Client::new(settings);
        let repository = repository(&client, &registry, "team/app");
        repository.resolve(&ImageName::Tag("1".into())).await.unwrap();
        assert_eq!(repository.open_blob(BlobRequest::starting_at(&layer, 0)).await.is_ok(), wanted);
        let asked = [&foreign, &cdn].map(MockServer::received_requests);
        let asked: Vec<Request> =
            futures_util::future::join_all(asked).await.into_iter().flatten().flatten().collect();
        assert_eq!(asked.len(), if wanted { 2 } else { 0 });
        assert!(asked.iter().all(|request| !request.headers.contains_key("authorization")));
    }
}

/// Starts a server that sends this to every client and closes; returns its address.
async fn parrot(answer: &'static str) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            _ = stream.read(&mut [0; 4096]).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn http_loopback_upgrades_only_for_tls_server() {
    let ask = async |answer| {
        let client = Client::new(options(Credentials::anonymous()));
        let reference = format!("{}/a:1", parrot(answer).await);
        let repository = client.repository(&reference.parse().unwrap()).unwrap();
        repository.resolve(&ImageName::Tag("1".into())).await.unwrap_err().to_string()
    };
    let go = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    assert!(ask(go).await.contains("https://127.0.0.1"));
    let own =
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nno, a";
    assert!(ask(own).await.ends_with("400 bad request: no, a"));
}

#[tokio::test]
async fn http_invalid_response_is_not_retried() {
    let client = Client::new(RegistryOptions::default());
    let reference = format!("{}/a:1", parrot("\x15\x03\x03\0\x02\x02\x46").await);
    let repository = client.repository(&reference.parse().unwrap()).unwrap();
    let error = repository.resolve(&ImageName::Tag("1".into())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport, "{error}");
    assert_eq!(repository.requests().total(), 1);
}
