//! Pulling blobs from `rpull serve`.

use rpull::digest::Digest;

use crate::support::images::random_blob;
use crate::support::served_store::ServedStore;

#[tokio::test]
async fn blob_get_and_head_return_content_and_headers() {
    let (served, bytes) = (ServedStore::start().await, random_blob(700_000, 1));
    let digest = served.blob("team/app", &bytes).await;
    let target = format!("/v2/team/app/blobs/{digest}");
    for method in ["GET", "HEAD"] {
        let answer = served.ask(&format!("{method} {target}"), &[], b"").await;
        answer.expect(200, "");
        assert_eq!(answer.header("Content-Length"), Some("700000"));
        assert_eq!(answer.header("Docker-Content-Digest"), Some(digest.as_str()));
        assert_eq!(answer.header("Content-Type"), Some("application/octet-stream"));
        assert_eq!(answer.header("Accept-Ranges"), Some("bytes"));
        assert_eq!(answer.header("Docker-Distribution-Api-Version"), Some("registry/2.0"));
        if method == "GET" {
            assert!(answer.body == bytes);
        }
    }
    let escaped = target.replace(':', "%3A");
    served.get(&escaped).await.expect(200, "");
    // Another repository does not have it.
    served.get(&format!("/v2/other/blobs/{digest}")).await.expect(404, "BLOB_UNKNOWN");

    let empty = served.blob("team/app", b"").await;
    let answer = served.get(&format!("/v2/team/app/blobs/{empty}")).await;
    assert_eq!(answer.expect(200, "").header("Content-Length"), Some("0"));
}

#[tokio::test]
async fn blob_missing_or_malformed_request_has_error_code() {
    let served = ServedStore::start().await;
    let digest = Digest::sha256(b"missing content");
    let target = format!("/v2/a/blobs/{digest}");
    served.get(&target).await.expect(404, "BLOB_UNKNOWN");
    assert_eq!(served.ask(&format!("HEAD {target}"), &[], b"").await.status, 404);
    for (line, status, code) in [
        ("GET /v2/a/blobs/sha256:zz", 404, "DIGEST_INVALID"),
        ("GET /v2/a/blobs/md5:d41d8cd98f00b204e9800998ecf8427e", 404, "DIGEST_INVALID"),
        ("GET /v2/A/blobs/sha256:zz", 404, "DIGEST_INVALID"),
        ("GET /v2/A/tags/list", 404, "NAME_INVALID"),
        ("POST /v2/A/blobs/uploads/", 404, "NAME_INVALID"),
        ("GET /v2/a/referrers/sha256:zz", 400, "DIGEST_INVALID"),
        ("GET /v2/a", 404, "UNSUPPORTED"),
        ("GET /", 404, "UNSUPPORTED"),
        ("POST /v2/", 405, "UNSUPPORTED"),
        ("POST /v2/a/tags/list", 405, "UNSUPPORTED"),
        ("TRACE /v2/_catalog", 405, "UNSUPPORTED"),
    ] {
        served.ask(line, &[], b"").await.expect(status, code);
    }
    served.ask(&format!("PUT {target}"), &[], b"").await.expect(405, "UNSUPPORTED");
    served.ask(&format!("DELETE {target}"), &[], b"").await.expect(404, "BLOB_UNKNOWN");
    let base = served.get("/v2/").await;
    assert_eq!(base.expect(200, "").body, b"{}");
}

