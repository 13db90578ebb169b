//! Pushing blobs to `rpull serve` in all ways of the specification.

use std::time::Duration;

use rpull::digest::Digest;
use rpull::serve::ServeOptions;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::images::random_blob;
use crate::support::served_store::{HttpResponse, ServedStore, chunked};
use crate::support::wait::wait_until;

const SHA512: &str = "sha512:27c74670adb75075fad058d5ceaf7b20c4e7786c83bae8a32f626f9782af34c9a33c2046ef60fd2a7878d378e29fec851806bbd9a67878f3a9f1cda4830763fd";

async fn patch(served: &ServedStore, session: &str, range: &str, bytes: &[u8]) -> HttpResponse {
    let header = [("Content-Range", range)];
    let headers = if range.is_empty() { &[][..] } else { &header };
    served.ask(&format!("PATCH {session}"), headers, bytes).await
}

#[track_caller]
fn assert_stored(served: &ServedStore, answer: &HttpResponse, digest: &Digest, bytes: &[u8]) {
    answer.expect(201, "");
    assert_eq!(answer.header("Docker-Content-Digest"), Some(digest.as_str()));
    assert_eq!(answer.header("Location"), Some(format!("/v2/a/blobs/{digest}").as_str()));
    assert!(std::fs::read(served.path_of(digest)).unwrap() == bytes);
    assert_eq!(served.sessions(), 0, "nothing is left of the session");
}

#[tokio::test]
async fn upload_in_one_or_two_requests_succeeds() {
    let (served, bytes) = (ServedStore::start().await, random_blob(900_000, 1));
    let digest = Digest::sha256(&bytes);
    let opened = served.ask("POST /v2/a/blobs/uploads/", &[], b"").await;
    opened.expect(202, "");
    assert_eq!(opened.header("Range"), Some("0-0"));
    let session = opened.header("Location").unwrap();
    assert!(session.ends_with(opened.header("Docker-Upload-UUID").unwrap()));
    let line = format!("PUT {session}?digest={}", digest.as_str().replace(':', "%3A"));
    let answer = served.ask(&line, &[("Content-Type", "application/octet-stream")], &bytes).await;
    assert_stored(&served, &answer, &digest, &bytes);

    let (bytes, line) = (random_blob(10, 2), "POST /v2/a/blobs/uploads");
    let digest = Digest::sha256(&bytes);
    let answer = served.ask(&format!("{line}?digest={digest}"), &[], &bytes).await;
    assert_stored(&served, &answer, &digest, &bytes);

    // Without a known length.
    let bytes = random_blob(300_000, 3);
    let digest = Digest::sha256(&bytes);
    let headers = [("Transfer-Encoding", "chunked")];
    let line = format!("{line}?digest={digest}");
    let answer = served.ask(&line, &headers, &chunked(&bytes, 7000)).await;
    assert_stored(&served, &answer, &digest, &bytes);
}

#[tokio::test]
async fn upload_chunk_out_of_order_gets_current_range() {
    let (served, bytes) = (ServedStore::start().await, random_blob(3000, 4));
    let session = served.session("a").await;
    let answer = patch(&served, &session, "0-999", &bytes[..1000]).await;
    assert_eq!(answer.expect(202, "").header("Range"), Some("0-999"));
    assert_eq!(answer.header("Location"), Some(session.as_str()));
    for (range, body) in
        [("0-999", &bytes[..1000]), ("2000-2999", &bytes[2000..]), ("999-1998", &bytes[999..1999])]
    {
        let answer = patch(&served, &session, range, body).await;
        answer.expect(416, "BLOB_UPLOAD_INVALID");
        assert_eq!(answer.header("Range"), Some("0-999"), "{range}");
        assert_eq!(answer.header("Location"), Some(session.as_str()), "{range}");
    }
    for (range, body) in [
        ("1000-1998", &bytes[1000..2000]),
        ("bytes 1000-1999/3000", &bytes[1000..2000]),
        ("1999-1000", &bytes[1000..2000]),
        ("x", b"x"),
    ] {
        patch(&served, &session, range, body).await.expect(400, "SIZE_INVALID");
    }
    let status = served.get(&session).await;
    assert_eq!(status.expect(204, "").header("Range"), Some("0-999"));
    assert_eq!(status.header("Location"), Some(session.as_str()));
    patch(&served, &session, "1000-1999", &bytes[1000..2000]).await.expect(202, "");

    let digest = Digest::sha256(&bytes);
    let last = format!("PUT {session}?digest={digest}");
    let early = [("Content-Range", "1000-1999")];
    let refused = served.ask(&last, &early, &bytes[1000..2000]).await;
    assert_eq!(refused.expect(416, "BLOB_UPLOAD_INVALID").header("Range"), Some("0-1999"));
    let answer = served.ask(&last, &[("Content-Range", "2000-2999")], &bytes[2000..]).await;
    assert_stored(&served, &answer, &digest, &bytes);
}

