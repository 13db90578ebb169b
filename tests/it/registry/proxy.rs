//! Proxies of the environment: used for remote registries, never for loopback, without showing their passwords.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::{Reply, Server};
use crate::support::images::{Family, image, layer};

/// Starts a proxy that answers 404 and records its requests.
async fn proxy() -> Server {
    Server::start(|_| Reply::error(404, "NAME_UNKNOWN", "said the proxy")).await
}

#[tokio::test]
async fn proxy_is_used_and_its_password_hidden() {
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
async fn proxy_is_bypassed_for_loopback_and_no_proxy() {
    let (proxy, registry) = (proxy().await, FakeRegistry::start().await);
    image(Family::Oci, "amd64", &[layer(&[("a", b"a")])]).publish(&registry, "app", Some("1"));
    let url = format!("http://{}", proxy.host());
    let cli = Cli::new().env("http_proxy", &url).env("HTTP_PROXY", &url).env("ALL_PROXY", &url);
    cli.run(&[format!("{}:1", registry.repository("app"))]).await.expect(0, "");
    let cli = cli.env("NO_PROXY", "other.invalid, .invalid");
    let output = cli.run(&["--retries", "0", "--plain-http", "registry.invalid/app:1"]).await;
    output.expect(6, "http://registry.invalid/");
    assert!(proxy.requests().is_empty());
}

#[tokio::test]
async fn no_proxy_patterns_and_empty_variables_are_honoured() {
    let proxy = proxy().await;
    let url = format!("http://{}", proxy.host());
    let run = async |variables: &[(&str, &str)]| {
        let mut cli = Cli::new().env("http_proxy", &url);
        for (name, value) in variables {
            cli = cli.env(name, *value);
        }
        cli.run(&["--retries", "0", "--plain-http", "a.registry.invalid:5000/app:1"]).await
    };
    for direct in [
        &[("no_proxy", "*.invalid")][..],
        &[("no_proxy", "registry.invalid:5000")],
        &[("NO_PROXY", ""), ("no_proxy", "*.registry.invalid")],
    ] {
        let output = run(direct).await;
        output.expect(6, "http://a.registry.invalid:5000/");
        let words = ["host not found", "temporary failure"];
        assert!(words.iter().any(|words| output.stderr.contains(words)), "{}", output.stderr);
        assert!(proxy.requests().is_empty(), "{direct:?}");
    }
    for proxied in [&[("no_proxy", "*.registry.invalid:80")][..], &[("HTTP_PROXY", "")]] {
        run(proxied).await.expect(3, "said the proxy");
    }
}

/// Starts a SOCKS5 proxy that always connects to `target`; returns its address and the requested names.
async fn socks(
    target: std::net::SocketAddr,
) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut greeting = [0; 2];
                client.read_exact(&mut greeting).await?;
                let mut methods = vec![0; greeting[1].into()];
                client.read_exact(&mut methods).await?;
                client.write_all(&[5, 0]).await?;
                // Version, command, reserved, address type (name), length.
                let mut head = [0; 5];
                client.read_exact(&mut head).await?;
                assert_eq!(head[..4], [5, 1, 0, 3]);
                let mut name = vec![0; usize::from(head[4]) + 2];
                client.read_exact(&mut name).await?;
                let port = name.split_off(name.len() - 2);
                let port = u16::from_be_bytes([port[0], port[1]]);
                drop(tell.send(format!("{}:{port}", String::from_utf8_lossy(&name))));
                client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]).await?;
                copy_bidirectional(&mut client, &mut TcpStream::connect(target).await?).await
            });
        }
    });
    (address, told)
}

#[tokio::test]
async fn proxy_socks5_resolves_registry_name() {
    let registry = FakeRegistry::start().await;
    image(Family::Oci, "amd64", &[layer(&[("a", b"a")])]).publish(&registry, "app", Some("1"));
    for scheme in ["socks5", "socks5h"] {
        let (address, mut told) = socks(registry.server.address()).await;
        let cli = Cli::new().env("http_proxy", format!("{scheme}://{address}"));
        cli.run(&["--plain-http", "registry.invalid:5000/app:1"]).await.expect(0, "");
        assert_eq!(told.recv().await.unwrap(), "registry.invalid:5000");
    }
}

#[tokio::test]
async fn proxy_failure_names_its_variable() {
    for (value, words) in [
        (
            "socks5://user:canary@127.0.0.1:1",
            "(through the proxy socks5://127.0.0.1:1 of http_proxy)",
        ),
        ("http://user:canary@127.0.0.1:1", "(through the proxy http://127.0.0.1:1 of http_proxy)"),
        (
            "gopher://user:canary@127.0.0.1:1",
            "proxy: http_proxy: unsupported proxy scheme `gopher`",
        ),
        ("http://canary canary", "proxy: http_proxy: invalid proxy URL"),
    ] {
        let cli = Cli::new().env("http_proxy", value);
        let output = cli.run(&["--retries", "0", "--plain-http", "registry.invalid/app:1"]).await;
        output.expect(6, words);
        assert!(!output.stderr.contains("canary"), "{}", output.stderr);
    }
}
