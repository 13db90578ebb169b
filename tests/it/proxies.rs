//! Proxies of the environment: for far registries, never for this machine, and without telling their passwords.

use crate::support::cli::Cli;
use crate::support::http::{Reply, Server};
use crate::support::images::{Family, image, layer};
use crate::support::registry::Registry;

/// A proxy that has nothing, and remembers what it was asked for.
async fn proxy() -> Server {
    Server::start(|_| Reply::error(404, "NAME_UNKNOWN", "said the proxy")).await
}

#[tokio::test]
async fn a_far_registry_is_asked_through_the_proxy() {
    let proxy = proxy().await;
    let url = format!("http://canary-user:canary-pass@{}", proxy.host());
    let cli = Cli::new().env("HTTP_PROXY", &url).env("HTTPS_PROXY", &url);
    let output = cli.run(&["-vv", "--plain-http", "registry.invalid/app:1"]).await;
    output.expect(3, "said the proxy");
    let request = proxy.requests().remove(0);
    assert_eq!(request.line(), "GET http://registry.invalid/v2/app/manifests/1");
    assert!(request.header("proxy-authorization").unwrap().starts_with("Basic "));

    proxy.forget();
    let refused = cli.run(&["-vv", "--retries", "0", "registry.invalid/app:1"]).await;
    assert_eq!(refused.code(), Some(6), "{}", refused.stderr);
    assert_eq!(proxy.lines(), ["CONNECT registry.invalid:443"]);
    for output in [output, refused] {
        assert!(!output.stderr.contains("canary"), "{}", output.stderr);
    }
}

#[tokio::test]
async fn this_machine_and_whom_no_proxy_names_are_asked_directly() {
    let (proxy, registry) = (proxy().await, Registry::start().await);
    image(Family::Oci, "amd64", &[layer(&[("a", b"a")])]).publish(&registry, "app", Some("1"));
    let url = format!("http://{}", proxy.host());
    let cli = Cli::new().env("http_proxy", &url).env("HTTP_PROXY", &url).env("ALL_PROXY", &url);
    cli.run(&[format!("{}:1", registry.repository("app"))]).await.expect(0, "");
    let cli = cli.env("NO_PROXY", "other.invalid, .invalid");
    let output = cli.run(&["--retries", "0", "--plain-http", "registry.invalid/app:1"]).await;
    output.expect(6, "http://registry.invalid/");
    assert!(proxy.requests().is_empty());
}
