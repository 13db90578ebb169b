//! containerd, podman and docker through `rpull serve --upstream`, in front of Debian's docker-registry.

use std::process::Command;

use rustix::process::Signal;

use crate::support::cli::Cli;
use crate::support::dockerd::Dockerd;
use crate::support::live::{Access, Live, is_root, needs};
use crate::support::peers::Containerd;
use crate::support::real::RealImage;
use crate::support::serve_process::ServeProcess;

/// A registry with `library/real:v1`, and a cache of it as `docker.io`.
struct Cached {
    registry: Live,
    cli: Cli,
    cache: ServeProcess,
}

impl Cached {
    async fn start() -> Self {
        let (registry, cli) = (Live::start(&Access::Open), Cli::new());
        let name = format!("{}/library/real:v1", registry.host());
        let push = move || RealImage::get().push("v1", &name, &["--dest-tls-verify=false"]);
        tokio::task::spawn_blocking(push).await.unwrap();
        let upstream = format!("docker.io=http://{}", registry.host());
        let serve = ["serve", "--addr", "127.0.0.1:0", "--upstream", &upstream];
        let cache = ServeProcess::of(cli.spawn(&serve), &cli).await;
        Self { registry, cli, cache }
    }

    /// Expects that each blob and the manifest were requested once from the registry, since it has the image.
    fn expect_fetched_once(&self) {
        let image = &RealImage::get().v1;
        let log = self.registry.access_log();
        let count = |part: &str| {
            let is_read = |target: &str| target.contains(part);
            log.iter().filter(|line| line.method == "GET" && is_read(&line.target)).count()
        };
        for blob in image.blobs() {
            assert_eq!(count(&format!("/blobs/{}", blob.digest())), 1, "{log:?}");
        }
        assert_eq!(count("/manifests/"), 1, "{log:?}");
    }

    async fn end(self) {
        self.cache.end(Signal::TERM).await.expect(0, "fetches what is missing from docker.io");
        self.cli.run(&["verify"]).await.expect(0, "");
    }
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn containerd_pulls_through_cache_by_hosts_toml() {
    let test = "containerd_pulls_through_cache_by_hosts_toml";
    if !is_root(test) || !needs(test, &["docker-registry", "containerd", "ctr", "skopeo", "dpkg"]) {
        return;
    }
    let (cached, image) = (Cached::start().await, &RealImage::get().v1);
    let hosts = cached.cli.dir().join("hosts/docker.io");
    std::fs::create_dir_all(&hosts).unwrap();
    let url = format!("http://{}", cached.cache.host());
    let content =
        format!("server = \"{url}\"\n[host.\"{url}\"]\ncapabilities = [\"pull\", \"resolve\"]\n");
    std::fs::write(hosts.join("hosts.toml"), content).unwrap();
    let hosts = cached.cli.dir().join("hosts").display().to_string();
    for _ in 0..2 {
        // Another containerd, with a store of its own.
        let containerd = Containerd::start();
        let fetch = ["content", "fetch", "--hosts-dir", &hosts, "docker.io/library/real:v1"];
        containerd.run(&fetch);
        let listed = containerd.run(&["images", "list"]);
        assert!(listed.contains(image.manifest.digest().as_str()), "{listed}");
    }
    cached.expect_fetched_once();
    cached.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn podman_pulls_through_cache_by_registries_conf() {
    let test = "podman_pulls_through_cache_by_registries_conf";
    if !is_root(test) || !needs(test, &["docker-registry", "podman", "skopeo", "dpkg"]) {
        return;
    }
    let (cached, image) = (Cached::start().await, &RealImage::get().v1);
    let conf = cached.cli.dir().join("registries.conf");
    let content = format!(
        "[[registry]]\nprefix = \"docker.io\"\nlocation = \"127.0.0.1:1\"\ninsecure = true\n\
         [[registry.mirror]]\nlocation = \"{}/docker.io\"\ninsecure = true\n",
        cached.cache.host()
    );
    std::fs::write(&conf, content).unwrap();
    for number in 0..2 {
        let id = succeeds(
            Command::new("podman")
                .arg(format!("--root=root{number}"))
                .arg(format!("--runroot=run{number}"))
                .args(["--storage-driver=vfs", "--events-backend=none"])
                .args(["pull", "-q", "docker.io/library/real:v1"])
                .current_dir(cached.cli.dir())
                .env("CONTAINERS_REGISTRIES_CONF", &conf)
                .env("HOME", cached.cli.dir())
                .env("XDG_RUNTIME_DIR", cached.cli.dir()),
        );
        assert_eq!(id, image.config.digest().encoded());
    }
    cached.expect_fetched_once();
    cached.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_pulls_through_cache_by_registry_mirrors() {
    let test = "docker_pulls_through_cache_by_registry_mirrors";
    if !is_root(test) || !needs(test, &["docker-registry", "dockerd", "docker", "skopeo", "dpkg"]) {
        return;
    }
    let (cached, image) = (Cached::start().await, &RealImage::get().v1);
    let mirror = format!("--registry-mirror=http://{}", cached.cache.host());
    for _ in 0..2 {
        let dockerd = Dockerd::start_with(&[&mirror]);
        dockerd.run(cached.cli.dir(), &["pull", "-q", "real:v1"]);
        let inspect = ["image", "inspect", "-f", "{{.Id}}", "real:v1"];
        let id = dockerd.run(cached.cli.dir(), &inspect);
        assert_eq!(id, image.config.digest().as_str());
    }
    cached.expect_fetched_once();
    cached.end().await;
}