#[tokio::test]
async fn upload_stream_without_range_is_appended() {
    let (served, bytes) = (ServedStore::start().await, random_blob(500_000, 5));
    let (session, digest) = (served.session("a").await, Digest::sha256(&bytes));
    patch(&served, &session, "", &bytes[..100_000]).await.expect(202, "");
    let headers = [("Transfer-Encoding", "chunked")];
    let body = chunked(&bytes[100_000..], 9999);
    let answer = served.ask(&format!("PATCH {session}"), &headers, &body).await;
    assert_eq!(answer.expect(202, "").header("Range"), Some("0-499999"));
    let answer = served.ask(&format!("PUT {session}?digest={digest}"), &[], b"").await;
    assert_stored(&served, &answer, &digest, &bytes);
}

#[tokio::test]
async fn upload_digest_mismatch_is_discarded() {
    let served = ServedStore::start().await;
    let digest = Digest::sha256(b"right");
    let session = served.session("a").await;
    patch(&served, &session, "", b"wro").await.expect(202, "");
    let line = format!("PUT {session}?digest={digest}");
    served.ask(&line, &[], b"ng").await.expect(400, "DIGEST_INVALID");
    served.get(&session).await.expect(404, "BLOB_UPLOAD_UNKNOWN");
    let line = format!("POST /v2/a/blobs/uploads/?digest={digest}");
    served.ask(&line, &[], b"wrong").await.expect(400, "DIGEST_INVALID");
    assert!(!served.path_of(&digest).exists());
    assert_eq!(served.sessions(), 0);

    let session = served.session("a").await;
    for query in
        ["", "?digest=", "?digest=sha256:zz", "?digest=md5:d41d8cd98f00b204e9800998ecf8427e"]
    {
        let line = format!("PUT {session}{query}");
        served.ask(&line, &[], b"right").await.expect(400, "DIGEST_INVALID");
    }
    served.ask(&format!("PUT {session}?digest={digest}"), &[], b"right").await.expect(201, "");
}

#[tokio::test]
async fn upload_sha512_digest_is_accepted() {
    let served = ServedStore::start().await;
    let digest: Digest = SHA512.parse().unwrap();
    let line = format!("POST /v2/a/blobs/uploads/?digest={digest}");
    let answer = served.ask(&line, &[], b"{}").await;
    assert_stored(&served, &answer, &digest, b"{}");
    // The chunks arrive before the algorithm is known.
    std::fs::remove_file(served.path_of(&digest)).unwrap();
    let session = served.session("a").await;
    patch(&served, &session, "0-0", b"{").await.expect(202, "");
    let answer = served.ask(&format!("PUT {session}?digest={digest}"), &[], b"}").await;
    assert_stored(&served, &answer, &digest, b"{}");
    served.get(&format!("/v2/a/blobs/{digest}")).await.expect(200, "");
}

#[tokio::test]
async fn upload_cancelled_is_unknown() {
    let served = ServedStore::start().await;
    let session = served.session("a").await;
    patch(&served, &session, "", b"bytes").await.expect(202, "");
    served.ask(&format!("DELETE {session}"), &[], b"").await.expect(204, "");
    assert_eq!(served.sessions(), 0);
    let digest = Digest::sha256(b"bytes");
    for line in [
        format!("GET {session}"),
        format!("PATCH {session}"),
        format!("PUT {session}?digest={digest}"),
        format!("DELETE {session}"),
    ] {
        served.ask(&line, &[], b"").await.expect(404, "BLOB_UPLOAD_UNKNOWN");
    }
    let made_up = format!("GET /v2/a/blobs/uploads/{}", "0".repeat(32));
    served.ask(&made_up, &[], b"").await.expect(404, "BLOB_UPLOAD_UNKNOWN");
    let line = format!("POST {}", served.session("a").await);
    served.ask(&line, &[], b"").await.expect(405, "UNSUPPORTED");
}

#[tokio::test]
async fn mount_of_missing_blob_opens_upload_session() {
    let served = ServedStore::start().await;
    let digest = served.blob("a", b"shared").await;
    for query in [format!("mount={digest}&from=a"), format!("from=&mount={digest}")] {
        let line = format!("POST /v2/b/blobs/uploads/?{query}");
        let answer = served.ask(&line, &[], b"").await;
        answer.expect(201, "");
        let location = format!("/v2/b/blobs/{digest}");
        assert_eq!(answer.header("Location"), Some(location.as_str()));
        assert_eq!(answer.header("Docker-Content-Digest"), Some(digest.as_str()));
    }
    assert_eq!(served.sessions(), 0);
    let other = Digest::sha256(b"other");
    let line = format!("POST /v2/b/blobs/uploads/?mount={other}&from=a");
    let answer = served.ask(&line, &[], b"").await;
    let session = answer.expect(202, "").header("Location").unwrap();
    served.ask(&format!("PUT {session}?digest={other}"), &[], b"other").await.expect(201, "");
    // A blob is not mounted from a repository that lacks it.
    let line = format!("POST /v2/c/blobs/uploads/?mount={digest}&from=x/y");
    served.ask(&line, &[], b"").await.expect(202, "");
    let line = "POST /v2/b/blobs/uploads/?mount=sha256:zz&from=a";
    served.ask(line, &[], b"").await.expect(400, "DIGEST_INVALID");
}

