//! Images of a docker daemon, which is played by a server on a unix socket.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::support::cli::Cli;
use crate::support::docker_root::DockerRootDir;
use crate::support::images::{Family, Image, image, layer, random_blob};

const NAME: &str = "docker.io/library/app:1";

/// Status and body by path; the path of each request is kept.
struct FakeDaemon {
    requests: Arc<Mutex<Vec<String>>>,
}

impl FakeDaemon {
    fn start(listener: UnixListener, replies: BTreeMap<String, (u16, Vec<u8>)>) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A client may leave at any time.
                let _left = answer(&mut stream.unwrap(), &replies, &seen);
            }
        });
        Self { requests }
    }
}

fn answer(
    stream: &mut UnixStream,
    replies: &BTreeMap<String, (u16, Vec<u8>)>,
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap().to_owned();
    let missing = (404, json!({"message": "No such image"}).to_string().into_bytes());
    let (status, body) = replies.get(&target).unwrap_or(&missing);
    seen.lock().unwrap().push(target);
    write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len())?;
    stream.write_all(body)
}

/// A daemon with one image, and a command line that asks it.
async fn daemon(
    change: impl FnOnce(&mut BTreeMap<String, (u16, Vec<u8>)>),
) -> (Cli, FakeDaemon, Image) {
    let mut root = DockerRootDir::new();
    let layers = [layer(&[("data", &random_blob(300_000, 5))]), layer(&[("top", b"x")])];
    let own = root.add(Some("app:1"), &image(Family::Oci, "amd64", &layers));
    let cli = Cli::new();
    cli.run(&["copy", &root.location(), "docker-archive:saved.tar"]).await.expect(0, "");
    let about = json!({"Id": own.config.digest(), "RepoTags": ["app:1", "other:2"], "Size": 1});
    let saved = std::fs::read(cli.dir().join("saved.tar")).unwrap();
    let mut replies = BTreeMap::from([
        (format!("/images/{NAME}/json"), (200, about.to_string().into_bytes())),
        (format!("/images/{NAME}/get"), (200, saved)),
    ]);
    change(&mut replies);
    let socket = cli.dir().join("docker.sock");
    let fake = FakeDaemon::start(UnixListener::bind(&socket).unwrap(), replies);
    let cli = cli.env("DOCKER_HOST", format!("unix://{}", socket.display()));
    (cli, fake, own)
}

#[tokio::test]
async fn docker_daemon_image_is_streamed_once() {
    let (cli, fake, own) = daemon(|_| {}).await;
    cli.run(&["copy", "docker-daemon:app:1", "oci:out"]).await.expect(0, "transferred");
    let asked = [
        format!("/images/{NAME}/json"),
        format!("/images/{NAME}/json"),
        format!("/images/{NAME}/get"),
    ];
    assert_eq!(*fake.requests.lock().unwrap(), asked);
    let digest = format!("{}\n", own.manifest.digest());
    for source in ["docker-daemon:app:1", "oci:out:app:1"] {
        assert_eq!(cli.run(&["digest", source]).await.stdout, digest, "{source}");
    }
    cli.run(&["verify", "oci:out"]).await.expect(0, "");
    assert_eq!(
        cli.json(&["layers", "--json", "docker-daemon:app:1"]).await.as_array().unwrap().len(),
        2
    );
}

#[tokio::test]
async fn docker_daemon_failure_names_daemon() {
    let (cli, _fake, _) = daemon(|replies| {
        replies.insert("/images/docker.io/library/broken:1/json".into(), (500, b"<html>".to_vec()));
        replies.insert("/images/docker.io/library/list:1/json".into(), (200, b"[]".to_vec()));
        let about = b"{}".to_vec();
        replies.insert("/images/docker.io/library/no-tar:1/json".into(), (200, about.clone()));
        replies.insert("/images/docker.io/library/no-tar:1/get".into(), (200, vec![b'x'; 2000]));
    })
    .await;
    for (name, code, reason) in [
        ("missing", 3, "No such image"),
        ("broken:1", 6, "500"),
        ("list:1", 6, "unexpected response"),
        ("no-tar:1", 7, "is not a tar"),
        ("", 2, "missing name of the image"),
        ("UPPER", 2, "lowercase"),
    ] {
        cli.run(&["history", &format!("docker-daemon:{name}")]).await.expect(code, reason);
    }
    cli.run(&["copy", "app:1", "docker-daemon:app:1"])
        .await
        .expect(2, "docker-daemon can only be read from");
}

#[tokio::test]
async fn docker_daemon_unreachable_hints_at_remedy() {
    let cli = Cli::new().env("DOCKER_HOST", "tcp://127.0.0.1:1");
    cli.run(&["digest", "docker-daemon:app"]).await.expect(1, "expected unix:///PATH");
    let cli = Cli::new().env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    let output = cli.run(&["digest", "docker-daemon:app"]).await;
    output.expect(6, "connect to the docker daemon: /nowhere/docker.sock");
    output.expect(6, "hint: start the daemon");
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("docker.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let host = format!("unix://{}", socket.display());
    let cli = Cli::new().env("DOCKER_HOST", host).without_privileges();
    cli.run(&["digest", "docker-daemon:app"]).await.expect(4, "Permission denied");
}
