//! TLS: invalid certificates, failed handshakes, client certificates, redirects to plain HTTP.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};

use crate::support::certs::{Certs, ClientCert};
use crate::support::cli::Cli;
use crate::support::fake_registry::{FakeRegistry, Options};
use crate::support::http::{Reply, Server};
use crate::support::images::{Family, image, layer};
use crate::support::samples::published;

async fn registry(certs: &Certs, name: &str, client: ClientCert) -> (FakeRegistry, String) {
    let tls = Some(certs.server_config(name, client));
    let registry = FakeRegistry::start_with(Options { tls, ..Options::default() }).await;
    let held = image(Family::Oci, "amd64", &[layer(&[("a", b"a")])]);
    held.publish(&registry, "app", Some("1"));
    let name = format!("{}:1", registry.repository("app"));
    (registry, name)
}

#[tokio::test]
async fn tls_invalid_certificate_is_refused_without_retry() {
    let certs = Certs::new();
    let ca = certs.cert(Certs::CA).to_str().unwrap().to_owned();
    for (name, why) in [(Certs::EXPIRED, "expired"), (Certs::WRONG_HOST, "not valid for name")] {
        let (registry, name) = registry(&certs, name, ClientCert::NotAsked).await;
        let output = Cli::new().run(&["-v", "--ca-file", &ca, &name]).await;
        output.expect(6, why);
        assert!(!output.stderr.contains("retrying"), "{}", output.stderr);
        assert!(registry.server.requests().is_empty(), "nothing is sent, not even plainly");
        Cli::new().run(&["--insecure", &name]).await.expect(0, "");
    }
    let (_registry, name) = registry(&certs, Certs::SERVER, ClientCert::NotAsked).await;
    let strangers = Certs::new();
    let other = strangers.cert(Certs::CA).to_str().unwrap().to_owned();
    Cli::new().run(&["--ca-file", &other, &name]).await.expect(6, "invalid peer certificate");
    Cli::new().run(&["--ca-file", &ca, &name]).await.expect(0, "");
    Cli::new().run(&["--ca-file", "/etc/hostname", &name]).await.expect(4, "/etc/hostname");
}

#[tokio::test]
async fn tls_self_signed_certificate_is_explained() {
    let certs = Certs::new();
    let (_registry, name) = registry(&certs, Certs::CA, ClientCert::NotAsked).await;
    let strangers = Certs::new();
    let other = strangers.cert(Certs::SERVER).to_str().unwrap().to_owned();
    let output = Cli::new().run(&["--ca-file", &other, &name]).await;
    output.expect(6, "invalid peer certificate: self-signed").expect(6, "`--ca-file`");
}

/// A server with the same answer for each connection; sends the first byte of each client to the receiver.
fn parrot(answer: &'static [u8]) -> (SocketAddr, Receiver<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, (tell, told)) = (listener.local_addr().unwrap(), channel());
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut first = [0; 1];
            if stream.read_exact(&mut first).is_ok() {
                _ = tell.send(first[0]);
            }
            drop(stream.write_all(answer));
        }
    });
    (address, told)
}

#[tokio::test]
async fn tls_handshake_failure_falls_back_to_http_only_if_insecure_and_not_tls() {
    let certs = Certs::new();
    let ca = certs.cert(Certs::CA).to_str().unwrap().to_owned();
    let not_tls = &b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..];
    let alert = &b"\x15\x03\x01\x00\x02\x02\x46"[..];
    // 22 begins a TLS handshake, the G of GET is 71.
    for (flags, answer, message, sent) in [
        (&["--ca-file", &ca][..], not_tls, "hint: if the registry uses plain HTTP", &[22][..]),
        (&["--insecure"], alert, "error: manifest app:1", &[22]),
        (&["--insecure"], not_tls, "does not support TLS; using plain HTTP", &[22, 71]),
    ] {
        let (address, told) = parrot(answer);
        let output = Cli::new().run(&[flags, &["-v", &format!("{address}/app:1")]].concat()).await;
        assert!(matches!(output.code(), Some(1 | 6)), "{}", output.stderr);
        assert!(output.stderr.contains(message), "no `{message}` in: {}", output.stderr);
        assert!(!output.stderr.contains("retrying"), "{}", output.stderr);
        assert_eq!(told.try_iter().collect::<Vec<_>>(), sent);
    }
}

