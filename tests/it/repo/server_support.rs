//! Tests of the support: servers do what other tests rely on.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use crate::support::certs::{Certs, ClientCert};
use crate::support::fake_registry::{Auth, Bearer, FakeRegistry, Options};
use crate::support::http::{Fault, Reply, Server};
use crate::support::images::{Family, image, index, layer, random_blob};

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Sends one request on a new connection; returns everything received and how the connection ended. A connection that
/// must stall is read for a short time only after the expected bytes have arrived.
fn exchange(server: &Server, body: &str, stalls: bool) -> (Vec<u8>, std::io::Result<usize>) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    if stalls {
        while !body.is_empty() && !answer.ends_with(format!("\r\n\r\n{body}").as_bytes()) {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.extend(byte);
        }
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    }
    let end = stream.read_to_end(&mut answer);
    let head = answer.windows(4).position(|w| w == b"\r\n\r\n");
    (answer.split_off(head.map_or(0, |at| at + 4)), end)
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_breaks_body_at_its_byte() {
    use std::io::ErrorKind::{ConnectionReset, WouldBlock};
    for (fault, body, end) in [
        (Fault::Cut(3), "abc", None),
        (Fault::Reset(3), "abc", Some(ConnectionReset)),
        (Fault::Stall(3), "abc", Some(WouldBlock)),
        (Fault::ContentLength(vec!["9".into(), "7".into()]), "abcdef", None),
        (Fault::NoLength, "abcdef", None),
        (Fault::ChunkedUnfinished(4), "4\r\nabcd\r\n2\r\nef\r\n", None),
        (Fault::Raw("junk".into()), "junk", None),
        (Fault::Silence, "", Some(WouldBlock)),
        (Fault::HangUp, "", None),
    ] {
        let reply = Reply::new(200, "abcdef").fault(fault.clone());
        let server = Server::start(move |_| reply.clone()).await;
        let (got, ended) = exchange(&server, body, end == Some(WouldBlock));
        assert_eq!(String::from_utf8_lossy(&got), body, "{fault:?}");
        assert_eq!(ended.err().map(|error| error.kind()), end, "{fault:?}");
        assert_eq!(server.lines(), ["GET /a?b=c"]);
    }
}

#[tokio::test]
async fn slow_and_chunked_responses_share_one_connection() {
    let server = Server::start(|request| {
        let reply = Reply::new(200, "abcdef");
        match request.path.as_str() {
            "/slow" => reply.fault(Fault::Slow(2, Duration::from_millis(20))),
            "/chunked" => reply.fault(Fault::Chunked(4)),
            _ => reply,
        }
    })
    .await;
    let client = client();
    for path in ["/", "/slow", "/chunked"] {
        let answer = client.get(server.url(path)).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "abcdef");
    }
    assert!(server.requests().iter().all(|request| request.connection == 0));
}

#[tokio::test]
async fn fake_registry_serves_content_and_ranges() {
    let registry = FakeRegistry::start_with(Options { page: Some(2), ..Options::default() }).await;
    let amd64 = image(Family::Oci, "amd64", &[layer(&[("hello", b"hi")])]);
    let both = index(Family::Oci, &[("amd64", amd64.clone())]);
    both.publish(&registry, "a/b", "latest");
    for tag in ["v1", "v2"] {
        amd64.publish(&registry, "a/b", Some(tag));
    }
    let get = |path: &str| client().get(registry.server.url(path));

    let answer = get("/v2/a/b/manifests/latest").send().await.unwrap();
    assert_eq!(answer.headers()["docker-content-digest"], both.document.digest().as_str());
    assert_eq!(answer.bytes().await.unwrap(), both.document.bytes);

    let page = get("/v2/a/b/tags/list").send().await.unwrap();
    let next = page.headers()["link"].to_str().unwrap().to_owned();
    assert_eq!(next, "</v2/a/b/tags/list?last=v1&n=2>; rel=\"next\"");
    let rest = get("/v2/a/b/tags/list?last=v1&n=2").send().await.unwrap();
    assert_eq!(rest.text().await.unwrap(), r#"{"name":"a/b","tags":["v2"]}"#);

    let bytes = random_blob(10, 1);
    let blob = format!("/v2/a/b/blobs/{}", registry.blob("a/b", bytes.clone()));
    let part = get(&blob).header("Range", "bytes=4-7").send().await.unwrap();
    assert_eq!(part.headers()["content-range"], "bytes 4-7/10");
    assert_eq!(part.bytes().await.unwrap(), &bytes[4..8]);
    let beyond = get(&blob).header("Range", "bytes=10-").send().await.unwrap();
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    let head = client().head(registry.server.url(&blob)).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], "10");

    registry.override_response("/blobs/", 1..2, |reply| reply.fault(Fault::Cut(5)));
    assert!(get(&blob).send().await.unwrap().bytes().await.is_ok());
    assert!(get(&blob).send().await.unwrap().bytes().await.is_err());
    assert!(get(&blob).send().await.unwrap().bytes().await.is_ok());
    assert_eq!(registry.server.count("GET /v2/a/b/blobs/"), 5);
}

