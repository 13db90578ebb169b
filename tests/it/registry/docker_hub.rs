//! Docker Hub by its own names, which a proxy leads to a server of the test; the environment trusts its certificate.

use serde_json::json;

use crate::support::certs::{Certs, ClientCert};
use crate::support::cli::Cli;
use crate::support::connect_proxy::ConnectProxy;
use crate::support::http::{Reply, Request, Server};
use crate::support::images::{Family, Image, image, layer};

const PROBE: &str = "/v2/ratelimitpreview/test/manifests/latest";
/// `user:hush-4a7b`.
const BASIC: &str = "dXNlcjpodXNoLTRhN2I=";

/// What stands in for Docker Hub, and the way to it.
struct Hub {
    server: Server,
    proxy: ConnectProxy,
    certs: Certs,
}

impl Hub {
    /// `answer` gets the requests with a token.
    async fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let certs = Certs::new();
        let tls = certs.server_config(Certs::DOCKER_HUB, ClientCert::NotAsked);
        let server = Server::start_with(Some(tls), move |request| {
            let host = request.header("host").unwrap_or_default();
            match (host, request.path.as_str()) {
                ("auth.docker.io", "/token") => Reply::json(200, &json!({"token": "of-hub"})),
                ("registry-1.docker.io", path) => {
                    if request.header("authorization") == Some("Bearer of-hub") {
                        return answer(request);
                    }
                    let repository = path[4..].split("/manifests/").next().unwrap();
                    let challenge = format!(
                        "Bearer realm=\"https://auth.docker.io/token\",\
                         service=\"registry.docker.io\",scope=\"repository:{repository}:pull\""
                    );
                    Reply::error(401, "UNAUTHORIZED", "authentication required")
                        .header("WWW-Authenticate", challenge)
                }
                _ => Reply::new(404, "page not found"),
            }
        });
        let server = server.await;
        Self { proxy: ConnectProxy::start(server.address()).await, server, certs }
    }

    fn cli(&self) -> Cli {
        let trusted = self.certs.cert(Certs::CA).to_str().unwrap().to_owned();
        Cli::new().env("HTTPS_PROXY", self.proxy.url()).env("SSL_CERT_FILE", trusted)
    }
}

fn limited(_: &Request) -> Reply {
    Reply::new(200, "{}")
        .header("Content-Type", "application/vnd.docker.distribution.manifest.v2+json")
        .header("ratelimit-limit", "100;w=21600")
        .header("ratelimit-remaining", "76;w=21600")
        .header("docker-ratelimit-source", "192.0.2.1")
}

#[tokio::test]
async fn limits_of_docker_hub_cost_no_pull() {
    let hub = Hub::start(limited).await;
    for name in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
        hub.server.forget();
        let output = hub.cli().run(&["limits", name]).await;
        let expected = "docker.io: 76 of 100 left, per 6 h, counted for 192.0.2.1\n";
        assert_eq!(output.expect(0, "").stdout, expected);
        let lines = hub.server.lines();
        let probe = format!("HEAD {PROBE}");
        assert!(lines.len() == 3 && lines[0] == probe && lines[2] == probe, "{lines:?}");
        let token = "GET /token?service=registry.docker.io&scope=repository%3Aratelimitpreview%2Ftest%3Apull&client_id=rpull";
        assert_eq!(lines[1], token);
    }
    let limit = json!({"limit": 100, "remaining": 76, "window_s": 21_600, "source": "192.0.2.1"});
    let told = hub.cli().json(&["limits", "--json", "docker.io"]).await;
    assert_eq!(told, json!({"registry": "docker.io", "rate_limit": limit}));
    let asked = hub.proxy.asked();
    let known = ["registry-1.docker.io:443", "auth.docker.io:443"];
    assert!(asked.iter().all(|host| known.contains(&host.as_str())), "{asked:?}");
}

#[tokio::test]
async fn limits_of_docker_hub_send_credential_to_token_server_only() {
    let hub = Hub::start(limited).await;
    let cli = hub.cli();
    std::fs::create_dir(cli.home().join(".docker")).unwrap();
    let config = json!({"auths": {"https://index.docker.io/v1/": {"auth": BASIC}}});
    std::fs::write(cli.home().join(".docker/config.json"), config.to_string()).unwrap();
    let output = cli.run(&["limits", "-vv", "docker.io"]).await;
    let shown = format!("{}{}", output.expect(0, "").stdout, output.stderr);
    assert!(shown.contains("76 of 100") && !shown.contains("hush") && !shown.contains(BASIC));
    for request in hub.server.requests() {
        let has_password = request.header("authorization").is_some_and(|it| it.contains(BASIC));
        assert_eq!(has_password, request.path == "/token", "{}", request.line());
    }
}

#[tokio::test]
async fn limits_of_docker_hub_without_headers_are_unknown() {
    let hub = Hub::start(|request| {
        let reply = limited(request).without("ratelimit-limit");
        reply.without("ratelimit-remaining").without("docker-ratelimit-source")
    });
    let hub = hub.await;
    let told = hub.cli().json(&["limits", "--json", "docker.io"]).await;
    assert_eq!(told, json!({"registry": "docker.io", "rate_limit": null}));

    let hub = Hub::start(|_| Reply::new(429, "You have reached your pull rate limit.")).await;
    let output = hub.cli().run(&["limits", "--retries", "0", "docker.io"]).await;
    output.expect(6, "429");
}

/// Answers as the repository `library/app` with this image as tag 3.
fn library(held: &Image, request: &Request) -> Reply {
    let Some(path) = request.path.strip_prefix("/v2/library/app/") else {
        return Reply::error(404, "NAME_UNKNOWN", "repository name not known to registry");
    };
    if path == "manifests/3" {
        return Reply::new(200, held.manifest.bytes.clone())
            .header("Content-Type", held.manifest.descriptor.media_type.as_str())
            .header("Docker-Content-Digest", held.manifest.digest().as_str());
    }
    let wanted =
        held.blobs().find(|blob| path.strip_prefix("blobs/") == Some(blob.digest().as_str()));
    wanted.map_or_else(
        || Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
        |blob| Reply::new(200, blob.bytes.clone()),
    )
}

#[tokio::test]
async fn docker_hub_short_name_is_pulled_through_proxy() {
    let held = image(Family::Docker, "amd64", &[layer(&[("a", b"a")])]);
    let served = held.clone();
    let hub = Hub::start(move |request| library(&served, request)).await;
    let cli = hub.cli();
    let report = cli.report(&["pull", "--json", "app:3"]).await;
    assert_eq!(report["bytes"]["transferred"], held.size());
    assert_eq!(report["digest"], json!(held.manifest.digest()));
    let listed = cli.json(&["images", "--json"]).await;
    assert_eq!(listed[0]["reference"], "docker.io/library/app:3");
    cli.run(&["pull", "--retries", "0", "app:4"]).await.expect(3, "manifest unknown");
    // Who the environment does not trust is not believed, whatever the name says.
    let strangers = Certs::new();
    let cli = cli.env("SSL_CERT_FILE", strangers.cert(Certs::CA).to_str().unwrap());
    cli.run(&["limits", "docker.io"]).await.expect(6, "invalid peer certificate");
}
