//! Malicious and malformed requests to `rpull serve`.

use std::time::Duration;

use proptest::prelude::*;
use rpull::digest::Digest;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::cli::Cli;
use crate::support::samples::versions;
use crate::support::serve_process::ServeProcess;
use crate::support::served_store::{ServedStore, ask, say};

/// Sends these bytes and returns everything received.
async fn converse(host: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(host).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    let talk = async {
        let _early = writer.write_all(bytes).await;
        let _gone = writer.shutdown().await;
        let _reset = reader.read_to_end(&mut answer).await;
    };
    tokio::time::timeout(Duration::from_secs(60), talk).await.expect("an end");
    answer
}

/// Returns the status of the first response; 0 if there is none.
fn status(answer: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(answer);
    let word = text.strip_prefix("HTTP/1.1 ").or_else(|| text.strip_prefix("HTTP/1.0 "));
    word.and_then(|rest| rest.get(..3)).map_or(0, |digits| digits.parse().unwrap())
}

/// Paths out of the store, in several encodings.
const OUTWARDS: &[&str] = &[
    "/v2/../../etc/passwd",
    "/v2/a/blobs/../../../../outside",
    "/v2/a/blobs/..%2f..%2f..%2foutside",
    "/v2/a/blobs/%2e%2e/%2e%2e/outside",
    "/v2/a/blobs/sha256:../../../outside",
    "/v2/a/blobs/sha256:..%2F..%2F..%2Foutside",
    "/v2/a/blobs/sha256%3A%2e%2e",
    "/v2/a/blobs/sha256/..:x",
    "/v2/a/manifests/../../../outside",
    "/v2/a/manifests/..%2foutside",
    "/v2/a/manifests/%2e%2e",
    "/v2/a/blobs/uploads/../../../outside",
    "/v2/a/blobs/uploads/..%2foutside",
    "/v2/a/referrers/../outside",
    "/v2/%2e%2e/%2e%2e/tags/list",
    "/v2/a/../../tags/list",
    "/v2//etc/passwd/tags/list",
    "/v2/a%00b/tags/list",
    "/v2/a/blobs/sha256:%00",
    "/v2/a\\..\\b/tags/list",
];

/// Returns paths to an existing blob by malformed digests.
fn misspelt(hex: &str) -> Vec<String> {
    vec![
        format!("/v2/a/blobs/SHA256:{hex}"),
        format!("/v2/a/blobs/sha256:{}", hex.to_uppercase()),
        format!("/v2/a/blobs/sha256:{hex}0"),
        format!("/v2/a/blobs/sha256:{}", &hex[1..]),
        format!("/v2/a/blobs/sha256:{hex}/"),
        format!("/v2/a/blobs/sha256:{hex}/.."),
        format!("/v2/a/blobs/sha256:{hex}%20"),
        format!("/v2/a/blobs/sha256:%{hex}"),
        format!("/v2/a/blobs/sha256::{hex}"),
        format!("/v2/a/blobs/sha256-{hex}"),
        format!("/v2/a/blobs/sha512:{hex}"),
        format!("/v2/a/blobs/sha256+b64:{hex}"),
        format!("/v2/a/blobs/{hex}"),
        format!("/v2/a/blobs/blake3:{hex}"),
        format!("//v2/a/blobs/sha256:{hex}"),
        format!("/v2/./a/blobs/sha256:{hex}"),
        format!("/V2/a/blobs/sha256:{hex}"),
        format!("/v2/{}/tags/list", "a/".repeat(5000)),
        format!("/v2/a/manifests/{}", "1".repeat(100_000)),
    ]
}

#[tokio::test]
async fn path_traversal_is_rejected() {
    let (served, [held, _]) = (ServedStore::start().await, versions());
    served.push("a", Some("1"), &held).await;
    let outside = served.root().with_file_name("outside");
    std::fs::write(&outside, "of the server's owner").unwrap();
    let misspelt = misspelt(held.config.digest().encoded());
    for path in OUTWARDS.iter().copied().chain(misspelt.iter().map(String::as_str)) {
        for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "POST"] {
            let answer = served.ask(&format!("{method} {path}"), &[], b"").await;
            let refused = [400, 404, 405, 414].contains(&answer.status);
            assert!(refused, "{method} {path}: {}", answer.status);
            assert!(!String::from_utf8_lossy(&answer.body).contains("owner"));
        }
    }
    let digests = ["../../outside", "sha256:../../../outside", "sha256:%2e%2e", "", ":", "sha256:"];
    for digest in digests {
        for line in [
            format!("POST /v2/a/blobs/uploads/?mount={digest}&from=../.."),
            format!("POST /v2/a/blobs/uploads/?digest={digest}"),
            format!("PUT {}?digest={digest}", served.session("a").await),
        ] {
            let answer = served.ask(&line, &[], b"").await;
            // An empty parameter is ignored: a session is opened.
            let expected = if digest.is_empty() && line.starts_with("POST") { 202 } else { 400 };
            assert_eq!(answer.status, expected, "{line}");
        }
    }
    assert_eq!(std::fs::read(&outside).unwrap(), b"of the server's owner");
    served.get("/v2/a/manifests/1").await.expect(200, "");
}

