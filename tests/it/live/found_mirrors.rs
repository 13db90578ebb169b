//! Pulls from a registry through Debian's docker-registry as its cache, which `hosts.toml` and `registries.conf` name.

use crate::support::cli::Cli;
use crate::support::live::{Access, Live, needs};
use crate::support::real::RealImage;

/// A registry with `team/real:v1`, and a cache of it.
struct Cached {
    registry: Live,
    cache: Live,
    name: String,
}

impl Cached {
    /// Returns `None`, with a message, if programs are missing.
    async fn start(test: &str) -> Option<Self> {
        if !needs(test, &["docker-registry", "skopeo"]) {
            return None;
        }
        let registry = Live::start(&Access::Open);
        let cache = Live::start(&Access::CacheOf(registry.host()));
        let name = format!("{}/team/real:v1", registry.host());
        let to = name.clone();
        let push = move || RealImage::get().push("v1", &to, &["--dest-tls-verify=false"]);
        tokio::task::spawn_blocking(push).await.unwrap();
        Some(Self { registry, cache, name })
    }

    /// Pulls twice, the second time without the registry.
    async fn expect_pulls_through_cache(self, cli: Cli, options: &[&str]) {
        let words = [options, &["pull", "--json", &self.name]].concat();
        let output = cli.run(&words).await;
        output.expect(0, &format!("using the mirror {} for", self.cache.host()));
        assert!(!output.stderr.contains("warning"), "{}", output.stderr);
        let image = &RealImage::get().v1;
        let report = output.report();
        assert_eq!(report["digest"], image.manifest.digest().to_string());
        assert_eq!(report["bytes"]["transferred"], image.size());
        cli.run(&["verify"]).await.expect(0, "");
        let served = self.cache.access_log();
        let blobs = served.iter().filter(|line| line.target.contains("/blobs/"));
        assert_eq!(blobs.count(), image.blobs().count(), "{served:?}");

        let Self { registry, cache, name } = self;
        drop(registry);
        let again = [options, &["pull", "--retries", "0", "-o", "oci:out", &name]].concat();
        cli.run(&again).await.expect(0, "using the mirror");
        drop(cache);
        let gone = [options, &["pull", "--retries", "0", "-o", "oci:other", &name]].concat();
        cli.run(&gone).await.expect(6, "is left out");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cache_of_hosts_toml_is_pulled_through() {
    let Some(cached) = Cached::start("cache_of_hosts_toml_is_pulled_through").await else { return };
    let cli = Cli::new();
    let (host, port) = cached.registry.host().rsplit_once(':').unwrap();
    let own = cli.dir().join(format!("certs.d/{host}_{port}_"));
    std::fs::create_dir_all(&own).unwrap();
    let hosts = format!(
        "server = \"http://{}\"\n\n[host.\"http://{}\"]\n  capabilities = [\"pull\", \"resolve\"]\n",
        cached.registry.host(),
        cached.cache.host()
    );
    std::fs::write(own.join("hosts.toml"), hosts).unwrap();
    cached.expect_pulls_through_cache(cli, &["--hosts-dir", "certs.d"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cache_of_registries_conf_is_pulled_through() {
    let test = "cache_of_registries_conf_is_pulled_through";
    let Some(cached) = Cached::start(test).await else { return };
    let cli = Cli::new();
    let conf = format!(
        "[[registry]]\nlocation = \"{}\"\n\n[[registry.mirror]]\nlocation = \"{}\"\n",
        cached.registry.host(),
        cached.cache.host()
    );
    let path = cli.dir().join("registries.conf");
    std::fs::write(&path, conf).unwrap();
    let cli = cli.env("CONTAINERS_REGISTRIES_CONF", path.display().to_string());
    cached.expect_pulls_through_cache(cli, &[]).await;
}