#[tokio::test]
async fn range_request_returns_any_part() {
    let (served, bytes) = (ServedStore::start().await, random_blob(600_000, 2));
    let target = format!("/v2/a/blobs/{}", served.blob("a", &bytes).await);
    let ask =
        async |range: &str| served.ask(&format!("GET {target}"), &[("Range", range)], b"").await;
    for (range, first, last) in [
        ("bytes=0-", 0, 599_999),
        ("bytes=0-0", 0, 0),
        ("bytes=100-299999", 100, 299_999),
        ("bytes=599999-", 599_999, 599_999),
        ("bytes=300000-900000", 300_000, 599_999),
        ("bytes=-5", 599_995, 599_999),
        ("bytes=-9999999", 0, 599_999),
    ] {
        let answer = ask(range).await;
        let told = format!("bytes {first}-{last}/600000");
        assert_eq!(answer.expect(206, "").header("Content-Range"), Some(told.as_str()), "{range}");
        assert!(answer.body == bytes[first..=last], "{range}");
    }
    for range in ["bytes=600000-", "bytes=-0", "bytes=700000-800000", "bytes=5-3"] {
        let answer = ask(range).await;
        answer.expect(416, "SIZE_INVALID");
        assert_eq!(answer.header("Content-Range"), Some("bytes */600000"), "{range}");
    }
    for range in ["bytes=0-1,3-4", "lines=0-1", "bytes=", "x"] {
        assert!(ask(range).await.expect(200, "").body == bytes, "{range}");
    }
}

#[tokio::test]
async fn range_is_ignored_for_head_and_other_etag() {
    let (served, bytes) = (ServedStore::start().await, random_blob(1000, 3));
    let digest = served.blob("a", &bytes).await;
    let target = format!("/v2/a/blobs/{digest}");
    // RFC 9110, 14.2: for other methods the header is ignored.
    let head = served.ask(&format!("HEAD {target}"), &[("Range", "bytes=5-9")], b"").await;
    assert_eq!(head.expect(200, "").header("Content-Length"), Some("1000"));
    let head = served.ask(&format!("HEAD {target}"), &[("Range", "bytes=5000-")], b"").await;
    head.expect(200, "");
    let (get, own) = (format!("GET {target}"), format!("\"{digest}\""));
    for (held, status) in [(own.as_str(), 206), ("\"other\"", 200), ("W/\"x\"", 200)] {
        let headers = [("Range", "bytes=5-9"), ("If-Range", held)];
        served.ask(&get, &headers, b"").await.expect(status, "");
    }
}

#[tokio::test]
async fn symlink_as_blob_is_not_followed() {
    let served = ServedStore::start().await;
    let secret = served.root().with_file_name("secret");
    std::fs::write(&secret, "a secret of the server").unwrap();
    let digest = served.blob("a", b"a secret of the server").await;
    std::fs::remove_file(served.path_of(&digest)).unwrap();
    std::os::unix::fs::symlink(&secret, served.path_of(&digest)).unwrap();
    for method in ["GET", "HEAD"] {
        let answer = served.ask(&format!("{method} /v2/a/blobs/{digest}"), &[], b"").await;
        assert_eq!(answer.status, 500);
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret"), "{answer:?}");
    }
    let folder = served.blob("a", b"folder").await;
    std::fs::remove_file(served.path_of(&folder)).unwrap();
    std::fs::create_dir(served.path_of(&folder)).unwrap();
    assert_eq!(served.get(&format!("/v2/a/blobs/{folder}")).await.status, 500);
    let other = Digest::sha256(b"sent by a client");
    std::os::unix::fs::symlink(&secret, served.path_of(&other)).unwrap();
    let line = format!("POST /v2/a/blobs/uploads/?digest={other}");
    served.ask(&line, &[], b"sent by a client").await.expect(500, "UNKNOWN");
    assert_eq!(std::fs::read(&secret).unwrap(), b"a secret of the server");
    assert_eq!(served.sessions(), 0);
}

#[tokio::test]
async fn blob_deleted_while_sent_is_not_corrupted() {
    let (served, bytes) = (ServedStore::start().await, random_blob(5_000_000, 4));
    let digest = served.blob("a", &bytes).await;
    let path = served.path_of(&digest);
    let target = format!("/v2/a/blobs/{digest}");
    let mut stream = tokio::net::TcpStream::connect(served.host()).await.unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
    tokio::io::AsyncReadExt::read_u8(&mut stream).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    // A running download has the file open.
    let mut rest = Vec::new();
    let mut stream = tokio::io::AsyncReadExt::take(stream, 5_000_000);
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await.unwrap();
    assert!(
        bytes.starts_with(&rest[rest.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4..])
    );
    served.get(&target).await.expect(404, "BLOB_UNKNOWN");
}