#[tokio::test]
async fn fake_registry_counts_uses_of_token() {
    let registry = FakeRegistry::start_with(Options {
        auth: Auth::Bearer(Bearer {
            credentials: Some("user:pass".into()),
            elsewhere: true,
            uses: 1,
            ..Bearer::default()
        }),
        blobs_elsewhere: true,
        ..Options::default()
    })
    .await;
    let digest = registry.blob("a", "blob");
    let url = registry.server.url(&format!("/v2/a/blobs/{digest}"));
    let refused = client().get(&url).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let realm = registry.tokens.as_ref().unwrap().url("/token");
    assert_eq!(
        refused.headers()["www-authenticate"],
        *format!("Bearer realm=\"{realm}\",service=\"test-registry\",scope=\"repository:a:pull\"")
    );

    let ask = client().get(format!("{realm}?service=test-registry&scope=repository%3Aa%3Apull"));
    let answer = ask.basic_auth("user", Some("pass")).send().await.unwrap();
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let token = answer["token"].as_str().unwrap();
    let blob = client().get(&url).bearer_auth(token).send().await.unwrap();
    assert_eq!(blob.text().await.unwrap(), "blob");
    let worn_out = client().get(&url).bearer_auth(token).send().await.unwrap();
    assert_eq!(worn_out.status(), StatusCode::UNAUTHORIZED);

    let signed =
        registry.blobs.as_ref().unwrap().url(&format!("/signed/a/{digest}?signature=secret"));
    let leaked = client().get(signed).bearer_auth(token).send().await.unwrap();
    assert_eq!(leaked.status(), StatusCode::BAD_REQUEST);
    assert_eq!(registry.token_requests().len(), 1);
}

#[tokio::test]
async fn certificates_are_valid_or_invalid_as_named() {
    let certs = Certs::new();
    let read = |path| std::fs::read(path).unwrap();
    let ca = reqwest::Certificate::from_pem(&read(certs.cert(Certs::CA))).unwrap();
    let identity = [read(certs.cert(Certs::CLIENT)), read(certs.key(Certs::CLIENT))].concat();
    let identity = reqwest::Identity::from_pem(&identity).unwrap();
    let client = || reqwest::Client::builder().no_proxy().tls_certs_only([ca.clone()]);
    let plain = client().build().unwrap();
    let known = client().identity(identity).build().unwrap();

    for (name, good) in [(Certs::SERVER, true), (Certs::EXPIRED, false), (Certs::WRONG_HOST, false)]
    {
        let tls = certs.server_config(name, ClientCert::Asked);
        let server = Server::start_with(Some(tls), |_| Reply::new(200, "")).await;
        assert_eq!(plain.get(server.url("/")).send().await.is_ok(), good, "{name}");
        assert_eq!(known.get(server.url("/")).send().await.is_ok(), good, "{name}");
        let shown: Vec<bool> =
            server.requests().iter().map(|request| request.client_certificate).collect();
        assert_eq!(shown, if good { vec![false, true] } else { vec![] });
    }
    let tls = certs.server_config(Certs::SERVER, ClientCert::Required);
    let server = Server::start_with(Some(tls), |_| Reply::new(200, "")).await;
    assert!(plain.get(server.url("/")).send().await.is_err());
    assert!(known.get(server.url("/")).send().await.is_ok());
}