#[tokio::test]
async fn layout_names_invalid_as_repository_are_not_served() {
    let (served, [held, _]) = (ServedStore::start().await, versions());
    served.push("a", Some("1"), &held).await;
    let path = served.root().join("index.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut entries = vec![text.clone()];
    for name in [
        "../../x:1",
        "localhost/..:1",
        "localhost/a:",
        "localhost/A:1",
        "<script>",
        "a\\nb",
        "localhost/a:1\\u0000",
        "[::1]:5000/a:1",
        "localhost/a:../x",
        "short",
    ] {
        entries.push(text.replace("localhost/a:1", name));
    }
    let entries = entries.iter().map(|text| {
        let (_, list) = text.split_once("\"manifests\":[").unwrap();
        list.split_once("}}]").map(|(entry, _)| format!("{entry}}}}}")).unwrap()
    });
    let entries: Vec<String> = entries.collect();
    let new = format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", entries.join(","));
    std::fs::write(path.with_extension("new"), new).unwrap();
    std::fs::rename(path.with_extension("new"), &path).unwrap();
    let catalog = served.get("/v2/_catalog").await;
    assert_eq!(catalog.json(), serde_json::json!({"repositories": ["a"]}));
    assert_eq!(served.get("/v2/a/tags/list").await.json()["tags"], serde_json::json!(["1"]));
}

#[tokio::test]
async fn malformed_or_oversized_header_is_rejected() {
    let served = ServedStore::start().await;
    let get = |headers: &str| {
        format!("GET /v2/ HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").into_bytes()
    };
    let many = "X: y\r\n".repeat(2000);
    for (what, bytes, expected) in [
        ("no version", b"GET /v2/\r\n\r\n".to_vec(), &[400][..]),
        ("another version", b"GET /v2/ HTTP/9.9\r\n\r\n".to_vec(), &[400, 505]),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[400, 505, 0]),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), &[400]),
        ("no method", b" /v2/ HTTP/1.1\r\n\r\n".to_vec(), &[400]),
        ("a blank in a name", get("Bad Header: x\r\n"), &[400]),
        ("a folded line", get("X: a\r\n b\r\n"), &[400]),
        ("a NUL", get("X: a\0b\r\n"), &[400]),
        ("two lengths", get("Content-Length: 1\r\nContent-Length: 2\r\n"), &[400]),
        ("no length", get("Content-Length: x\r\n"), &[400]),
        ("less than nothing", get("Content-Length: -1\r\n"), &[400]),
        ("too long a number", get("Content-Length: 99999999999999999999999\r\n"), &[400]),
        (
            "length and chunks",
            get("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
            &[200, 400],
        ),
        ("a strange coding", get("Transfer-Encoding: gzip\r\n"), &[400]),
        ("many headers", get(&many), &[431]),
        ("a long header", get(&format!("X: {}\r\n", "y".repeat(1 << 20))), &[431]),
        (
            "a long path",
            format!("GET /{} HTTP/1.1\r\n\r\n", "y".repeat(1 << 20)).into(),
            &[414, 431],
        ),
        ("bytes", (0..=255).collect(), &[400]),
        ("nothing", Vec::new(), &[0]),
    ] {
        let answer = converse(served.host(), &bytes).await;
        assert!(expected.contains(&status(&answer)), "{what}: {}", status(&answer));
        served.get("/v2/").await.expect(200, "");
    }
}

#[tokio::test]
async fn unusual_target_or_method_is_answered() {
    let served = ServedStore::start().await;
    for (line, expected) in [
        ("GET http://localhost/v2/", 200),
        ("GET http://elsewhere.example/v2/", 421),
        ("GET *", 404),
        ("OPTIONS *", 404),
        ("CONNECT evil.example:443", 421),
        ("BREW /v2/", 405),
        ("GET /v2/?", 200),
        ("GET /v2/_catalog?n=1&n=x&&=&%ff=%", 200),
        ("GET /v2/#x", 200),
    ] {
        let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let found = status(&converse(served.host(), request.as_bytes()).await);
        assert!(found == expected || found == 400, "{line}: {found}");
    }
    let old = converse(served.host(), b"GET /v2/ HTTP/1.0\r\n\r\n").await;
    assert_eq!(status(&old), 200);
}

