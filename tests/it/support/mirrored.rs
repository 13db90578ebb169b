//! A registry and a mirror of it, which commands are told of by files.

use std::path::PathBuf;

use super::cli::{Cli, Output};
use super::fake_registry::{FakeRegistry, Options};
use super::images::{Family, Image, image, layer, random_blob};

/// A registry with an image as `app:1`, and an empty mirror.
pub(crate) struct Mirrored {
    pub(crate) registry: FakeRegistry,
    pub(crate) mirror: FakeRegistry,
    pub(crate) image: Image,
    pub(crate) cli: Cli,
}

impl Mirrored {
    pub(crate) async fn start() -> Self {
        Self::start_with(Options::default(), Options::default()).await
    }

    /// With these behaviors of the registry and the mirror.
    pub(crate) async fn start_with(registry: Options, mirror: Options) -> Self {
        let top = layer(&[("data", &random_blob(300_000, 7))]);
        let image = image(Family::Oci, "amd64", &[layer(&[("a", b"a")]), top]);
        let registry = FakeRegistry::start_with(registry).await;
        image.publish(&registry, "app", Some("1"));
        Self { registry, mirror: FakeRegistry::start_with(mirror).await, image, cli: Cli::new() }
    }

    /// Puts the image into the mirror, too.
    pub(crate) fn fill_mirror(&self) {
        self.image.publish(&self.mirror, "app", Some("1"));
    }

    pub(crate) fn name(&self) -> String {
        self.registry.repository("app:1")
    }

    pub(crate) fn mirror_url(&self) -> String {
        format!("http://{}", self.mirror.server.host())
    }

    /// Writes `hosts.toml` for the registry, and returns its directory for `--hosts-dir`.
    pub(crate) fn hosts_dir(&self, text: &str) -> PathBuf {
        let hosts = self.cli.dir().join("hosts");
        let own = hosts.join(self.registry.server.host());
        std::fs::create_dir_all(&own).unwrap();
        std::fs::write(own.join("hosts.toml"), text).unwrap();
        hosts
    }

    /// Runs a command without retries, one blob at a time, with this `hosts.toml`.
    pub(crate) async fn run(&self, hosts_toml: &str, arguments: &[&str]) -> Output {
        let hosts = self.hosts_dir(hosts_toml).display().to_string();
        let options = ["--retries", "0", "--hosts-dir", &hosts];
        self.cli.run(&[&options, arguments].concat()).await
    }

    /// Pulls the image, with the mirror in `hosts.toml`.
    pub(crate) async fn pull(&self) -> Output {
        let hosts = format!("[host.\"{}\"]\n", self.mirror_url());
        self.run(&hosts, &["pull", "--jobs", "1", "--json", &self.name()]).await
    }

    /// Pulls by a `registries.conf` with this text, in which `REGISTRY` and `MIRROR` are replaced.
    pub(crate) async fn pull_by_registries_conf(self, text: &str, name: &str) -> (Self, Output) {
        let (registry, mirror) = (self.registry.server.host(), self.mirror.server.host());
        let text = text.replace("REGISTRY", &registry).replace("MIRROR", &mirror);
        let path = self.cli.dir().join("registries.conf");
        std::fs::write(&path, text).unwrap();
        let Self { registry, mirror, image, cli } = self;
        let cli = cli.env("CONTAINERS_REGISTRIES_CONF", path.display().to_string());
        let output = cli.run(&["pull", "--retries", "0", "--jobs", "1", name]).await;
        (Self { registry, mirror, image, cli }, output)
    }
}
