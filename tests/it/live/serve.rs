//! skopeo and podman against `rpull serve`.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::live::{Access, Live, needs};
use crate::support::real::RealImage;
use crate::support::served_store::ServedStore;

/// Runs another tool to its end.
fn run(folder: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .current_dir(folder)
        .env("HOME", folder)
        .env("XDG_RUNTIME_DIR", folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

async fn skopeo(folder: &Path, args: &[&str]) -> String {
    let (folder, args) = (folder.to_owned(), args.iter().map(|&word| word.to_owned()));
    let args: Vec<String> = std::iter::once("--insecure-policy".to_owned()).chain(args).collect();
    let work = move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        run(&folder, "skopeo", &args)
    };
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test]
async fn skopeo_copy_preserves_digests() {
    let test = "skopeo_copy_preserves_digests";
    if !needs(test, &["docker-registry", "skopeo", "dpkg"]) {
        return;
    }
    let (image, cli, served) = (RealImage::get(), Cli::new(), ServedStore::start().await);
    let debian = Live::start(&Access::Open);
    let layout = |name: &str| format!("oci:{}:{name}", image.layout().display());
    let there = |name: &str| format!("docker://{}/real:{name}", served.host());
    let elsewhere = |name: &str| format!("docker://{}/real:{name}", debian.host());
    let plain = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    let copy = async |from: &str, to: &str| {
        let words = [&["copy", "-q", "--all", "--preserve-digests"], &plain[..], &[from, to]];
        skopeo(cli.dir(), &words.concat()).await;
    };
    let documents =
        [("v1", &image.v1.manifest), ("v2", &image.v2.manifest), ("multi", &image.multi.document)];
    for (name, document) in documents {
        copy(&layout(name), &there(name)).await;
        copy(&there(name), &elsewhere(name)).await;
        copy(&elsewhere(name), &there(&format!("again-{name}"))).await;
        for place in [there(name), elsewhere(name), there(&format!("again-{name}"))] {
            let raw = skopeo(cli.dir(), &["inspect", "--raw", "--tls-verify=false", &place]).await;
            assert_eq!(raw.as_bytes(), document.bytes, "{place}");
        }
        let name = format!("{}/real:{name}", served.host());
        let report = cli.report(&["pull", "--json", "--all-platforms", &name]).await;
        assert_eq!(report["digest"], json!(document.digest()));
    }
    let repository = format!("docker://{}/real", served.host());
    let tags = skopeo(cli.dir(), &["list-tags", "--tls-verify=false", &repository]).await;
    let tags: Value = serde_json::from_str(&tags).unwrap();
    assert_eq!(tags["Tags"], json!(["again-multi", "again-v1", "again-v2", "multi", "v1", "v2"]));
    skopeo(cli.dir(), &["delete", "--tls-verify=false", &there("again-v1")]).await;
    // skopeo deletes by digest, which removes the other tag too.
    served.get("/v2/real/manifests/v1").await.expect(404, "MANIFEST_UNKNOWN");
    served.get("/v2/real/manifests/v2").await.expect(200, "");
    assert_eq!(served.sessions(), 0);
}

#[tokio::test]
async fn skopeo_converted_push_arrives() {
    let test = "skopeo_converted_push_arrives";
    if !needs(test, &["skopeo", "dpkg"]) {
        return;
    }
    let (image, cli, served) = (RealImage::get(), Cli::new(), ServedStore::start().await);
    let layout = format!("oci:{}:v1", image.layout().display());
    let archive = "docker-archive:plain.tar:app:1";
    cli.run(&["copy", &layout, archive]).await.expect(0, "");
    // Layers compressed during the push have no known length or digest beforehand, as with docker and podman.
    for (tag, format, from) in [("1", "v2s2", layout.as_str()), ("2", "oci", archive)] {
        let name = format!("{}/converted:{tag}", served.host());
        let to = format!("docker://{name}");
        let words = ["copy", "-q", "--dest-tls-verify=false", "--format", format, from, &to];
        skopeo(cli.dir(), &words).await;
        let config = cli.run(&["config", &name]).await.stdout;
        let config: Value = serde_json::from_str(&config).unwrap();
        let own: Value = serde_json::from_slice(&image.v1.config.bytes).unwrap();
        assert_eq!(config["rootfs"], own["rootfs"]);
        cli.run(&["pull", &name]).await.expect(0, "");
    }
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
}

#[tokio::test]
async fn podman_build_push_and_pull_succeed() {
    if !podman_is_here("podman_build_push_and_pull_succeed") {
        return;
    }
    let (cli, served) = (Cli::new(), ServedStore::start().await);
    let name = format!("{}/team/podman:1", served.host());
    std::fs::write(cli.dir().join("Dockerfile"), "FROM scratch\nCOPY tmp /tmp\n").unwrap();
    std::fs::write(cli.dir().join("tmp/file"), "in a layer").unwrap();
    let podman = async |args: &[&str]| {
        let own = ["--root=root", "--runroot=run", "--storage-driver=vfs", "--events-backend=none"];
        let words: Vec<String> = own.iter().chain(args).map(|&word| word.to_owned()).collect();
        let folder = cli.dir().to_owned();
        let work = move || {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            run(&folder, "podman", &words)
        };
        tokio::task::spawn_blocking(work).await.unwrap()
    };
    podman(&["build", "-q", "-t", &name, "."]).await;
    podman(&["push", "-q", "--tls-verify=false", "--digestfile=digest", &name]).await;
    let digest = std::fs::read_to_string(cli.dir().join("digest")).unwrap();
    assert_eq!(cli.run(&["digest", &name]).await.stdout.trim(), digest.trim());
    let id = podman(&["images", "-q", "--no-trunc", &name]).await;
    podman(&["rmi", "-f", &name]).await;
    let pulled = podman(&["pull", "-q", "--tls-verify=false", &name]).await;
    assert_eq!(pulled.trim(), id.trim().trim_start_matches("sha256:"));
    cli.run(&["pull", &name]).await.expect(0, "");
}

/// A missing podman is no failure: not every container may build containers.
fn podman_is_here(test: &str) -> bool {
    if Command::new("podman").arg("--version").output().is_ok_and(|output| output.status.success())
    {
        return true;
    }
    writeln!(std::io::stderr(), "left out: {test}: podman is not installed").unwrap();
    false
}
