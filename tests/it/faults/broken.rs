//! Answers that break off at any byte, or come too slowly, partials of any bytes, and hosts that ask for a credential.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rpull::error::ErrorKind;
use rpull::layout::{Layout, LayoutOptions};
use rpull::reference::Reference;
use rpull::registry::{Client, RegistryOptions, Timeouts};
use rpull::retry::RetryPolicy;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{Journey, Lab, SECRET};
use crate::support::cli::Cli;
use crate::support::fake_registry::{Auth, FakeRegistry, Options};
use crate::support::http::{Fault, Reply, Server};
use crate::support::images::{Blob, Family, assemble, image, layer};

/// Steps through an answer, so that each test is short and all kinds of places are met.
const STEP: usize = 37;

/// The bytes of an answer with this body, as a server sends them.
fn raw(headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let lines = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let (lines, length) = (lines.collect::<String>(), body.len());
    let head = format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// Pulls with the first answer for this path cut after `most` bytes; returns whether that was within it.
async fn pull_with_cut(part_of_line: &str, most: usize) -> bool {
    let lab = Lab::new().await;
    let (part, seen) = (part_of_line.to_owned(), AtomicUsize::new(0));
    lab.disturb(move |request, reply| {
        if !request.line().contains(&part) || seen.fetch_add(1, Ordering::Relaxed) > 0 {
            return None;
        }
        let mut bytes = raw(&reply.headers, &reply.body);
        let is_cut = most < bytes.len();
        bytes.truncate(most);
        is_cut.then(|| reply.clone().fault(Fault::Raw(bytes.into())))
    });
    let ended = lab.run(Journey::Pull).await;
    assert!(ended.error.is_none(), "{part_of_line}, {most} bytes: {:?}", ended.error);
    lab.assert_arrived(Journey::Pull);
    assert_eq!(ended.bytes.resent, 0, "{part_of_line}, {most} bytes");
    lab.faults() == 1
}

#[tokio::test]
async fn response_cut_at_any_byte_is_requested_again() {
    let config = Lab::new().await.held.config.digest().to_string();
    for part_of_line in ["GET /v2/app/manifests/1".to_owned(), format!("/blobs/{config}")] {
        let mut most = 0;
        while pull_with_cut(&part_of_line, most).await {
            most += STEP;
        }
        assert!(most > 5 * STEP, "{part_of_line}: {most}");
    }
    // The token server's.
    let body = br#"{"token": "t", "expires_in": 60}"#;
    for most in (0..raw(&[], body).len()).step_by(STEP / 4) {
        let asked = AtomicUsize::new(0);
        let server = Server::start(move |request| match request.path.as_str() {
            "/token" if asked.fetch_add(1, Ordering::Relaxed) == 0 => {
                let cut = raw(&[], body)[..most].to_vec();
                Reply::new(200, "").fault(Fault::Raw(cut.into()))
            }
            "/token" => Reply::new(200, body.to_vec()),
            _ if request.header("authorization") == Some("Bearer t") => Reply::new(404, "no tags"),
            _ => {
                let host = request.header("host").unwrap();
                let challenge = format!("Bearer realm=\"http://{host}/token\"");
                Reply::new(401, "").header("WWW-Authenticate", challenge)
            }
        })
        .await;
        let error = tags(&server.host(), Duration::from_secs(60), 5).await;
        assert_eq!(error.kind(), ErrorKind::NotFound, "{most} bytes: {error}");
    }
}

/// Asks for the tags of a repository, which fails.
async fn tags(host: &str, headers: Duration, attempts: u32) -> rpull::Error {
    let reference: Reference = format!("{host}/app:1").parse().unwrap();
    let retry = RetryPolicy::default().base_delay(Duration::ZERO).attempts(attempts);
    let timeouts = Timeouts::default().headers(headers);
    let client = Client::new(RegistryOptions::default().retry(retry).timeouts(timeouts));
    client.repository(&reference).unwrap().tags().await.unwrap_err()
}

#[tokio::test]
async fn timeout_slow_headers_fail() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_buf(&mut Vec::with_capacity(4096)).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await.unwrap();
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let error = tags(&host, Duration::from_millis(300), 1).await;
    assert_eq!(error.kind(), ErrorKind::Transport);
    assert!(error.to_string().contains("no response within 0.3 s"), "{error}");
    server.abort();
}

