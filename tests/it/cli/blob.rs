//! `blob --output`: special files, interruption, closed pipes.

use std::os::unix::fs::{FileTypeExt as _, symlink};

use rustix::process::Signal;

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::Fault;
use crate::support::images::{Family, image, layer, random_blob};
use crate::support::wait::wait_until;

/// A blob of several megabytes, and its reference.
async fn large() -> (FakeRegistry, Cli, Vec<u8>, String) {
    let registry = FakeRegistry::start().await;
    let held = image(Family::Oci, "amd64", &[layer(&[("a", &random_blob(8_000_000, 1))])]);
    held.publish(&registry, "a", Some("1"));
    let blob = &held.layers[0];
    let pinned = format!("{}@{}", registry.repository("a"), blob.digest());
    (registry, Cli::new(), blob.bytes.to_vec(), pinned)
}

#[tokio::test]
async fn blob_output_to_special_file_is_written_in_place() {
    let (_registry, cli, bytes, pinned) = large().await;
    let (pipe, link) = (cli.dir().join("pipe"), cli.dir().join("link"));
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
    let script = "\"$@\" & cat pipe > read; wait $!";
    cli.spawn_in_shell(script, &["blob", "-o", "pipe", &pinned]).wait().await.expect(0, "");
    assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
    assert_eq!(std::fs::read(cli.dir().join("read")).unwrap(), bytes);

    symlink("null", cli.dir().join("device")).unwrap();
    symlink("/dev/null", cli.dir().join("null")).unwrap();
    cli.run(&["blob", "-o", "device", &pinned]).await.expect(0, "");
    assert!(cli.dir().join("device").is_symlink() && cli.dir().join("null").is_symlink());

    std::fs::create_dir(cli.dir().join("dir")).unwrap();
    symlink("dir/file", &link).unwrap();
    // First the target of the link is absent, then it is a file.
    for _ in 0..2 {
        cli.run(&["blob", "-o", "link", &pinned]).await.expect(0, "");
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(cli.dir().join("dir/file")).unwrap(), bytes);
    }
    cli.run(&["blob", "-o", "dir", &pinned]).await.expect(7, "write: dir: Is a directory");
    symlink("loop", cli.dir().join("loop")).unwrap();
    cli.run(&["blob", "-o", "loop", &pinned]).await.expect(7, "write: loop");
}

#[tokio::test]
async fn blob_interrupted_leaves_no_file() {
    let (registry, cli, _, pinned) = large().await;
    registry
        .override_response("GET /v2/a/blobs/", 0..9, |reply| reply.fault(Fault::Stall(1_000_000)));
    std::fs::create_dir(cli.dir().join("out")).unwrap();
    let files = || std::fs::read_dir(cli.dir().join("out")).unwrap().count();
    let running = cli.spawn(&["blob", "-o", "out/file", &pinned]);
    wait_until("nothing is read", async || registry.server.count("GET /v2/a/blobs/") > 0).await;
    running.signal(Signal::INT);
    running.wait().await.expect(130, "interrupted");
    assert_eq!(files(), 0);
}

#[tokio::test]
async fn blob_to_closed_pipe_stops_download() {
    let (registry, cli, _, pinned) = large().await;
    // The server sends no more than this, so a client that reads on waits.
    registry
        .override_response("GET /v2/a/blobs/", 0..9, |reply| reply.fault(Fault::Stall(4_000_000)));
    let line = "{ \"$@\"; echo $? > code; } | head -c 10 > /dev/null";
    cli.spawn_in_shell(line, &["blob", &pinned]).wait().await.expect(0, "");
    assert_eq!(registry.server.count("GET /v2/a/blobs/"), 1, "no second attempt after a stall");
    assert_eq!(std::fs::read_to_string(cli.dir().join("code")).unwrap(), "0\n");
}

#[tokio::test]
async fn blob_unreadable_in_store_is_named_if_registry_has_none() {
    let (registry, cli, _, pinned) = large().await;
    cli.run(&["pull", &registry.repository("a:1")]).await.expect(0, "");
    let (_, digest) = pinned.split_once('@').unwrap();
    let path = cli.store().join("blobs").join(digest.replace(':', "/"));
    std::fs::remove_file(&path).unwrap();
    symlink(&path, &path).unwrap();
    registry.delete_blob("a", &digest.parse().unwrap());
    let output = cli.run(&["blob", "-o", "file", &pinned]).await;
    output.expect(7, "Too many levels of symbolic links");
    assert!(output.stderr.contains("warning: "), "what the registry said: {}", output.stderr);
}
