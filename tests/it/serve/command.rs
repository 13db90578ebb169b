//! `rpull serve` as a command.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::certs::Certs;
use crate::support::cli::Cli;
use crate::support::samples::published;
use crate::support::serve_process::ServeProcess;
use crate::support::served_store::{ask, read_answer};
use crate::support::wait::wait_until;

#[tokio::test]
async fn serve_prints_store_tags_and_address() {
    let (_registry, _, name) = published().await;
    let cli = Cli::new();
    cli.run(&["pull", &format!("{name}:1")]).await.expect(0, "");
    cli.run(&["tag", &format!("{name}:1"), "short"]).await.expect(0, "");
    for address in ["127.0.0.1:0", ":0", "localhost:0"] {
        let mut running = cli.spawn(&["serve", "--addr", address]);
        let line = running.line().await;
        let start = format!("serving {} with 2 tags on http://127.0.0.1:", cli.store().display());
        assert!(line.starts_with(&start), "{line}");
        let host = line.split_once("http://").unwrap().1;
        ask(host, "GET /v2/", &[], b"").await.expect(200, "");
        running.signal(Signal::INT);
        let output = running.wait().await;
        output.expect(0, "");
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
    }
}

#[tokio::test]
async fn serve_json_prints_address_and_url() {
    let (cli, certs) = (Cli::new(), Certs::new());
    let (cert, key) = (certs.cert(Certs::SERVER), certs.key(Certs::SERVER));
    let tls = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    for (flags, scheme) in [(&[][..], "http"), (&tls, "https")] {
        let serve = ["serve", "--json", "--addr", "127.0.0.1:0"];
        let mut running = cli.spawn(&[&serve[..], flags].concat());
        let mut text = String::new();
        while !text.ends_with("}\n") {
            text += &running.line().await;
            text.push('\n');
        }
        let value: Value = serde_json::from_str(&text).unwrap();
        let address = value["address"].as_str().unwrap();
        assert_eq!(value["url"], format!("{scheme}://{address}"));
        assert_eq!(value["tags"], 0);
        running.signal(Signal::TERM);
        running.wait().await.expect(0, "");
    }
}

#[tokio::test]
async fn serve_invalid_option_fails_at_start() {
    let cli = Cli::new();
    cli.run(&["serve", "--read-only", "--addr", ":0"]).await.expect(3, "the store does not exist");
    let serving = ServeProcess::start(&cli).await;
    cli.run(&["serve", "--addr", serving.host()]).await.expect(6, "Address already in use");
    for bad in ["127.0.0.1", "127.0.0.1:99999", "5000", ""] {
        cli.run(&["serve", "--addr", bad]).await.expect(2, "listen");
    }
    std::fs::write(cli.dir().join("users"), "ann:{SHA}x\n").unwrap();
    let serve = ["serve", "--addr", ":0"];
    for (flags, words) in [
        (&["--htpasswd", "users"][..], "not bcrypt"),
        (&["--htpasswd", "missing"], "missing: unreadable"),
        (&["--host", "box.example:5000"], "box.example:5000: invalid host name"),
        (&["--tls-cert", "users"], "--tls-key"),
        (&["--tls-cert", "users", "--tls-key", "users"], "certificate: users"),
        (&["--tls-cert", "missing", "--tls-key", "users"], "certificate: missing"),
    ] {
        cli.run(&[&serve[..], flags].concat()).await.expect(2, words);
    }
}

#[tokio::test]
async fn serve_on_public_address_warns() {
    let cli = Cli::new();
    cli.run(&["serve", "--addr", "x.invalid:0"]).await.expect(6, "listen: x.invalid:0");
    for (flags, words) in [
        (
            &[][..],
            "anyone who can reach this address may read, write and delete\nhint: restrict access with `--htpasswd",
        ),
        (
            &["--read-only"],
            "anyone who can reach this address may read\nhint: restrict access with `--htpasswd",
        ),
    ] {
        let mut running = cli.spawn(&[&["serve", "--addr", "0.0.0.0:0"], flags].concat());
        running.line().await;
        running.stop(Signal::TERM).await.expect(0, words);
    }
}

#[tokio::test]
async fn serve_with_few_descriptors_closes_idle_connections() {
    let cli = Cli::new();
    let serve = ["serve", "--addr", "127.0.0.1:0"];
    let mut running = cli.spawn_in_shell("ulimit -n 80; exec \"$@\"", &serve);
    let line = running.line().await;
    let host = line.split_once("http://").unwrap().1.to_owned();
    let mut held = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(&host).await.unwrap();
        stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n").await.unwrap();
        held.push(stream);
    }
    for line in ["POST /v2/a/blobs/uploads/", "POST /v2/a/blobs/uploads/"] {
        ask(&host, line, &[], b"").await.expect(202, "");
    }
    running.signal(Signal::TERM);
    running.wait().await.expect(0, "");
    drop(held);
}