#[tokio::test]
async fn partial_of_any_bytes_is_completed_or_replaced() {
    let right = Lab::new().await.held.layers[0].bytes.to_vec();
    let longer = [&right[..], b"and more"].concat();
    let wrong = vec![b'x'; right.len()];
    for (name, partial, resumed) in [
        ("empty", &right[..0], 0),
        ("a part", &right[..1000], 1000),
        ("all but one", &right[..right.len() - 1], right.len() - 1),
        ("all", &right[..], right.len()),
        ("more", &longer[..], 0),
        ("a wrong part", &wrong[..1000], 0),
        ("all wrong", &wrong[..], 0),
        ("wrong and more", &[&wrong[..], b"x"].concat()[..], 0),
    ] {
        let lab = Lab::new().await;
        drop(Layout::create(&lab.path("store"), LayoutOptions::default()).unwrap());
        let ingest = lab.path("store/ingest");
        std::fs::create_dir_all(&ingest).unwrap();
        let digest = lab.held.layers[0].digest();
        std::fs::write(ingest.join(format!("sha256-{}", digest.encoded())), partial).unwrap();
        let ended = lab.run(Journey::Pull).await;
        assert!(ended.error.is_none(), "{name}: {:?}", ended.error);
        lab.assert_arrived(Journey::Pull);
        assert_eq!(ended.bytes.resumed, resumed as u64, "{name}");
        assert_eq!(std::fs::read_dir(ingest).unwrap().count(), 0, "{name}");
        let requests = lab.from.server.count(digest.as_str());
        assert!(requests <= 2 && (name != "all" || requests == 0), "{name}: {requests}");
    }
}

#[tokio::test]
async fn foreign_layer_challenge_is_not_answered() {
    for challenge in ["Basic realm=\"x\"", "Bearer realm=\"http://HOST/token\",service=\"x\""] {
        let foreign = Server::start(move |request| {
            let host = request.header("host").unwrap_or_default();
            let challenge = challenge.replace("HOST", host);
            Reply::new(401, "").header("WWW-Authenticate", challenge)
        })
        .await;
        let auth = Auth::Basic { user: "user".into(), password: SECRET.into() };
        let registry = FakeRegistry::start_with(Options { auth, ..Options::default() }).await;
        let ordinary = image(Family::Docker, "amd64", &[layer(&[("a", b"a")])]);
        let kind = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        let mut elsewhere = Blob::new(kind.into(), ordinary.layers[0].bytes.clone());
        elsewhere.descriptor.urls = vec![foreign.url("/layer")];
        let held = assemble(Family::Docker, ordinary.config.clone(), vec![elsewhere]);
        registry.blob("app", held.config.bytes.clone());
        held.manifest.publish(&registry, "app", Some("1"));
        let creds = format!("user:{SECRET}");
        let name = registry.repository("app:1");
        let words = ["pull", "-vv", "--foreign-layers", "--creds", &creds, &name];
        let output = Cli::new().run(&words).await;
        assert!(output.code().is_some_and(|code| code != 0), "{}", output.stderr);
        assert!(!output.stderr.contains(SECRET), "{}", output.stderr);
        let requests = foreign.requests();
        assert!(requests.iter().any(|request| request.path == "/layer"));
        let is_bare = |request: &crate::support::http::Request| {
            request.header("authorization").is_none() && request.path == "/layer"
        };
        assert!(requests.iter().all(is_bare), "{:?}", foreign.lines());
    }
}