#[tokio::test]
async fn upload_truncated_body_resumes_at_offset() {
    let (served, bytes) = (ServedStore::start().await, random_blob(400_000, 6));
    let digest = Digest::sha256(&bytes);
    for method in ["PATCH", "PUT"] {
        let session = served.session("a").await;
        let query = if method == "PUT" { format!("?digest={digest}") } else { String::new() };
        let mut stream = TcpStream::connect(served.host()).await.unwrap();
        let head = format!(
            "{method} {session}{query} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 400000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&bytes[..150_000]).await.unwrap();
        drop(stream);
        let kept = async || served.get(&session).await.header("Range") == Some("0-149999");
        wait_until("the bytes are not kept", kept).await;
        let answer = patch(&served, &session, "150000-399999", &bytes[150_000..]).await;
        assert_eq!(answer.expect(202, "").header("Range"), Some("0-399999"));
        let answer = served.ask(&format!("PUT {session}?digest={digest}"), &[], b"").await;
        assert_stored(&served, &answer, &digest, &bytes);
        std::fs::remove_file(served.path_of(&digest)).unwrap();
    }
}

#[tokio::test]
async fn upload_single_post_truncated_leaves_nothing() {
    let served = ServedStore::start().await;
    let digest = Digest::sha256(b"whatever");
    let mut stream = TcpStream::connect(served.host()).await.unwrap();
    let head = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 400000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&random_blob(150_000, 7)).await.unwrap();
    wait_until("there is no session", async || served.sessions() > 0).await;
    drop(stream);
    wait_until("the session is still there", async || served.sessions() == 0).await;
}

#[tokio::test]
async fn upload_session_survives_server_restart() {
    let (served, bytes) = (ServedStore::start().await, random_blob(20_000, 8));
    let session = served.session("a").await;
    patch(&served, &session, "0-9999", &bytes[..10_000]).await.expect(202, "");
    let served = ServedStore::over(served.stop().await, &ServeOptions::default()).await;
    let status = served.get(&session).await;
    assert_eq!(status.expect(204, "").header("Range"), Some("0-9999"));
    let digest = Digest::sha256(&bytes);
    let line = format!("PUT {session}?digest={digest}");
    let answer = served.ask(&line, &[("Content-Range", "10000-19999")], &bytes[10_000..]).await;
    assert_stored(&served, &answer, &digest, &bytes);
}

#[tokio::test]
async fn concurrent_uploads_of_one_blob_both_succeed() {
    let (served, bytes) = (ServedStore::start().await, random_blob(2_000_000, 9));
    let digest = Digest::sha256(&bytes);
    let sessions = [served.session("a").await, served.session("b").await];
    let [one, two] = sessions.map(|session| format!("PUT {session}?digest={digest}"));
    let (one, two) = tokio::join!(served.ask(&one, &[], &bytes), served.ask(&two, &[], &bytes));
    assert_eq!((one.status, two.status), (201, 201));
    assert!(std::fs::read(served.path_of(&digest)).unwrap() == bytes);
}

#[tokio::test]
async fn damaged_blob_is_replaced_by_next_upload() {
    let (served, bytes) = (ServedStore::start().await, random_blob(5000, 10));
    let digest = served.blob("a", &bytes).await;
    std::fs::remove_file(served.path_of(&digest)).unwrap();
    std::fs::write(served.path_of(&digest), "damaged").unwrap();
    served.blob("a", &bytes).await;
    assert!(std::fs::read(served.path_of(&digest)).unwrap() == bytes);
}

#[tokio::test]
async fn upload_session_older_than_three_days_is_removed() {
    let served = ServedStore::start().await;
    let session = served.session("a").await;
    let folder = served.root().join("sessions");
    let old = std::time::SystemTime::now() - Duration::from_secs(3 * 24 * 3600);
    let file = folder.join(session.rsplit('/').next().unwrap());
    std::fs::write(folder.join("letter.txt"), "of somebody").unwrap();
    for path in [&file, &folder.join("letter.txt")] {
        std::fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    }
    served.session("a").await;
    served.get(&session).await.expect(404, "BLOB_UPLOAD_UNKNOWN");
    assert!(folder.join("letter.txt").exists(), "whatever that is, it is no session");
}

#[tokio::test]
async fn symlink_as_sessions_dir_is_not_followed() {
    let served = ServedStore::start().await;
    let elsewhere = served.root().with_file_name("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, served.root().join("sessions")).unwrap();
    let answer = served.ask("POST /v2/a/blobs/uploads/", &[], b"").await;
    answer.expect(500, "UNKNOWN");
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
    let (id, theirs) = ("a".repeat(32), elsewhere.join("a".repeat(32)));
    std::fs::write(&theirs, "of somebody").unwrap();
    for method in ["GET", "PATCH", "DELETE"] {
        let line = format!("{method} /v2/a/blobs/uploads/{id}");
        served.ask(&line, &[], b"more").await.expect(500, "UNKNOWN");
    }
    assert_eq!(std::fs::read(&theirs).unwrap(), b"of somebody");
}
