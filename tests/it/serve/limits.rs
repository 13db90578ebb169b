//! Slow clients, many clients and full disks of `rpull serve`.

use std::time::Duration;

use rpull::digest::Digest;
use rpull::serve::ServeOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::cli::Cli;
use crate::support::images::random_blob;
use crate::support::live::needs;
use crate::support::serve_process::ServeProcess;
use crate::support::served_store::{ServedStore, ask, read_answer, say};
use crate::support::small::Small;
use crate::support::wait::wait_until;

/// Returns how long the server keeps a connection open that sends this, in seconds of the test's clock.
async fn patience(served: &ServedStore, words: &str) -> u64 {
    let mut stream = TcpStream::connect(served.host()).await.unwrap();
    stream.write_all(words.as_bytes()).await.unwrap();
    let began = Instant::now();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(!answer.starts_with(b"HTTP/1.1 2"), "{answer:?}");
    began.elapsed().as_secs()
}

// The paused clock jumps to the next timer when all tasks are idle.
#[tokio::test(start_paused = true)]
async fn timeout_silent_connection_keeps_received_bytes() {
    let served = ServedStore::start().await;
    for head in ["", "GET /v2/ HT", "GET /v2/ HTTP/1.1\r\nHost: localhost\r\n"] {
        assert_eq!(patience(&served, head).await, 30, "{head}");
    }
    let session = served.session("a").await;
    let words =
        format!("PATCH {session} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf");
    let waited = patience(&served, &words).await;
    assert!((28..=32).contains(&waited), "{waited}");
    assert_eq!(served.get(&session).await.header("Range"), Some("0-3"));
}

#[tokio::test(start_paused = true)]
async fn timeout_client_not_reading_is_dropped() {
    let served = ServedStore::start().await;
    let digest = served.blob("a", &random_blob(30_000_000, 1)).await;
    let mut stream = TcpStream::connect(served.host()).await.unwrap();
    let head = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(300)).await;
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest).await;
    assert!(read.is_err() || rest.len() < 30_000_000);
}