#[tokio::test]
async fn body_with_wrong_length_commits_nothing() {
    let served = ServedStore::start().await;
    let digest = Digest::sha256(b"0123456789");
    let put = async |headers: &str, body: &str| {
        let session = served.session("a").await;
        let head = format!(
            "PUT {session}?digest={digest} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}"
        );
        status(&converse(served.host(), head.as_bytes()).await)
    };
    for (headers, body) in [
        ("Content-Length: 20\r\n", "0123456789"),
        ("Content-Length: 18446744073709551615\r\n", "0123456789"),
        ("Content-Length: 5\r\n", "0123456789"),
        ("Transfer-Encoding: chunked\r\n", "a\r\n0123456789\r\n"),
        ("Transfer-Encoding: chunked\r\n", "a\r\n0123456789"),
        ("Transfer-Encoding: chunked\r\n", "ff\r\n0123456789\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "-1\r\n0123456789\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "ffffffffffffffffff\r\n0123456789\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "zz\r\n0123456789\r\n0\r\n\r\n"),
    ] {
        let found = put(headers, body).await;
        assert!([0, 400, 431].contains(&found), "{headers}{body}: {found}");
        assert!(!served.path_of(&digest).exists(), "{headers}{body}");
    }
    // The bytes after it are the next request.
    assert_eq!(put("Content-Length: 10\r\n", "0123456789GET /v2/ HTTP/1.1\r\n\r\n").await, 201);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let served = ServedStore::start().await;
    let digest = served.blob("a", b"blob").await;
    let one = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let text = String::from_utf8(converse(served.host(), one.repeat(50).as_bytes()).await).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200").count(), 50);
    let mut stream = TcpStream::connect(served.host()).await.unwrap();
    for _ in 0..3 {
        let answer = say(&mut stream, one.as_bytes()).await.unwrap();
        assert_eq!(answer.expect(200, "").body, b"blob");
    }
}

/// Generates bytes between valid requests and noise.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let method = "GET|HEAD|PUT|POST|PATCH|DELETE|OPTIONS|[A-Z]{0,5}|\\PC{0,3}";
    let word = "a|v2|blobs|uploads|manifests|tags|list|referrers|_catalog|%2e%2e|\\.\\.|sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a|sha256:|:|%3A|[0-9a-f]{32}|\\PC{0,4}";
    let path =
        proptest::collection::vec(word, 0..7).prop_map(|words| format!("/{}", words.join("/")));
    let query = "|\\?(n|last|digest|mount|from|ns|artifactType)=(|-?[0-9]{1,20}|sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a|[&=%+]{0,4}|\\PC{0,5})";
    let header = "(Range: bytes=[0-9-]{0,6}|Content-Range: [0-9-]{0,8}|Content-Length: [0-9]{0,3}|Transfer-Encoding: chunked|Expect: 100-continue|Authorization: Basic [a-zA-Z0-9=]{0,8}|If-Range: \"x\"|Content-Type: (application/vnd.oci.image.manifest.v1\\+json|[a-z/]{0,9})|[A-Za-z-]{0,8}:? ?[ -~]{0,8})\r\n";
    let headers = proptest::collection::vec(header, 0..4);
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..80),
        "\\{\"schemaVersion\":2,\"(manifests|layers|config|subject)\":(\\[\\]|\\{\\}|null)\\}"
            .prop_map(String::into_bytes),
        "[0-9a-f]{1,4}\r\n[a-z]{0,20}\r\n0\r\n\r\n".prop_map(String::into_bytes),
    ];
    let honest =
        (method, path, query, headers, body).prop_map(|(method, path, query, headers, body)| {
            let head = format!(
                "{method} {path}{query} HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
                headers.concat()
            );
            [head.as_bytes(), &body].concat()
        });
    prop_oneof![9 => honest, 1 => proptest::collection::vec(any::<u8>(), 0..400)]
}

#[test]
fn arbitrary_bytes_do_not_stop_server() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cli = Cli::new();
    let serving = runtime.block_on(ServeProcess::start(&cli));
    let config =
        ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(bytes in request())| {
        runtime.block_on(async {
            converse(serving.host(), &bytes).await;
            ask(serving.host(), "GET /v2/", &[], b"").await.expect(200, "");
        });
    });
    let output = runtime.block_on(serving.end(Signal::TERM));
    assert!(!output.expect(0, "").stderr.contains("panicked"), "{}", output.stderr);
}