#[tokio::test]
async fn tls_client_certificate_is_sent_only_to_registry() {
    let certs = Certs::new();
    let path = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    let (ca, cert) = (path(certs.cert(Certs::CA)), path(certs.cert(Certs::CLIENT)));
    let key = path(certs.key(Certs::CLIENT));
    let (registry, name) = registry(&certs, Certs::SERVER, ClientCert::Required).await;
    let cdn_tls = certs.server_config(Certs::SERVER, ClientCert::Asked);
    let cdn = Server::start_with(Some(cdn_tls), |_| Reply::new(404, "nothing here")).await;
    let elsewhere = cdn.url("/blob?signature=secret");
    registry.override_response("/blobs/", 0..1, move |_| {
        Reply::new(307, "").header("Location", elsewhere.clone())
    });

    let tls = ["--ca-file", &ca, "--cert-file", &cert, "--key-file", &key];
    let cli = Cli::new();
    let output = cli.run(&[&tls[..], &[&name]].concat()).await;
    output.expect(3, "404 not found");
    assert!(!output.stderr.contains("secret"), "{}", output.stderr);
    assert!(registry.server.requests().iter().all(|request| request.client_certificate));
    assert!(!cdn.requests().is_empty());
    assert!(cdn.requests().iter().all(|request| !request.client_certificate));
    cli.run(&[&tls[..], &[&name]].concat()).await.expect(0, "");

    // From the directory of the host, as docker does.
    let cli = Cli::new();
    let dir = cli.home().join(".config/containers/certs.d").join(registry.server.host());
    std::fs::create_dir_all(&dir).unwrap();
    for (from, to) in [(&ca, "ca.crt"), (&cert, "client.cert"), (&key, "client.key")] {
        std::fs::copy(from, dir.join(to)).unwrap();
    }
    cli.run(&[&name]).await.expect(0, "");
    std::fs::remove_file(dir.join("client.key")).unwrap();
    cli.run(&[&name]).await.expect(4, "client.key");
}

#[tokio::test]
async fn redirect_from_https_to_http_is_refused() {
    let certs = Certs::new();
    let ca = certs.cert(Certs::CA).to_str().unwrap().to_owned();
    let (registry, name) = registry(&certs, Certs::SERVER, ClientCert::NotAsked).await;
    let plain = Server::start(|_| Reply::new(200, "x")).await;
    let target = plain.url("/blob");
    registry.override_response("/blobs/", 0..9, move |_| {
        Reply::new(307, "").header("Location", target.clone())
    });
    Cli::new().run(&["--ca-file", &ca, &name]).await.expect(6, "from https to http://");
    let realm = format!("Bearer realm=\"{}\"", plain.url("/token"));
    registry.override_response("/manifests/", 0..9, move |_| {
        Reply::new(401, "").header("WWW-Authenticate", realm.clone())
    });
    Cli::new()
        .run(&["--ca-file", &ca, "--creds", "u:canary", &name])
        .await
        .expect(4, "not an https URL");
    assert!(plain.requests().is_empty());
}

#[tokio::test]
async fn upload_location_with_http_scheme_keeps_tls_port() {
    let certs = Certs::new();
    let ca = certs.cert(Certs::CA).to_str().unwrap().to_owned();
    let (registry, _) = registry(&certs, Certs::SERVER, ClientCert::NotAsked).await;
    let (_from, _, name) = published().await;
    let (cli, name) = (Cli::new(), name + ":1");
    cli.run(&[&name]).await.expect(0, "");
    // A registry behind a TLS proxy sees http, and a Host without a port.
    let host = registry.server.host().rsplit_once(':').unwrap().0.to_owned();
    registry.override_response("POST /v2/other/blobs/uploads/", 0..99, move |reply| {
        let location = reply.headers.iter().find(|(name, _)| name == "Location").cloned();
        let (_, path) = location.unwrap();
        reply.without("Location").header("Location", format!("http://{host}{path}"))
    });
    let target = registry.repository("other") + ":1";
    cli.run(&["push", "--ca-file", &ca, &name, &target]).await.expect(0, "transferred");
    assert!(registry.tagged("other", "1").is_some());
}

#[tokio::test]
async fn insecure_applies_to_token_server_and_redirect() {
    let certs = Certs::new();
    let tls = |name: &str| Some(certs.server_config(name, ClientCert::NotAsked));
    let held = image(Family::Oci, "amd64", &[layer(&[("a", b"a")])]);
    let blob = held.layers[0].bytes.clone();
    let cdn = Server::start_with(tls(Certs::EXPIRED), move |request| match request.path.as_str() {
        "/token" => Reply::json(200, &serde_json::json!({"token": "t"})),
        _ => Reply::new(200, blob.clone()),
    })
    .await;
    let (realm, elsewhere) = (cdn.url("/token"), cdn.url("/blob"));
    let layer = held.layers[0].digest().to_string();
    let registry = Server::start_with(tls(Certs::WRONG_HOST), move |request| {
        let path = request.path.as_str();
        let manifest = &held.manifest;
        match request.header("authorization") {
            None => {
                Reply::new(401, "").header("WWW-Authenticate", format!("Bearer realm=\"{realm}\""))
            }
            Some(_) if path.ends_with(&layer) => {
                Reply::new(307, "").header("Location", elsewhere.clone())
            }
            Some(_) if path.contains("/blobs/") => Reply::new(200, held.config.bytes.clone()),
            Some(_) => Reply::new(200, manifest.bytes.clone())
                .header("Content-Type", manifest.descriptor.media_type.as_str()),
        }
    })
    .await;
    let name = format!("{}/app:1", registry.host());
    Cli::new().run(&["--insecure", &name]).await.expect(0, "");
    assert_eq!(cdn.lines().len(), 2, "{:?}", cdn.lines());
}
