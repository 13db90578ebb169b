//! Tests of the support that uses installed programs: the real registry, a real image, the built command.

use reqwest::StatusCode;
use serde_json::Value;

use crate::support::certs::Certs;
use crate::support::cli::Cli;
use crate::support::live::{Access, Live, LoggedRequest, needs};
use crate::support::real::RealImage;
use crate::support::recorder;
use crate::support::tokens::{Policy, TokenServer};

const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

#[tokio::test]
async fn docker_registry_stores_real_image() {
    if !needs("docker_registry_stores_real_image", &["docker-registry", "skopeo", "dpkg"]) {
        return;
    }
    let image = RealImage::get();
    let registry = Live::start(&Access::Open);
    let plain = &["--dest-tls-verify=false"];
    for name in ["v1", "v2", "multi"] {
        image.push(name, &format!("{}/real:{name}", registry.host()), plain);
    }
    image.push_docker("v1", &format!("{}/real:docker", registry.host()), plain);

    let front = recorder::in_front_of(registry.host()).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let manifest = client
        .head(front.url("/v2/real/manifests/docker"))
        // Without it this registry generates a schema 1 manifest.
        .header("Accept", DOCKER)
        .send()
        .await
        .unwrap();
    assert_eq!(manifest.headers()["content-type"], DOCKER);
    let layer = image.v2.layers[2].digest();
    let get = client.get(front.url(&format!("/v2/real/blobs/{layer}")));
    let part = get.header("Range", "bytes=10-19").send().await.unwrap();
    assert_eq!(part.bytes().await.unwrap(), image.v2.layers[2].bytes.slice(10..20));
    assert_eq!(front.requests()[1].header("range"), Some("bytes=10-19"));
    let answered = |line: &LoggedRequest| line.status == 206 && line.bytes == 10;
    assert!(registry.access_log().iter().any(answered));
}

#[tokio::test]
async fn docker_registry_accepts_token_of_server() {
    if !needs("docker_registry_accepts_token_of_server", &["docker-registry", "skopeo", "dpkg"]) {
        return;
    }
    let tokens = TokenServer::start(Policy { anonymous_pull: true, ..Policy::default() }).await;
    let registry = Live::start(&Access::Token(&tokens));
    let to = format!("{}/a/real:v1", registry.host());
    let push = move || {
        RealImage::get().push("v1", &to, &["--dest-tls-verify=false", "--dest-creds=user:pass"]);
    };
    tokio::task::spawn_blocking(push).await.unwrap();
    let pushed = tokens.server.requests().len();

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask =
        format!("{}?service={}&scope=repository:a/real:pull", tokens.realm(), TokenServer::SERVICE);
    let answer = client.get(ask).send().await.unwrap().text().await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let url = format!("http://{}/v2/a/real/tags/list", registry.host());
    assert_eq!(client.get(&url).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let list =
        client.get(&url).bearer_auth(answer["token"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(list.text().await.unwrap().trim(), r#"{"name":"a/real","tags":["v1"]}"#);
    assert_eq!(tokens.server.requests().len(), pushed + 1);
}

#[tokio::test]
async fn docker_registry_requires_basic_auth_over_tls() {
    if !needs("docker_registry_requires_basic_auth_over_tls", &["docker-registry", "htpasswd"]) {
        return;
    }
    let certs = Certs::new();
    let registry = Live::start(&Access::Htpasswd(&certs));
    let ca = std::fs::read(certs.cert(Certs::CA)).unwrap();
    let ca = reqwest::Certificate::from_pem(&ca).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([ca]).build().unwrap();
    let get = || client.get(format!("https://{}/v2/", registry.host()));
    assert_eq!(get().send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let known = get().basic_auth("user", Some("pass")).send().await.unwrap();
    assert_eq!(known.status(), StatusCode::OK);
}

#[tokio::test]
async fn command_does_not_use_home_of_user() {
    let cli = Cli::new().env("RPULL_LOG", "trace");
    let output = cli.run(&["--version"]).await;
    assert_eq!((output.code(), output.signal()), (Some(0), None), "{}", output.stderr);
    assert!(!cli.store().exists());
}
