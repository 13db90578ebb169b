//! Pulls from docker-registry; skopeo and umoci read the result.

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::certs::Certs;
use crate::support::cli::Cli;
use crate::support::http::Server;
use crate::support::live::{Access, Live, needs};
use crate::support::real::RealImage;
use crate::support::recorder;
use crate::support::tokens::{Policy, TokenServer};

const REGISTRY: &[&str] = &["docker-registry", "skopeo", "dpkg"];

const PLAIN: &[&str] = &["--dest-tls-verify=false"];

fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// An open registry with `real:v1`, `v2`, `multi` and, in Docker's types, `docker`; a recording proxy in front of it.
async fn open() -> (Live, Server, String) {
    let (image, registry) = (RealImage::get(), Live::start(&Access::Open));
    for name in ["v1", "v2", "multi"] {
        image.push(name, &format!("{}/real:{name}", registry.host()), PLAIN);
    }
    image.push_docker("v1", &format!("{}/real:docker", registry.host()), PLAIN);
    let front = recorder::in_front_of(registry.host()).await;
    let name = format!("{}/real", front.host());
    (registry, front, name)
}

#[tokio::test]
async fn pull_next_version_of_real_image_transfers_new_layer() {
    if !needs("pull_next_version_of_real_image_transfers_new_layer", REGISTRY) {
        return;
    }
    let (image, cli) = (RealImage::get(), Cli::new());
    let (_registry, front, name) = open().await;
    let first = cli.report(&["--json", &format!("{name}:v1")]).await;
    assert_eq!(first["bytes"]["transferred"], image.v1.size());
    assert_eq!(first["requests"]["total"], 5, "manifest, config and three layers");
    assert_eq!(front.requests().len(), 5);
    let second = cli.report(&["--json", &format!("{name}:v2")]).await;
    let new = image.v2.config.descriptor.size + image.v2.layers[2].descriptor.size;
    assert_eq!(second["bytes"]["transferred"], new);
    assert_eq!(second["bytes"]["shared"], image.v2.size() - new);
    let multi =
        cli.report(&["--json", "--platform", "linux/arm64", &format!("{name}:multi")]).await;
    assert_eq!(multi["requests"]["total"], 4, "index, manifest, config and the one new layer");
    assert_eq!(multi["digest"], json!(image.multi.document.digest()));
    front.forget();
    cli.run(&[format!("{name}:v2")]).await.expect(0, "(100 %), 1 request");
    assert_eq!(front.lines(), ["HEAD /v2/real/manifests/v2"]);
}

#[tokio::test]
async fn pulled_layout_is_readable_by_skopeo_and_umoci() {
    let test = "pulled_layout_is_readable_by_skopeo_and_umoci";
    if !needs(test, &[REGISTRY, &["umoci"]].concat()) {
        return;
    }
    let cli = Cli::new();
    let (_registry, _front, name) = open().await;
    let store = cli.store();
    for tag in ["v1", "multi"] {
        let name = format!("{name}:{tag}");
        let report = cli.report(&["--json", "--platform", "linux/amd64", &name]).await;
        let place = format!("oci:{}:{name}", store.display());
        let seen: Value = serde_json::from_str(&run("skopeo", &["inspect", &place])).unwrap();
        assert_eq!(seen["Digest"], report["manifest"], "{tag}");
        let blobs = report["blobs"].as_array().unwrap();
        let layers: Vec<&Value> = blobs[1..].iter().map(|blob| &blob["digest"]).collect();
        assert_eq!(seen["Layers"].as_array().unwrap().iter().collect::<Vec<_>>(), layers);
        // skopeo hashes every blob that it copies.
        let copy = format!("oci:{}:copy", cli.dir().join(tag).display());
        run(
            "skopeo",
            &["--insecure-policy", "copy", "--quiet", "--preserve-digests", &place, &copy],
        );
        unpack(&store, &name, &cli.dir().join(format!("bundle-{tag}")));
    }
}

fn unpack(store: &Path, name: &str, bundle: &Path) {
    let image = format!("{}:{name}", store.display());
    let mut args = vec!["unpack", "--image", &image];
    if !rustix::process::getuid().is_root() {
        args.push("--rootless");
    }
    run("umoci", &[&args[..], &[bundle.to_str().unwrap()]].concat());
    let root = bundle.join("rootfs");
    assert_eq!(std::fs::read_to_string(root.join("app/version")).unwrap(), "1");
    assert!(root.join("usr/local/bin/bash").exists(), "a hard link of the base");
}