#[tokio::test(start_paused = true)]
async fn timeout_of_shutdown_cuts_running_request() {
    let served = ServedStore::start().await;
    let session = served.session("a").await;
    let mut stream = TcpStream::connect(served.host()).await.unwrap();
    let head =
        format!("PATCH {session} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf");
    stream.write_all(head.as_bytes()).await.unwrap();
    let kept = async || served.get(&session).await.header("Range") == Some("0-3");
    wait_until("the bytes are not kept", kept).await;
    let began = Instant::now();
    let folder = served.stop().await;
    assert_eq!(began.elapsed().as_secs(), 5);
    let mut rest = Vec::new();
    // Not later: the caller owns the layout again.
    let gone = tokio::time::timeout(Duration::from_secs(1), stream.read_to_end(&mut rest)).await;
    assert!(gone.is_ok());
    let id = session.rsplit('/').next().unwrap();
    assert_eq!(std::fs::read(folder.path().join("store/sessions").join(id)).unwrap(), b"half");
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_idle_connections() {
    let served = ServedStore::start().await;
    let mut idle = TcpStream::connect(served.host()).await.unwrap();
    // The server has accepted it once it answers a later connection.
    served.get("/v2/").await.expect(200, "");
    let began = Instant::now();
    served.stop().await;
    assert_eq!(began.elapsed().as_secs(), 0);
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn min_rate_dripping_upload_times_out() {
    let served = ServedStore::start().await;
    let session = served.session("a").await;
    let head = |method: &str, query: &str| {
        let (length, target) = (10_000_000, format!("{session}{query}"));
        format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n")
    };
    let digest = Digest::sha256(b"");
    let manifest = head("PUT", "").replace(&session, "/v2/a/manifests/1");
    let upload = [head("PATCH", ""), head("PUT", &format!("?digest={digest}")), manifest];
    for (words, bytes, seconds) in
        upload.iter().flat_map(|words| [(words, 1, 10), (words, 1, 1), (words, 900, 1)])
    {
        let mut stream = TcpStream::connect(served.host()).await.unwrap();
        stream.write_all(words.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let drip = async {
            while writer.write_all(&vec![b'x'; bytes]).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
        };
        let began = Instant::now();
        let mut answer = Vec::new();
        let listen = async { drop(reader.read_to_end(&mut answer).await) };
        tokio::select! { () = drip => {}, () = listen => {} }
        assert!(answer.starts_with(b"HTTP/1.1 408 "), "{words}: {bytes} in {seconds} s");
        assert!((30..=41).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    }
    let kept = served.get(&session).await.header("Range").unwrap().to_owned();
    let mut stream = TcpStream::connect(served.host()).await.unwrap();
    let slow = head("PATCH", "").replace("10000000", "300000");
    stream.write_all(slow.as_bytes()).await.unwrap();
    for _ in 0..150 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stream.write_all(&[b'x'; 2000]).await.unwrap();
    }
    read_answer(&mut stream, false).await.unwrap().expect(202, "");
    assert_ne!(served.get(&session).await.header("Range"), Some(kept.as_str()));
}

// Idle connections time out after 30 s of the test's clock.
#[tokio::test(start_paused = true)]
async fn idle_connections_do_not_block_requests() {
    let served = ServedStore::start().await;
    let digest = served.blob("a", b"small").await;
    let line = format!("GET /v2/a/blobs/{digest}");
    let asked = (0..600).map(|_| ask(served.host(), &line, &[], b""));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.expect(200, "").body, b"small");
    }
    for words in [
        &b""[..],
        b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        let mut idle = Vec::new();
        for _ in 0..600 {
            let mut stream = TcpStream::connect(served.host()).await.unwrap();
            stream.write_all(words).await.unwrap();
            idle.push(stream);
        }
        let began = Instant::now();
        served.get("/v2/").await.expect(200, "");
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn running_request_survives_many_connections() {
    let served = ServedStore::start().await;
    let session = served.session("a").await;
    let mut upload = TcpStream::connect(served.host()).await.unwrap();
    let head =
        format!("PATCH {session} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nhalf");
    upload.write_all(head.as_bytes()).await.unwrap();
    let mut others = Vec::new();
    for _ in 0..520 {
        others.push(TcpStream::connect(served.host()).await.unwrap());
    }
    served.get("/v2/").await.expect(200, "");
    upload.write_all(b"more").await.unwrap();
    read_answer(&mut upload, false).await.unwrap().expect(202, "");
    drop(others);
}

#[tokio::test]
async fn open_uploads_over_limit_get_429() {
    let served = ServedStore::start().await;
    let folder = served.root().join("sessions");
    let first = served.session("a").await;
    for number in 0..4095 {
        std::fs::write(folder.join(format!("{number:032x}")), "x").unwrap();
    }
    let served = ServedStore::over(served.stop().await, &ServeOptions::default()).await;
    let post = "POST /v2/a/blobs/uploads/";
    let refused = served.ask(post, &[], b"").await;
    refused.expect(429, "TOOMANYREQUESTS");
    assert!(refused.header("Retry-After").is_some());
    // Single-request uploads need no session, and open sessions continue.
    let digest = served.ask(&format!("{post}?digest={}", Digest::sha256(b"x")), &[], b"x").await;
    digest.expect(201, "");
    served.ask(&format!("PATCH {first}"), &[], b"x").await.expect(202, "");
    served.ask(&format!("DELETE {first}"), &[], b"").await.expect(204, "");
    served.session("a").await;
    served.ask(post, &[], b"").await.expect(429, "TOOMANYREQUESTS");
}

#[tokio::test]
async fn disk_full_upload_fails_and_pull_succeeds() {
    let test = "disk_full_upload_fails_and_pull_succeeds";
    if !needs(test, &["mount", "umount"]) {
        return;
    }
    let cli = Cli::new();
    let Some(_small) = Small::mount(test, &cli.store(), "size=1500k") else { return };
    let serving = ServeProcess::start(&cli).await;
    let host = serving.host();
    let small = random_blob(100_000, 1);
    let held = format!("/v2/a/blobs/{}", Digest::sha256(&small));
    let post = |bytes: &[u8]| format!("POST /v2/a/blobs/uploads/?digest={}", Digest::sha256(bytes));
    ask(host, &post(&small), &[], &small).await.expect(201, "");

    let large = random_blob(3_000_000, 2);
    let answer = ask(host, &post(&large), &[], &large).await;
    answer.expect(507, "UNKNOWN");
    assert!(String::from_utf8_lossy(&answer.body).contains("the disk of the registry is full"));
    assert_eq!(serving.sessions(), Vec::<u64>::new(), "its bytes make room again");

    let opened = ask(host, "POST /v2/a/blobs/uploads/", &[], b"").await;
    let session = opened.header("Location").unwrap().to_owned();
    ask(host, &format!("PATCH {session}"), &[], &large).await.expect(507, "UNKNOWN");
    ask(host, &held.replace("/v2", "GET /v2"), &[], b"").await.expect(200, "");
    let kept = serving.sessions()[0];
    let status = ask(host, &format!("GET {session}"), &[], b"").await;
    let told = format!("0-{}", kept - 1);
    assert_eq!(status.expect(204, "").header("Range"), Some(told.as_str()));
    let put = format!("PUT {session}?digest={}", Digest::sha256(&large));
    let left = usize::try_from(kept).unwrap();
    ask(host, &put, &[], &large[left..]).await.expect(507, "UNKNOWN");
    let grow = std::process::Command::new("mount")
        .args(["-o", "remount,size=8m"])
        .arg(cli.store())
        .status();
    assert!(grow.unwrap().success());
    ask(host, &put, &[], &large[left..]).await.expect(201, "");
}

#[tokio::test]
async fn early_response_reaches_client_still_sending() {
    let served = ServedStore::start().await;
    let gone = format!("/v2/a/blobs/uploads/{}", "0".repeat(32));
    let body = random_blob(20_000_000, 3);
    for line in [format!("PATCH {gone}"), format!("PUT {gone}?digest={}", Digest::sha256(&body))] {
        served.ask(&line, &[], &body).await.expect(404, "BLOB_UPLOAD_UNKNOWN");
    }
    // A client that sends `Expect: 100-continue` need not send the body.
    let mut stream = TcpStream::connect(served.host()).await.unwrap();
    let head = format!(
        "PATCH {gone} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000000\r\nExpect: 100-continue\r\n\r\n"
    );
    say(&mut stream, head.as_bytes()).await.unwrap().expect(404, "BLOB_UPLOAD_UNKNOWN");
    let session = served.session("a").await;
    let mut stream = TcpStream::connect(served.host()).await.unwrap();
    let head = head.replace(&gone, &session).replace("20000000", "4");
    let go_on = say(&mut stream, head.as_bytes()).await.unwrap();
    assert_eq!(go_on.status, 100);
    say(&mut stream, b"body").await.unwrap().expect(202, "");
}
