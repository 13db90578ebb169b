//! Limits of single registries, from the configuration file.

use std::time::Duration;

use crate::support::cli::Cli;
use crate::support::fake_registry::{FakeRegistry, Options};
use crate::support::images::{Family, Image, image, layer, random_blob};

/// A registry that takes its time, with an image of twelve layers, and its full name.
async fn slow_registry() -> (FakeRegistry, Image, String) {
    let options = Options { delay: Duration::from_millis(30), ..Options::default() };
    let registry = FakeRegistry::start_with(options).await;
    let layers: Vec<_> = (0..12).map(|seed| layer(&[("a", &random_blob(500, seed))])).collect();
    let held = image(Family::Oci, "amd64", &layers);
    held.publish(&registry, "app", Some("1"));
    let name = registry.repository("app:1");
    (registry, held, name)
}

/// Writes the configuration file of the user.
fn configure(cli: &Cli, text: &str) {
    let directory = cli.home().join(".config/rpull");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("config.toml"), text).unwrap();
}

fn limit(registry: &FakeRegistry, limits: &str) -> String {
    format!("[registry.\"{}\"]\n{limits}\n", registry.server.host())
}

#[tokio::test]
async fn connection_limit_of_registry_bounds_concurrent_requests() {
    let (registry, held, name) = slow_registry().await;
    let cli = Cli::new();
    configure(&cli, &limit(&registry, "connections = 2"));
    cli.run(&["pull", "--jobs", "12", &name]).await.expect(0, "");
    assert_eq!(registry.server.most_at_once(), 2);
    assert_eq!(registry.server.count("/blobs/"), 13);
    // Without the limit the same run has more requests at once, so the limit is what bounds it.
    Cli::new().run(&["pull", "--jobs", "12", &name]).await.expect(0, "");
    assert!(registry.server.most_at_once() > 2);

    let (to, _, _) = slow_registry().await;
    configure(&cli, &limit(&to, "connections = 1"));
    cli.run(&["push", &name, &to.repository("other:1")]).await.expect(0, "");
    assert_eq!(to.server.most_at_once(), 1);
    assert_eq!(to.tagged("other", "1"), Some(held.manifest.digest().to_string()));
}

#[tokio::test]
async fn connection_limit_is_shared_by_both_ends_of_copy() {
    let (registry, held, name) = slow_registry().await;
    let cli = Cli::new();
    configure(&cli, &limit(&registry, "connections = 1"));
    // The registry mounts nothing: what is read from it is sent to it.
    registry.refuse_mounts();
    cli.run(&["copy", &name, &registry.repository("other:1")]).await.expect(0, "");
    assert_eq!(registry.tagged("other", "1"), Some(held.manifest.digest().to_string()));
    assert!(registry.server.most_at_once() <= 2, "one is read, one is sent");
}

#[tokio::test]
async fn request_rate_of_registry_spaces_requests() {
    let (registry, _, name) = slow_registry().await;
    let cli = Cli::new();
    let config = cli.dir().join("limits.toml");
    std::fs::write(&config, limit(&registry, "requests-per-second = 25")).unwrap();
    let words = ["pull", "--json", "--config", config.to_str().unwrap(), "--jobs", "12", &name];
    let report = cli.report(&words).await;
    assert_eq!(report["requests"]["total"], 14);
    assert!(report["elapsed_ms"].as_u64() >= Some(13 * 40), "{report}");
}

#[tokio::test]
async fn config_file_error_prevents_any_request() {
    let (registry, _, name) = slow_registry().await;
    let cli = Cli::new();
    configure(&cli, "[registry.\"a.example\"]\nconnection = 4\n");
    let expected = "config.toml:2: unknown field `connection`, expected one of `connections`, `requests-per-second`, ";
    cli.run(&["pull", &name]).await.expect(2, expected);
    let words = ["pull", "--config", "missing.toml", &name];
    cli.run(&words).await.expect(2, "error: configuration: missing.toml: ");
    assert_eq!(registry.server.requests().len(), 0);
}