#[tokio::test]
async fn serve_signal_finishes_running_request() {
    for signal in [Signal::INT, Signal::TERM] {
        let cli = Cli::new();
        let serving = ServeProcess::start(&cli).await;
        let host = serving.host().to_owned();
        let _idle = TcpStream::connect(&host).await.unwrap();
        let opened = ask(&host, "POST /v2/a/blobs/uploads/", &[], b"").await;
        let session = opened.header("Location").unwrap().to_owned();
        let mut upload = TcpStream::connect(&host).await.unwrap();
        let head =
            format!("PATCH {session} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nhalf");
        upload.write_all(head.as_bytes()).await.unwrap();
        wait_until("no bytes arrive", async || serving.sessions() == [4]).await;
        let ended = tokio::spawn(serving.end(signal));
        wait_until_closed(&host).await;
        upload.write_all(b"more").await.unwrap();
        let answer = read_answer(&mut upload, false).await.unwrap();
        assert_eq!(answer.expect(202, "").header("Range"), Some("0-7"));
        ended.await.unwrap().expect(0, "");
    }
}

/// Waits until the server accepts no more connections: it has seen a signal.
async fn wait_until_closed(host: &str) {
    wait_until("the server still listens", async || TcpStream::connect(host).await.is_err()).await;
}

#[tokio::test]
async fn serve_second_signal_stops_without_waiting() {
    let cli = Cli::new();
    for twice in [false, true] {
        let serving = ServeProcess::start(&cli).await;
        let opened = ask(serving.host(), "POST /v2/a/blobs/uploads/", &[], b"").await;
        let session = opened.header("Location").unwrap().to_owned();
        let mut upload = TcpStream::connect(serving.host()).await.unwrap();
        let head =
            format!("PATCH {session} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nhalf");
        upload.write_all(head.as_bytes()).await.unwrap();
        wait_until("no bytes arrive", async || serving.sessions().contains(&4)).await;
        if twice {
            serving.signal(Signal::INT);
            wait_until_closed(serving.host()).await;
            // At once it would count as the same signal.
            tokio::time::sleep(Duration::from_millis(250)).await;
            assert_eq!(serving.end(Signal::INT).await.code(), Some(130));
        } else {
            serving.end(Signal::INT).await.expect(0, "");
        }
        for entry in std::fs::read_dir(cli.store().join("sessions")).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(std::fs::read(&path).unwrap(), b"half", "what came is kept");
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[tokio::test]
async fn serve_upstream_is_pulled_through_and_pruned() {
    let (registry, [image, _], _) = published().await;
    let (cli, other) = (Cli::new(), Cli::new());
    let upstream = format!("hub.example=http://{}", registry.server.host());
    let serve = ["serve", "--addr", "127.0.0.1:0", "--upstream", &upstream, "--max-size", "1GB"];
    let serving = ServeProcess::of(cli.spawn(&serve), &cli).await;
    let name = format!("{}/hub.example/team/app:1", serving.host());
    for _ in 0..2 {
        other.run(&["pull", &name]).await.expect(0, "");
        other.run(&["rm", &name]).await.expect(0, "");
        other.run(&["prune"]).await.expect(0, "");
    }
    assert_eq!(registry.server.count("GET "), 4);
    serving.end(Signal::TERM).await.expect(0, "fetches what is missing from hub.example");
    assert_eq!(cli.run(&["images", "-q"]).await.stdout, "");
    let bytes = image.size() + image.manifest.descriptor.size;
    assert_eq!(cli.json(&["prune", "--json"]).await["bytes"], bytes);
}

#[tokio::test]
async fn serve_upstream_invalid_option_fails_at_start() {
    let cli = Cli::new();
    let serve = ["serve", "--addr", ":0", "--upstream"];
    for (more, words) in [
        (&["docker.io/library"][..], "docker.io/library"),
        (&["docker.io=ftp://h.example"], "expected http://HOST or https://HOST"),
        (&["docker.io", "--ttl", "5"], "expected a duration such as 30s"),
        (&["docker.io", "--max-size", "much"], "expected bytes such as 20GB"),
        (&["a.io", "--upstream", "b.io", "--creds", "u:p"], "there are several upstreams"),
        (&["a.io", "--offline"], "`--offline` disables registry access"),
    ] {
        let code = if more.contains(&"--offline") { 3 } else { 2 };
        cli.run(&[&serve[..], more].concat()).await.expect(code, words);
    }
    cli.run(&["serve", "--max-size", "1GB"]).await.expect(2, "--upstream");
}
