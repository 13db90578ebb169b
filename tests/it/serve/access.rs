//! Access control of `rpull serve`.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rpull::digest::Digest;
use rpull::serve::ServeOptions;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::certs::Certs;
use crate::support::cli::Cli;
use crate::support::images::random_blob;
use crate::support::samples::versions;
use crate::support::served_store::{HttpResponse, ServedStore, say};
use crate::support::wait::wait_until;

/// `htpasswd -nbB ann secret`, with the lowest cost.
const USERS: &str =
    "# people\n\nann:$2y$04$X6QQyO7f6MrWZIpB1oKMe.J2a594tVU1B2aCY0eIuSm9A8inhvlq.\n";

fn users() -> (tempfile::NamedTempFile, ServeOptions) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(USERS.as_bytes()).unwrap();
    let options = ServeOptions::default().htpasswd(file.path());
    (file, options)
}

async fn as_user(served: &ServedStore, line: &str, value: &str) -> HttpResponse {
    served.ask(line, &[("Authorization", value)], b"").await
}

#[tokio::test]
async fn htpasswd_user_is_admitted_others_get_401() {
    let (_file, options) = users();
    let served = ServedStore::start_with(&options).await;
    for line in
        ["GET /v2/", "GET /", "GET /v2/_catalog", "POST /v2/a/blobs/uploads/", "GET /v2/A/x"]
    {
        let answer = served.ask(line, &[], b"").await;
        answer.expect(401, "UNAUTHORIZED");
        let challenge = answer.header("WWW-Authenticate").unwrap();
        assert!(challenge.starts_with("Basic realm="), "{challenge}");
    }
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let good = basic("ann:secret");
    for _ in 0..2 {
        as_user(&served, "GET /v2/", &good).await.expect(200, "");
        as_user(&served, "GET /v2/", &good.replace("Basic", "basic")).await.expect(200, "");
        for bad in [
            basic("ann:Secret"),
            basic("ann:"),
            basic("ann"),
            basic(""),
            basic("bob:secret"),
            basic("# people:secret"),
            basic("ann:secret\0"),
            format!("ann:{}", "x".repeat(100)),
            "Basic".into(),
            "Basic ====".into(),
            format!("Basic {}", STANDARD.encode([0xff, 0xfe, b':'])),
            good.replace("Basic", "Bearer"),
            format!("{good}="),
        ] {
            as_user(&served, "GET /v2/", &bad).await.expect(401, "UNAUTHORIZED");
        }
    }
}

#[tokio::test]
async fn login_push_and_digest_over_tls_succeed() {
    let (_file, options) = users();
    let certs = Certs::new();
    let options = options.tls(certs.cert(Certs::SERVER), certs.key(Certs::SERVER));
    let served = ServedStore::start_with(&options).await;
    let (registry, [held, _], name) = crate::support::samples::published().await;
    let (cli, target) = (Cli::new(), format!("{}/team/app:1", served.host()));
    let ca = certs.cert(Certs::CA).to_str().unwrap().to_owned();
    cli.run(&["pull", &format!("{name}:1")]).await.expect(0, "");
    let push = ["push", "--ca-file", &ca, &format!("{name}:1"), &target];
    cli.run(&push).await.expect(4, "authentication required");
    let login = ["login", "--ca-file", &ca, "-u", "ann", "--password-stdin", served.host()];
    cli.run_on("wrong", &login).await.expect(4, "");
    cli.run_on("secret", &login).await.expect(0, "");
    cli.run(&push).await.expect(0, "");
    let digest = cli.run(&["digest", "--ca-file", &ca, &target]).await;
    assert_eq!(digest.stdout.trim(), held.manifest.digest().as_str());
    drop(registry);
}

#[tokio::test]
async fn read_only_rejects_uploads_and_deletes() {
    let (served, [held, _]) = (ServedStore::start().await, versions());
    served.push("a", Some("1"), &held).await;
    let session = served.session("a").await;
    let options = ServeOptions::default().read_only();
    let served = ServedStore::over(served.stop().await, &options).await;
    let digest = held.config.digest();
    for line in [
        "POST /v2/a/blobs/uploads/".into(),
        format!("POST /v2/b/blobs/uploads/?mount={digest}&from=a"),
        format!("PATCH {session}"),
        format!("PUT {session}?digest={digest}"),
        format!("DELETE {session}"),
        format!("GET {session}"),
        "PUT /v2/a/manifests/2".into(),
        "DELETE /v2/a/manifests/1".into(),
        format!("DELETE /v2/a/blobs/{digest}"),
    ] {
        served.ask(&line, &[], b"x").await.expect(405, "UNSUPPORTED");
    }
    served.get("/v2/a/manifests/1").await.expect(200, "");
    served.get(&format!("/v2/a/blobs/{digest}")).await.expect(200, "");
    // A client that sends everything before it reads gets the response too.
    let large = random_blob(8 << 20, 1);
    let line = format!("POST /v2/a/blobs/uploads/?digest={}", Digest::sha256(&large));
    served.ask(&line, &[], &large).await.expect(405, "UNSUPPORTED");
}