#[tokio::test]
async fn pull_docker_media_types_keeps_bytes() {
    if !needs("pull_docker_media_types_keeps_bytes", REGISTRY) {
        return;
    }
    let cli = Cli::new();
    let (registry, _front, name) = open().await;
    let name = format!("{name}:docker");
    let report = cli.report(&["--json", &name]).await;
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    assert_eq!(report["media_type"], docker);
    let source = format!("docker://{}/real:docker", registry.host());
    let theirs = run("skopeo", &["inspect", "--raw", "--tls-verify=false", &source]);
    assert_eq!(cli.run(&["manifest", &format!("store:{name}")]).await.stdout, theirs);
    let again = cli.report(&["--json", &name.replace(":docker", ":v1")]).await;
    assert_eq!(again["bytes"]["transferred"], 0, "only the manifest is another one");
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
}

#[tokio::test]
async fn resume_killed_pull_continues_at_docker_registry() {
    if !needs("resume_killed_pull_continues_at_docker_registry", REGISTRY) {
        return;
    }
    let cli = Cli::new();
    let (registry, front, name) = open().await;
    let name = format!("{name}:v1");
    let running = cli.spawn(&["--limit-rate", "1M", &name]);
    running.wait_for_partials(1, 300_000).await;
    running.signal(Signal::KILL);
    running.wait().await;
    let ingest = std::fs::read_dir(cli.store().join("ingest")).unwrap().map(Result::unwrap);
    let kept: Vec<(String, u64)> = ingest
        .map(|file| (file.file_name().into_string().unwrap(), file.metadata().unwrap().len()))
        .collect();
    assert!(!kept.is_empty());
    front.forget();
    let report = cli.report(&["--json", &name]).await;
    let mut continued = 0;
    for (file, length) in &kept {
        let digest = file.replace('-', ":");
        let mut blobs = RealImage::get().v1.blobs();
        let blob = blobs.find(|blob| blob.digest().as_str() == digest).unwrap();
        let requests = front.requests();
        let request = requests.iter().find(|request| request.path.ends_with(&digest));
        if *length == blob.descriptor.size {
            assert!(request.is_none(), "it was whole, only not yet named so");
        } else if *length > 0 {
            let range = request.unwrap().header("range").unwrap();
            assert!(range.starts_with(&format!("bytes={length}-")), "{range} after {length}");
            continued += 1;
        }
    }
    assert!(continued > 0);
    let resumed: u64 = kept.iter().map(|(_, length)| length).sum();
    assert_eq!(report["bytes"]["resumed"], resumed);
    let answers = registry.access_log();
    assert!(answers.iter().filter(|line| line.status == 206).count() >= continued);
    let place = format!("oci:{}:{name}", cli.store().display());
    let seen: Value = serde_json::from_str(&run("skopeo", &["inspect", &place])).unwrap();
    assert_eq!(seen["Digest"], json!(RealImage::get().v1.manifest.digest()));
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
}

#[tokio::test]
async fn credential_over_tls_with_own_ca_is_accepted() {
    let test = "credential_over_tls_with_own_ca_is_accepted";
    if !needs(test, &[REGISTRY, &["htpasswd"]].concat()) {
        return;
    }
    let certs = Certs::new();
    let registry = Live::start(&Access::Htpasswd(&certs));
    let target = format!("{}/team/real:v1", registry.host());
    let login = ["--dest-tls-verify=false", "--dest-creds=user:pass"];
    RealImage::get().push("v1", &target, &login);
    let ca = certs.cert(Certs::CA).to_str().unwrap().to_owned();

    let cli = Cli::new();
    cli.run(&["--insecure", &target])
        .await
        .expect(4, "no credentials found")
        .expect(4, "hint: run `rpull login ");
    let wrong = ["--ca-file", &ca, "--creds", "user:wrong", &target];
    cli.run(&wrong).await.expect(4, "unauthorized");
    let unknown = cli.run(&["--creds", "user:pass", "--cert-file", &ca, &target]).await;
    assert_eq!(unknown.code(), Some(4), "a certificate without a key: {}", unknown.stderr);

    let report = cli.report(&["--json", "--ca-file", &ca, "--creds", "user:pass", &target]).await;
    assert_eq!(report["requests"]["total"], 6, "Basic costs one refused request");

    // The same from files where docker and podman keep them.
    let cli = Cli::new();
    let dir = cli.home().join(".config/containers/certs.d").join(registry.host());
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::copy(&ca, dir.join("ca.crt")).unwrap();
    let config = json!({"auths": {registry.host(): {"auth": "dXNlcjpwYXNz"}}}).to_string();
    std::fs::create_dir(cli.home().join(".docker")).unwrap();
    std::fs::write(cli.home().join(".docker/config.json"), config).unwrap();
    let output = cli.run(&[&target]).await;
    output.expect(0, "6 requests").expect(0, "is readable by other users");

    let cli = Cli::new();
    std::fs::create_dir_all(cli.dir().join("none")).unwrap();
    let untrusting =
        cli.run(&["--ca-file", certs.cert(Certs::CLIENT).to_str().unwrap(), &target]).await;
    untrusting
        .expect(6, "invalid peer certificate")
        .expect(6, "hint: pass the CA with `--ca-file`");
}

#[tokio::test]
async fn token_registry_costs_two_more_requests() {
    if !needs("token_registry_costs_two_more_requests", REGISTRY) {
        return;
    }
    let tokens = TokenServer::start(Policy { anonymous_pull: true, ..Policy::default() }).await;
    let registry = Live::start(&Access::Token(&tokens));
    let target = format!("{}/team/real:v1", registry.host());
    let push = target.clone();
    let pushing = move || {
        let login = ["--dest-tls-verify=false", "--dest-creds=user:pass"];
        RealImage::get().push("v1", &push, &login);
    };
    tokio::task::spawn_blocking(pushing).await.unwrap();

    tokens.server.forget();
    let cli = Cli::new();
    let report = cli.report(&["--json", &target]).await;
    let requests =
        json!({"total": 7, "manifest": 2, "blob": 4, "upload": 0, "token": 1, "other": 0});
    assert_eq!(report["requests"], requests, "the 401 and the token");
    assert_eq!(tokens.server.requests().len(), 1, "one token for everything");
    let tags = cli.run(&["tags", &format!("{}/team/real", registry.host())]).await;
    assert_eq!(tags.expect(0, "").stdout, "v1\n");
    cli.run(&["--creds", "user:wrong", &target]).await.expect(4, "incorrect username or password");
}

#[tokio::test]
async fn credential_helper_is_asked_by_host_name() {
    if !needs("credential_helper_is_asked_by_host_name", REGISTRY) {
        return;
    }
    let tokens = TokenServer::start(Policy::default()).await;
    let registry = Live::start(&Access::Token(&tokens));
    let target = format!("{}/team/real:v1", registry.host());
    let push = target.clone();
    let pushing = move || {
        let login = ["--dest-tls-verify=false", "--dest-creds=user:pass"];
        RealImage::get().push("v1", &push, &login);
    };
    tokio::task::spawn_blocking(pushing).await.unwrap();
    let bin = tempfile::tempdir().unwrap();
    let helper = bin.path().join("docker-credential-mine");
    let script = "#!/bin/sh\nread key; echo \"$key\" > \"$0.asked\"\necho '{\"Username\":\"user\",\"Secret\":\"pass\"}'\n";
    std::fs::write(&helper, script).unwrap();
    run("chmod", &["755", helper.to_str().unwrap()]);
    let path = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap());
    let cli = Cli::new().env("PATH", path);
    let authfile = json!({"credHelpers": {registry.host(): "mine"}}).to_string();
    std::fs::write(cli.dir().join("auth.json"), authfile).unwrap();
    cli.run(&["--authfile", "auth.json", &target]).await.expect(0, "7 requests");
    let asked = std::fs::read_to_string(bin.path().join("docker-credential-mine.asked")).unwrap();
    assert_eq!(asked.trim(), registry.host());
    cli.run(&["-o", "oci:x", &target]).await.expect(4, "no anonymous access");
}