#[tokio::test]
async fn request_with_browser_origin_is_denied() {
    let (served, [held, _]) = (ServedStore::start().await, versions());
    served.push("a", Some("1"), &held).await;
    for origin in ["http://evil.example", "null", "http://127.0.0.1:5000"] {
        for line in ["GET /v2/", "DELETE /v2/a/manifests/1", "OPTIONS /v2/a/manifests/1"] {
            let answer = served.ask(line, &[("Origin", origin)], b"").await;
            answer.expect(403, "DENIED");
            assert_eq!(answer.header("Access-Control-Allow-Origin"), None);
        }
    }
    served.get("/v2/a/manifests/1").await.expect(200, "");
}

#[tokio::test]
async fn htpasswd_change_applies_to_next_request() {
    let (file, options) = users();
    let served = ServedStore::start_with(&options).await;
    let good = format!("Basic {}", STANDARD.encode("ann:secret"));
    let words = format!("GET /v2/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: {good}\r\n\r\n");
    let mut open = TcpStream::connect(served.host()).await.unwrap();
    say(&mut open, words.as_bytes()).await.unwrap().expect(200, "");
    let other = USERS.replace("ann", "bob");
    std::fs::write(file.path(), &other).unwrap();
    say(&mut open, words.as_bytes()).await.unwrap().expect(401, "UNAUTHORIZED");
    as_user(&served, "GET /v2/", &good).await.expect(401, "UNAUTHORIZED");
    let bob = format!("Basic {}", STANDARD.encode("bob:secret"));
    as_user(&served, "GET /v2/", &bob).await.expect(200, "");
    // With an unreadable file every user is refused.
    for broken in ["", "bob:plain\n"] {
        std::fs::write(file.path(), broken).unwrap();
        as_user(&served, "GET /v2/", &bob).await.expect(503, "UNKNOWN");
    }
    // Container engines create a directory in place of a missing file.
    std::fs::remove_file(file.path()).unwrap();
    std::fs::create_dir(file.path()).unwrap();
    as_user(&served, "GET /v2/", &bob).await.expect(503, "UNKNOWN");
    std::fs::remove_dir(file.path()).unwrap();
    std::os::unix::fs::symlink("/dev/null", file.path()).unwrap();
    as_user(&served, "GET /v2/", &bob).await.expect(503, "UNKNOWN");
    std::fs::remove_file(file.path()).unwrap();
    std::fs::write(file.path(), USERS).unwrap();
    say(&mut open, words.as_bytes()).await.unwrap().expect(200, "");
    as_user(&served, "GET /v2/", &bob).await.expect(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn htpasswd_user_removed_during_upload_gets_401() {
    let (file, options) = users();
    let served = ServedStore::start_with(&options).await;
    let good = format!("Basic {}", STANDARD.encode("ann:secret"));
    let digest = Digest::sha256(b"half and half");
    let mut upload = TcpStream::connect(served.host()).await.unwrap();
    let head = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 13\r\n\
         Authorization: {good}\r\n\r\nhalf and "
    );
    upload.write_all(head.as_bytes()).await.unwrap();
    wait_until("there is no session", async || served.sessions() > 0).await;
    std::fs::write(file.path(), USERS.replace("ann", "bob")).unwrap();
    say(&mut upload, b"half").await.unwrap().expect(401, "UNAUTHORIZED");
    assert!(!served.path_of(&digest).exists());
    assert_eq!(served.sessions(), 0);
}

#[tokio::test]
async fn host_header_of_other_name_is_denied_on_loopback() {
    let options = ServeOptions::default().hosts(vec!["box.example".into()]);
    let (served, [held, _]) = (ServedStore::start_with(&options).await, versions());
    served.push("a", Some("1"), &held).await;
    let ask = async |hosts: &str| {
        let mut stream = TcpStream::connect(served.host()).await.unwrap();
        let words = format!("GET /v2/a/manifests/1 HTTP/1.1\r\n{hosts}\r\n");
        say(&mut stream, words.as_bytes()).await.unwrap()
    };
    for host in ["localhost", "127.0.0.1:5000", "[::1]:5000", "box.example:80"] {
        ask(&format!("Host: {host}\r\n")).await.expect(200, "");
    }
    for host in ["evil.example", "evil.example:5000", "10.0.0.1"] {
        ask(&format!("Host: {host}\r\n")).await.expect(421, "DENIED");
    }
    ask("").await.expect(400, "UNSUPPORTED");
    ask("Host: localhost\r\nHost: localhost\r\n").await.expect(400, "UNSUPPORTED");
    ask("Host: localhost\r\nHost: evil.example\r\n").await.expect(400, "UNSUPPORTED");
}
